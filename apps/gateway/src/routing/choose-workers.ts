import type { ModelState } from '@millrace/contracts';
import { type PromptPrefix, scrambled } from './prompt-prefix.js';

/** One of the ready workers of a model, as the choice sees it. */
export interface Contender {
  /** By which the memory knows what it has read. */
  readonly reader: number;
  /** Its address as 32 bits: every gateway has the same. */
  readonly seed: number;
  /** Tokens that it has in hand for this gateway, prompts and expected answers. */
  readonly ownTokens: number;
  /** And what is believed of those that it has from elsewhere. */
  readonly otherTokens: number;
  /** Its share of the load beside others': 1 is ordinary, less while it is new. Above 0. */
  readonly capacity: number;
  /** How the model stands with it. */
  readonly model: ModelState;
  /** It is left alone until then, on the clock of `nowMs`. */
  readonly blockedUntilMs: number;
  /** When that was to end at first: of those that are left alone, the smallest is the least bad. */
  readonly leastBadMs: number;
}

export interface ChoiceAsk {
  readonly prefix: PromptPrefix;
  /** Tokens of the prompt and of the answers expected, as they count while it is out. */
  readonly cost: number;
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
  /** What this gateway has out of one kind of prompt. */
  anchorTokens(anchor: number): number;
}

/**
 * Why a worker was chosen. `prefix`: it has read this conversation; `hash`: prompts of this kind go to it; `least_loaded`;
 * `only`: there was no other; `last_resort`: all are left alone for their failures, and this is the least bad.
 */
export type ChoiceReason = 'prefix' | 'hash' | 'least_loaded' | 'only' | 'last_resort';

