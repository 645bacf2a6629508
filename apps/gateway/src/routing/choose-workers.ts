import type { ModelState } from '@millrace/contracts';
import { CHARS_PER_TOKEN, type PromptPrefix, scrambled } from './prompt-prefix.js';

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
  /** Of the prompt and of the answers expected. */
  readonly promptTokens: number;
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
  /** Those that have read what prompts of a kind have in common. */
  readersOfKind(anchor: number): ReadonlySet<number>;
  /** What this gateway has out of one kind of prompt. */
  tokensOfKind(anchor: number): number;
}

/**
 * Why a worker was chosen. `prefix`: it has read this conversation; `hash`: prompts of this kind go to it; `least_loaded`;
 * `only`: there was no other; `last_resort`: all are left alone for their failures, and this is the least bad.
 */
export type ChoiceReason = 'prefix' | 'hash' | 'least_loaded' | 'only' | 'last_resort';

export interface Choice<C> {
  readonly contender: C;
  readonly reason: ChoiceReason;
  /** What it counts as having in hand for this, while it is out. */
  readonly cost: number;
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
/**
 * What a token of the prompt counts beside one of the answer. Tokens that are read are computed hundreds at a time, those that are
 * written one by one; what was read before is not computed again, but takes memory and time at every step. Were they all counted alike,
 * one long conversation would look like a crowd, and others would be sent away from what they have in cache.
 */
const UNREAD_WEIGHT = 0.05;
const READ_WEIGHT = 0.02;
/**
 * Nobody is asked for the kind of a prompt alone who has more than the mean in hand: what is left up to `affinityLoadPercent` is for
 * conversations that come back.
 */
const HASH_LOAD_PERCENT = 100;
/** A kind of prompt goes to so many more workers than its load alone would need, and to so many at least: they carry other kinds as well. */
const GROUP_HEADROOM = 2;
const GROUP_MIN = 4;
/** Among so many that a conversation points to, the least busy is taken. One alone would be more alike between gateways, and less even. */
const POINTED_TO = 2;

/**
 * Whom to ask, of the ready workers of a model.
 *
 * The trade: a worker that has read the beginning of a prompt answers sooner, and a busy worker answers later. So nobody is asked for
 * what it has read who would have more than `affinityLoadPercent` of the mean in hand. Of the others
 *
 * 1. whoever has read the longest beginning of this conversation, that is, more than what prompts of its kind have in common;
 * 2. else one of a group of workers that prompts of its kind go to. The group follows from the prompt's opening and the workers'
 *    addresses alone (rendezvous hashing), so gateways that know nothing of each other send alike, and a worker that joins or leaves
 *    moves only its share. It is as large as the load of that kind needs. Within it, of the few that the conversation itself points
 *    to, the least busy one;
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
  if (field.free === 1) return { contender: best, reason: 'only', cost: costOf(ask, 0) };
  // That nobody who has it loaded is better says that all of those are far busier.
  if (ask.prefix.anchor === undefined || best.model !== 'loaded') return leastLoaded(best, ask, knowledge);
  return (
    longestReader(contenders, ask, knowledge, boundOf(field, ask, knowledge, knowledge.affinityLoadPercent)) ??
    hashedTo(contenders, ask.prefix.anchor, field, ask, knowledge) ??
    leastLoaded(best, ask, knowledge)
  );
}

function leastLoaded<C extends Contender>(best: C, ask: ChoiceAsk, knowledge: Knowledge): Choice<C> {
  return { contender: best, reason: 'least_loaded', cost: costOf(ask, knownOfKind(best, ask, knowledge)) };
}

/** @param known tokens of the prompt that were read before. */
function costOf({ promptTokens, answerTokens }: ChoiceAsk, known: number): number {
  const read = Math.min(known, promptTokens);
  return READ_WEIGHT * read + UNREAD_WEIGHT * (promptTokens - read) + answerTokens;
}

function knownOfKind({ reader }: Contender, { prefix }: ChoiceAsk, { readersOfKind }: Knowledge): number {
  if (prefix.anchor === undefined || !readersOfKind(prefix.anchor).has(reader)) return 0;
  return prefix.anchorChars / CHARS_PER_TOKEN;
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
  ask: ChoiceAsk,
  { nowMs, tokensMean }: Knowledge,
): Field<C> {
  const { asked } = ask;
  const cost = costOf(ask, 0);
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
function leastBad<C extends Contender>(contenders: readonly C[], ask: ChoiceAsk): Choice<C> | undefined {
  const { asked } = ask;
  let least: C | undefined;
  for (const one of contenders) {
    if (asked.has(one.reader)) continue;
    if (least === undefined || badness(one) < badness(least)) least = one;
  }
  const reason = contenders.length === 1 ? 'only' : 'last_resort';
  return least && { contender: least, reason, cost: costOf(ask, 0) };
}

function badness({ model, leastBadMs }: Contender): number {
  return model === 'failed' ? FAILED_WEIGHT + leastBadMs : leastBadMs;
}

/** Whether one may have this, at this cost to it, for the sake of what it has read. */
type MayTake = (one: Contender, cost: number) => boolean;

function boundOf(
  { tokens, capacity }: Field<Contender>,
  { asked }: ChoiceAsk,
  { nowMs, tokensMean }: Knowledge,
  loadPercent: number,
): MayTake {
  const part = loadPercent / 100 / capacity;
  const freeTokens = FREE_SEQUENCES * tokensMean;
  return (one, cost) => {
    if (one.blockedUntilMs > nowMs || one.model !== 'loaded') return false;
    const has = one.ownTokens + one.otherTokens;
    const share = one.capacity;
    if (has + cost > part * (tokens + cost) * share && has >= freeTokens * share) return false;
    return !asked.has(one.reader);
  };
}

/** Of those that have read the longest beginning, the least busy. What only the prompt's kind has in common is for the group. */
function longestReader<C extends Contender>(
  contenders: readonly C[],
  ask: ChoiceAsk,
  knowledge: Knowledge,
  mayTake: MayTake,
): Choice<C> | undefined {
  const { points, anchorChars } = ask.prefix;
  for (let index = points.length - 1; index >= 0 && points[index]!.chars > anchorChars; index--) {
    const readers = knowledge.readersOf(points[index]!.key);
    if (readers.length === 0) continue;
    const cost = costOf(ask, points[index]!.chars / CHARS_PER_TOKEN);
    const byReader = contendersByReader(contenders);
    let best: C | undefined;
    for (const reader of readers) {
      const one = byReader.get(reader);
      if (one && mayTake(one, cost) && (best === undefined || lessBusy(one, best))) best = one;
    }
    if (best) return { contender: best, reason: 'prefix', cost };
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
 * Which part of the workers a kind of prompt goes to. In steps of two, so that gateways with a little more or less of it mostly
 * agree; what this gateway has out is measured by what it has out with each worker.
 */
function groupOf(field: Field<Contender>, ask: ChoiceAsk, knowledge: Knowledge): number {
  const tokensEach = Math.max(field.ownTokens / field.free, FREE_SEQUENCES * knowledge.tokensMean);
  const needed = (GROUP_HEADROOM * knowledge.tokensOfKind(ask.prefix.anchor!)) / tokensEach;
  return Math.min(1, 2 ** Math.ceil(Math.log2(Math.max(GROUP_MIN, needed))) / field.free);
}

/**
 * Rendezvous hashing with bounded loads, twice. A worker's number for the prompt's kind says whether it belongs to the group; its number
 * for the conversation says how near that points to it. In this order: who belongs to it and has read the kind; who belongs to it;
 * where all of these have too much, whoever else has read the kind; and whoever may take it and has the highest number for the kind.
 */
function hashedTo<C extends Contender>(
  contenders: readonly C[],
  anchor: number,
  field: Field<C>,
  ask: ChoiceAsk,
  knowledge: Knowledge,
): Choice<C> | undefined {
  const mayTake = boundOf(field, ask, knowledge, HASH_LOAD_PERCENT);
  const mayTakeMore = boundOf(field, ask, knowledge, knowledge.affinityLoadPercent);
  const from = (1 - groupOf(field, ask, knowledge)) * 2 ** 32;
  const readers = knowledge.readersOfKind(anchor);
  const unread = costOf(ask, 0);
  const read = costOf(ask, ask.prefix.anchorChars / CHARS_PER_TOKEN);
  const inGroup = new Nearest<C>(POINTED_TO);
  const newInGroup = new Nearest<C>(POINTED_TO);
  let elsewhere: C | undefined;
  let next: C | undefined;
  let nextRank = -1;
  for (const one of contenders) {
    const rank = scrambled(anchor ^ one.seed);
    const hasRead = readers.has(one.reader);
    if (rank >= from) {
      if (mayTake(one, hasRead ? read : unread)) {
        (hasRead ? inGroup : newInGroup).offer(one, scrambled(ask.prefix.spread ^ one.seed));
      }
    } else if (rank > nextRank && mayTake(one, unread)) {
      next = one;
      nextRank = rank;
    }
    if (hasRead && mayTakeMore(one, read) && (elsewhere === undefined || lessBusy(one, elsewhere))) elsewhere = one;
  }
  const contender = inGroup.leastBusy() ?? newInGroup.leastBusy() ?? elsewhere ?? next;
  return contender && { contender, reason: 'hash', cost: readers.has(contender.reader) ? read : unread };
}

/** The few with the highest ranks of all that were offered. */
class Nearest<C extends Contender> {
  readonly #ones: C[] = [];
  /** Ascending. */
  readonly #ranks: number[] = [];

  constructor(private readonly most: number) {}

  offer(one: C, rank: number): void {
    if (this.#ones.length === this.most) {
      if (rank <= this.#ranks[0]!) return;
      this.#ones.shift();
      this.#ranks.shift();
    }
    let at = this.#ranks.length;
    while (at > 0 && this.#ranks[at - 1]! > rank) at--;
    this.#ones.splice(at, 0, one);
    this.#ranks.splice(at, 0, rank);
  }

  leastBusy(): C | undefined {
    return this.#ones.reduce<C | undefined>((best, one) => (best && !lessBusy(one, best) ? best : one), undefined);
  }
}
