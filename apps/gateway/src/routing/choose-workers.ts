import type { ModelState } from '@millrace/contracts';
import { CHARS_PER_TOKEN, type PromptPrefix } from './prompt-prefix.js';
import type { Arc, WorkerRing } from './worker-ring.js';

/** One of the ready workers of a model, as the choice sees it. */
export interface Contender {
  /** By which the memory knows what it has read. */
  readonly reader: number;
  /** Its address as 32 bits: every gateway has the same. */
  readonly seed: number;
  /** Answers that it has in hand: this gateway's, and those that are believed to be from elsewhere. */
  readonly sequences: number;
  /** Tokens that these are still expected to take. */
  readonly tokens: number;
  /** Its share of the load beside others': 1 is ordinary, less while it is new. Above 0. */
  readonly capacity: number;
  /** How the model stands with it. */
  readonly model: ModelState;
  /** It is left alone until then, on the clock of `nowMs`. */
  readonly blockedUntilMs: number;
  /** When that was to end at first: of those that are left alone, the smallest is the least bad. */
  readonly leastBadMs: number;
}

/** All of them. */
export interface Field<C extends Contender> {
  readonly contenders: readonly C[];
  /** Of these, those that have the model loaded, and the rest. */
  readonly loaded: readonly C[];
  readonly others: readonly C[];
  readonly byReader: ReadonlyMap<number, C>;
  readonly ring: WorkerRing<C>;
  /** Of all together, those left alone set aside. */
  readonly sequences: number;
  readonly capacity: number;
}

export interface ChoiceAsk {
  readonly prefix: PromptPrefix;
  readonly promptTokens: number;
  /** Answers, 1 at least, and the tokens expected of all of them. */
  readonly sequences: number;
  readonly answerTokens: number;
  /** Readers that were asked already. */
  readonly asked: ReadonlySet<number>;
}

/** What the choice knows beside the workers. */
export interface Knowledge {
  readonly nowMs: number;
  /** Of one sequence, on the average of late. */
  readonly tokensMean: number;
  readonly affinityLoadPercent: number;
  /** Those that have read a beginning. */
  readersOf(key: number): readonly number[];
  /** Where prompts of a kind go to. */
  arcOf(anchor: number): Arc;
  /** From 0 to below 1. */
  random(): number;
}

/**
 * Why a worker was chosen. `prefix`: it has read this conversation; `hash`: the conversation leads to it; `least_loaded`;
 * `only`: there was no other; `last_resort`: all are left alone for their failures, and this is the least bad.
 */
export type ChoiceReason = 'prefix' | 'hash' | 'least_loaded' | 'only' | 'last_resort';

export interface Choice<C> {
  readonly contender: C;
  readonly reason: ChoiceReason;
  /** Tokens of the prompt that it is not known to have read. */
  readonly unreadTokens: number;
  /** Of `prefix`: the beginning that it has read. */
  readonly foundBy?: number;
}

/**
 * What it weighs, in sequences, that a model has to be loaded first. With less, a second worker would be made to load for
 * every small burst; with more, it would stay idle while the first is full.
 */
export const LOADING_WEIGHT = 8;
/** More than any load: a worker that could not load the model is asked when there is no other, and says why. */
const FAILED_WEIGHT = 1e12;
/** A batch of so few sequences answers about as fast as one alone: where there are no more, nobody is too busy for what it has read. */
const FREE_SEQUENCES = 4;
/** Among so many the least busy one is looked for; of more, among so many by chance. That is nearly the least busy of all. */
const LOOKED_AT_MAX = 64;

/**
 * Whom to ask, of the ready workers of a model.
 *
 * The trade: a worker that has read the beginning of a prompt answers sooner, and a busy worker answers later. So nobody is asked for
 * what it has read who would then have more than `affinityLoadPercent` of the mean number of answers in hand. Of the others
 *
 * 1. whoever has read the longest beginning of this conversation;
 * 2. else one to which the conversation leads: a few workers in an order that follows from its beginning and the workers' addresses
 *    alone, so gateways that know nothing of each other go the same way. Conversations of one kind lead to one part of the workers,
 *    which have read what the kind has in common;
 * 3. else, and where the prompt is too short to matter, the one with the fewest outstanding tokens.
 *
 * It takes no longer among a thousand workers than among a hundred, unless so many are left alone that all have to be looked at.
 */
export function chooseWorker<C extends Contender>(
  field: Field<C>,
  ask: ChoiceAsk,
  knowledge: Knowledge,
): Choice<C> | undefined {
  const { contenders } = field;
  const best = leastOutstanding(field, ask, knowledge);
  if (best === undefined) return leastBad(contenders, ask);
  const unread: Choice<C> = { contender: best, reason: 'least_loaded', unreadTokens: ask.promptTokens };
  if (contenders.length === 1) return { ...unread, reason: 'only' };
  // That nobody who has it loaded is better says that all of those are far busier.
  if (best.model !== 'loaded') return unread;
  return longestReader(field, ask, knowledge) ?? ledTo(field, ask, knowledge) ?? unread;
}

/** Whether one may have this for the sake of what it has read. */
function mayTake(
  one: Contender,
  field: Field<Contender>,
  ask: ChoiceAsk,
  { nowMs, affinityLoadPercent }: Knowledge,
): boolean {
  if (one.blockedUntilMs > nowMs || one.model !== 'loaded' || ask.asked.has(one.reader)) return false;
  return !isOver(one, shareOf(field, ask, affinityLoadPercent), ask);
}