export interface Choice<C> {
  readonly contender: C;
  readonly reason: ChoiceReason;
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
/** A kind of prompt goes to so many more workers than its load alone would need: they carry other kinds as well. */
const GROUP_HEADROOM = 2;

/**
 * Whom to ask, of the ready workers of a model.
 *
 * The trade: a worker that has read the beginning of a prompt answers sooner, and a busy worker answers later. So nobody is asked for
 * what it has read who has more than `affinityLoadPercent` of the mean in hand. Of the others
 *
 * 1. whoever has read the longest beginning of this conversation, that is, more than what prompts of its kind have in common;
 * 2. else one of a group of workers that prompts of its kind go to. The group follows from the prompt's opening and the workers'
 *    addresses alone (rendezvous hashing), so gateways that know nothing of each other send alike, and a worker that joins or leaves
 *    moves only its share. It is as large as the load of that kind needs. Within it, of the two that the conversation itself points
 *    to, the less busy one: pointing to one alone would be more alike between gateways, and less even;
 * 3. else, and where the prompt is too short to matter, the one with the fewest tokens in hand.
 *
 * Looked at in one pass over the workers, and one more for 2: with a thousand of them, some ten microseconds each.
 */
export function chooseWorker<C extends Contender>(
  contenders: readonly C[],
  ask: ChoiceAsk,
  knowledge: Knowledge,
): Choice<C> | undefined {
  const field = survey(contenders, ask, knowledge);
  const { best } = field;
  if (best === undefined) return leastBad(contenders, ask);
  if (field.free === 1) return { contender: best, reason: 'only' };
  // That nobody who has it loaded is better says that all of those are far busier.
  if (ask.prefix.anchor === undefined || best.model !== 'loaded') return { contender: best, reason: 'least_loaded' };
  const mayTake = boundOf(field, ask, knowledge);
  const reader = longestReader(contenders, ask, knowledge, mayTake);
  if (reader) return { contender: reader, reason: 'prefix' };
  const hashed = hashedTo(contenders, ask.prefix.anchor, groupOf(field, ask, knowledge), ask, mayTake);
  return hashed ? { contender: hashed, reason: 'hash' } : { contender: best, reason: 'least_loaded' };
}

interface Field<C> {
  /** Those that may be asked at all. */
  readonly free: number;
  readonly best: C | undefined;
  readonly tokens: number;
  readonly ownTokens: number;
  readonly capacity: number;
}

function survey<C extends Contender>(
  contenders: readonly C[],
  { cost, asked }: ChoiceAsk,
  { nowMs, tokensMean }: Knowledge,
): Field<C> {
  let best: C | undefined;
  let bestWeight = Number.POSITIVE_INFINITY;
  let free = 0;
  let tokens = 0;
  let ownTokens = 0;
  let capacity = 0;
  for (const one of contenders) {
    if (one.blockedUntilMs > nowMs || asked.has(one.reader)) continue;
    const has = one.ownTokens + one.otherTokens;
    free++;
    tokens += has;
    ownTokens += one.ownTokens;
    capacity += one.capacity;
    const weight = (has + cost) / one.capacity + notLoadedWeight(one.model, tokensMean);
    // Not `<=`: idle workers are taken in the order configured.
    if (weight < bestWeight) {
      best = one;
      bestWeight = weight;
    }
  }
  return { best, free, tokens, ownTokens, capacity };
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
  return least && { contender: least, reason: contenders.length === 1 ? 'only' : 'last_resort' };
}

function badness({ model, leastBadMs }: Contender): number {
  return model === 'failed' ? FAILED_WEIGHT + leastBadMs : leastBadMs;
}

/** Whether one may have this for the sake of what it has read. */
function boundOf(
  { tokens, capacity }: Field<Contender>,
  { cost, asked }: ChoiceAsk,
  { nowMs, tokensMean, affinityLoadPercent }: Knowledge,
): (one: Contender) => boolean {
  const tokensMax = ((affinityLoadPercent / 100) * (tokens + cost)) / capacity;
  const freeTokens = FREE_SEQUENCES * tokensMean;
  return (one) => {
    if (one.blockedUntilMs > nowMs || one.model !== 'loaded') return false;
    const has = one.ownTokens + one.otherTokens;
    if (has + cost > tokensMax * one.capacity && has >= freeTokens * one.capacity) return false;
    return !asked.has(one.reader);
  };
}

/** Of those that have read the longest beginning, the least busy. What only the prompt's kind has in common is for the group. */
function longestReader<C extends Contender>(
  contenders: readonly C[],
  { prefix }: ChoiceAsk,
  knowledge: Knowledge,
  mayTake: (one: C) => boolean,
): C | undefined {
  const { points, anchorChars } = prefix;
  let byReader: ReadonlyMap<number, C> | undefined;
  for (let index = points.length - 1; index >= 0 && points[index]!.chars > anchorChars; index--) {
    const readers = knowledge.readersOf(points[index]!.key);
    if (readers.length === 0) continue;
    byReader ??= contendersByReader(contenders);
    let best: C | undefined;
    for (const reader of readers) {
      const one = byReader.get(reader);
      if (one && mayTake(one) && (best === undefined || lessBusy(one, best))) best = one;
    }
    if (best) return best;
  }
  return undefined;
}

const tables = new WeakMap<readonly Contender[], ReadonlyMap<number, Contender>>();

/** Made once for each list: it stays the same object until a worker comes or goes. */
function contendersByReader<C extends Contender>(contenders: readonly C[]): ReadonlyMap<number, C> {
  let table = tables.get(contenders);
  if (table === undefined) {
    table = new Map(contenders.map((one) => [one.reader, one]));
    tables.set(contenders, table);
  }
  return table as ReadonlyMap<number, C>;
}

function lessBusy(one: Contender, other: Contender): boolean {
  return (one.ownTokens + one.otherTokens) / one.capacity < (other.ownTokens + other.otherTokens) / other.capacity;
}

/**
 * Which part of the workers a kind of prompt goes to, from 0 (one of them) to 1. In steps of two, so that gateways with a little
 * more or less of it mostly agree; what this gateway has out is measured by what it has out with each worker.
 */
function groupOf(field: Field<Contender>, { prefix, cost }: ChoiceAsk, knowledge: Knowledge): number {
  const tokensEach = Math.max(field.ownTokens / field.free, FREE_SEQUENCES * knowledge.tokensMean);
  const needed = (GROUP_HEADROOM * (knowledge.anchorTokens(prefix.anchor!) + cost)) / tokensEach;
  return needed <= 1 ? 0 : Math.min(1, 2 ** Math.ceil(Math.log2(needed)) / field.free);
}

/**
 * Rendezvous hashing with bounded loads, twice. A worker's number for the prompt's kind says whether it belongs to the group, and
 * the highest belongs to every group; its number for the conversation says whom in the group that points to. Where all of the group
 * have too much, whoever may take it and has the highest number for the kind.
 */
function hashedTo<C extends Contender>(
  contenders: readonly C[],
  anchor: number,
  group: number,
  { prefix: { spread } }: ChoiceAsk,
  mayTake: (one: C) => boolean,
): C | undefined {
  const from = (1 - group) * 2 ** 32;
  let nearest: C | undefined;
  let nearestRank = -1;
  let first: C | undefined;
  let firstRank = -1;
  let second: C | undefined;
  let secondRank = -1;
  for (const one of contenders) {
    const rank = scrambled(anchor ^ one.seed);
    if (rank < from && rank < nearestRank) continue;
    if (!mayTake(one)) continue;
    if (rank > nearestRank) {
      nearest = one;
      nearestRank = rank;
    }
    if (rank < from) continue;
    const own = scrambled(spread ^ one.seed);
    if (own > firstRank) {
      second = first;
      secondRank = firstRank;
      first = one;
      firstRank = own;
    } else if (own > secondRank) {
      second = one;
      secondRank = own;
    }
  }
  if (first && second) return lessBusy(second, first) ? second : first;
  return first ?? nearest;
}