/** What a worker of capacity 1 may have in hand. */
function shareOf({ sequences, capacity }: Field<Contender>, ask: ChoiceAsk, percent: number): number {
  return ((percent / 100) * (sequences + ask.sequences)) / capacity;
}

function isOver({ sequences, capacity }: Contender, share: number, ask: ChoiceAsk): boolean {
  return sequences + ask.sequences > share * capacity && sequences >= FREE_SEQUENCES * capacity;
}

/** Of those that have read the longest beginning, the least busy. */
function longestReader<C extends Contender>(
  field: Field<C>,
  ask: ChoiceAsk,
  knowledge: Knowledge,
): Choice<C> | undefined {
  const { points } = ask.prefix;
  for (let index = points.length - 1; index >= 0; index--) {
    const { key, chars } = points[index]!;
    let best: C | undefined;
    for (const reader of knowledge.readersOf(key)) {
      const one = field.byReader.get(reader);
      if (one && mayTake(one, field, ask, knowledge) && (best === undefined || lessBusy(one, best))) best = one;
    }
    if (best) return { contender: best, reason: 'prefix', unreadTokens: unreadOf(ask, chars), foundBy: key };
  }
  return undefined;
}

/** The least busy of the few that it leads to. */
function ledTo<C extends Contender>(field: Field<C>, ask: ChoiceAsk, knowledge: Knowledge): Choice<C> | undefined {
  const { anchor, anchorChars, spread } = ask.prefix;
  if (anchor === undefined) return undefined;
  const near = field.ring.nearest(spread, knowledge.arcOf(anchor));
  let contender: C | undefined;
  for (const one of near) {
    if (!mayTake(one, field, ask, knowledge)) continue;
    if (contender === undefined || lessBusy(one, contender)) contender = one;
  }
  return contender && { contender, reason: 'hash', unreadTokens: unreadOf(ask, anchorChars) };
}

function unreadOf({ promptTokens }: ChoiceAsk, readChars: number): number {
  return Math.max(0, promptTokens - Math.floor(readChars / CHARS_PER_TOKEN));
}

function lessBusy(one: Contender, other: Contender): boolean {
  return one.tokens / one.capacity < other.tokens / other.capacity;
}

function leastOutstanding<C extends Contender>(field: Field<C>, ask: ChoiceAsk, knowledge: Knowledge): C | undefined {
  const { loaded, others, contenders } = field;
  if (contenders.length <= LOOKED_AT_MAX) return leastOf(contenders, field, ask, knowledge);
  const some = [...someOf(loaded, knowledge), ...someOf(others, knowledge)];
  return leastOf(some, field, ask, knowledge) ?? leastOf(contenders, field, ask, knowledge);
}

function someOf<C>(contenders: readonly C[], { random }: Knowledge): readonly C[] {
  if (contenders.length <= LOOKED_AT_MAX) return contenders;
  const from = Math.floor(random() * contenders.length);
  return Array.from({ length: LOOKED_AT_MAX }, (_, at) => contenders[(from + at) % contenders.length]!);
}

function leastOf<C extends Contender>(
  contenders: readonly C[],
  field: Field<C>,
  ask: ChoiceAsk,
  { nowMs, tokensMean, affinityLoadPercent }: Knowledge,
): C | undefined {
  const share = shareOf(field, ask, affinityLoadPercent);
  const cost = ask.promptTokens + ask.answerTokens;
  let best: C | undefined;
  let bestWeight = Number.POSITIVE_INFINITY;
  let bestOver = false;
  for (const one of contenders) {
    if (one.blockedUntilMs > nowMs || ask.asked.has(one.reader)) continue;
    // Many short answers are few tokens: of those that have it loaded, nobody over the bound comes before one that is not.
    const over = one.model === 'loaded' && isOver(one, share, ask);
    const weight = (one.tokens + cost) / one.capacity + notLoadedWeight(one.model, tokensMean);
    const bothLoaded = best?.model === 'loaded' && one.model === 'loaded';
    // Not `<=`: idle workers are taken in the order configured.
    if (bothLoaded && over !== bestOver ? over : best !== undefined && weight >= bestWeight) continue;
    best = one;
    bestWeight = weight;
    bestOver = over;
  }
  return best;
}

function notLoadedWeight(model: ModelState, tokensMean: number): number {
  if (model === 'loaded') return 0;
  return model === 'failed' ? FAILED_WEIGHT : LOADING_WEIGHT * tokensMean;
}

/** Nobody may be asked: rather than turn a request away, it is tried with the one that should be back soonest. */
function leastBad<C extends Contender>(contenders: readonly C[], { asked }: ChoiceAsk): Choice<C> | undefined {
  let least: C | undefined;
  for (const one of contenders) {
    if (asked.has(one.reader)) continue;
    if (least === undefined || badness(one) < badness(least)) least = one;
  }
  const reason = contenders.length === 1 ? 'only' : 'last_resort';
  return least && { contender: least, reason, unreadTokens: 0 };
}

function badness({ model, leastBadMs }: Contender): number {
  return model === 'failed' ? FAILED_WEIGHT + leastBadMs : leastBadMs;
}
