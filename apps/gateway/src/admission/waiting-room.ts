/** A request that asks for a place. */
export interface PlaceAsk {
  /** Requests of the same one share its turns: a key's id. Those without a key are one key. */
  readonly keyId: string | undefined;
  /** The model's id; undefined while nobody knows what is served, and so which it is. */
  readonly model: string | undefined;
  /** Those that may answer in its place, by id: it is served where any of them is. */
  readonly fallbacks?: readonly string[] | undefined;
  /** Of its body. */
  readonly bytes: number;
  /** The higher goes first. A whole number. */
  readonly priority: number;
  /** It has its answer in part, and waits for somebody to go on: lower priorities give way to it, whatever its key's share. */
  readonly begun?: boolean | undefined;
}

export interface RoomLimits {
  /** Requests that may wait. */
  readonly maxQueueDepth: number;
  /** What their bodies may take together. */
  readonly maxQueueBytes: number;
  /** So long a wait with nothing running counts as one priority more. */
  readonly priorityAgeingMs: number;
}

/** Most that give way to one request. With more, a large body would cost a crowd its turn. */
const GIVING_WAY_MAX = 16;
/** Keys that have nothing here, of which it is remembered when they were served, if others waited then. */
const SERVED_KEYS_MAX = 1_024;

/** A request in the room, and what its owner wants to find there again. */
export class Waiter<Guest> {
  /** Its neighbours in its lane. */
  before: Waiter<Guest> | undefined;
  after: Waiter<Guest> | undefined;
  present = true;

  constructor(
    readonly ask: PlaceAsk,
    readonly guest: Guest,
    readonly sinceMs: number,
    /** Counts arrivals. */
    readonly number: number,
    readonly lane: Lane<Guest>,
  ) {}
}

/** Those of one key and one priority that wait for the same models, in the order in which they came. */
interface Lane<Guest> {
  readonly standing: Standing<Guest>;
  readonly models: AwaitedModels<Guest>;
  oldest: Waiter<Guest> | undefined;
  newest: Waiter<Guest> | undefined;
}

/** A key at one of its priorities: what ages. */
interface Standing<Guest> {
  readonly key: KeyAccount<Guest>;
  readonly priority: number;
  running: number;
  /** When it last had something running. */
  restingSinceMs: number;
  /** Those in which somebody waits: as many as there are sets of models that are waited for. */
  readonly lanes: Lane<Guest>[];
}

interface KeyAccount<Guest> {
  readonly id: string | undefined;
  running: number;
  waiting: number;
  waitingBytes: number;
  /** Counts places given, to whomever; 0: none since anybody remembers. */
  servedAs: number;
  readonly standings: Map<number, Standing<Guest>>;
}

/** Any one of these will do; undefined: nobody knows yet which. */
export type ModelSet = readonly string[] | undefined;

interface AwaitedModels<Guest> {
  readonly ids: ModelSet;
  served: boolean;
  /** Of the bodies of its waiters. */
  bytes: number;
  readonly waiters: Set<Waiter<Guest>>;
}

/**
 * Who waits for a place, who is next, and who gives way to whom. It knows no clock and no promise: whoever owns it tells it
 * the time, on a clock that only goes forward, and acts on what it says. docs/concepts/admission.md explains the rules.
 *
 * `next` looks at the oldest of every key that waits: as much work as there are keys, however many requests each of them
 * has. With 100 keys that takes microseconds, with 10,000 half a millisecond; a heap would have to be made anew whenever somebody
 * ages.
 */
export class WaitingRoom<Guest> {
  #size = 0;
  #bytes = 0;
  #keysWaiting = 0;
  #arrivals = 0;
  #servings = 0;
  readonly #keys = new Map<string | undefined, KeyAccount<Guest>>();
  /** When keys were served that have nothing here now. A Map keeps the order in which they left. */
  readonly #servedAs = new Map<string | undefined, number>();
  /** Those with somebody waiting. */
  readonly #standings = new Set<Standing<Guest>>();
  readonly #models = new Map<string | undefined, AwaitedModels<Guest>>();

  constructor(private readonly limits: RoomLimits) {}

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Those that somebody waits for. */
  get models(): readonly ModelSet[] {
    return [...this.#models.values()].map(({ ids }) => ids);
  }

  /** In the order in which they came. */
  waitingFor(models: ModelSet): readonly Waiter<Guest>[] {
    return [...(this.#models.get(nameOf(models))?.waiters ?? [])];
  }

  /** Whoever waits for models of which none is served is nobody's next. Returns whether that is news. */
  setServed(ids: ModelSet, served: boolean): boolean {
    const models = this.#models.get(nameOf(ids));
    if (models === undefined || models.served === served) return false;
    models.served = served;
    return true;
  }

  /** A newcomer takes its place in the room; `whoGivesWay` must have been asked, and those it named removed. */
  add(ask: PlaceAsk, served: boolean, guest: Guest, nowMs: number): Waiter<Guest> {
    const lane = this.#laneOf(ask, served);
    const waiter = new Waiter(ask, guest, nowMs, this.#arrivals++, lane);
    waiter.before = lane.newest;
    if (lane.newest) lane.newest.after = waiter;
    else lane.oldest = waiter;
    lane.newest = waiter;
    lane.models.waiters.add(waiter);
    this.#count(waiter, 1);
    return waiter;
  }

  /** It was let in, it left, or it gave way. The second time it changes nothing. */
  remove(waiter: Waiter<Guest>): void {
    if (!waiter.present) return;
    waiter.present = false;
    const { lane, before, after } = waiter;
    if (before) before.after = after;
    else lane.oldest = after;
    if (after) after.before = before;
    else lane.newest = before;
    lane.models.waiters.delete(waiter);
    this.#count(waiter, -1);
    if (lane.oldest === undefined) this.#close(lane);
  }

  /** A request was given a place. */
  begin({ keyId, priority }: PlaceAsk): void {
    const key = this.#keyOf(keyId);
    key.running++;
    key.servedAs = ++this.#servings;
    standingOf(key, priority).running++;
  }

  /** It gave it back. */
  end({ keyId, priority }: PlaceAsk, nowMs: number): void {
    const key = this.#keyOf(keyId);
    const standing = standingOf(key, priority);
    key.running--;
    standing.running--;
    standing.restingSinceMs = nowMs;
    this.#forgetIfEmpty(standing);
  }

  /**
   * Who gets the next place; undefined while nobody waits for models of which one is served. The highest priority goes first, as it has
   * aged; among equals the key with the fewest running, then the one that was served longest ago; within it, who came first.
   */
  next(nowMs: number): Waiter<Guest> | undefined {
    let best: Waiter<Guest> | undefined;
    let bestPriority = Number.NEGATIVE_INFINITY;
    for (const standing of this.#standings) {
      const oldest = oldestOf(standing, true);
      if (oldest === undefined) continue;
      const priority = this.#agedPriority(standing, oldest, nowMs);
      if (priority < bestPriority) continue;
      if (best !== undefined && priority === bestPriority && !goesBefore(oldest, best)) continue;
      best = oldest;
      bestPriority = priority;
    }
    return best;
  }

  /**
   * Whom a newcomer takes the room of, if it is full: nobody while it is not; undefined if the newcomer is to be refused.
   *
   * The newest of the key that holds the most goes, unless it would then hold less than the newcomer's, or is of a higher
   * priority. With no such key, a lower priority gives way to a higher, as long as the newcomer's key holds no more than its share.
   */
  whoGivesWay(ask: PlaceAsk, nowMs: number): readonly Waiter<Guest>[] | undefined {
    const { maxQueueDepth, maxQueueBytes } = this.limits;
    const leaving = new Leaving<Guest>();
    for (;;) {
      const tooMany = this.#size - leaving.waiters.size + 1 > maxQueueDepth;
      const tooLarge = this.#bytes - leaving.bytes + ask.bytes > maxQueueBytes;
      if (!tooMany && !tooLarge) return [...leaving.waiters];
      if (leaving.waiters.size === GIVING_WAY_MAX) return undefined;
      const measure = tooMany ? REQUESTS : BYTES;
      const loser = this.#fromLargestKey(ask, measure, leaving) ?? this.#fromLowest(ask, measure, leaving, nowMs);
      if (loser === undefined) return undefined;
      leaving.add(loser);
    }
  }

  /**
   * Whether a newcomer, for models of which none is served, would be one too many of those that wait for the same: it leaves less of the
   * room free than they hold. So one such model takes half of an empty room, two take two thirds together, and there is always some left
   * for those that are served, and for the next that is to wake.
   */
  crowds(ask: PlaceAsk): boolean {
    const same = this.#models.get(nameOf(modelsOf(ask)));
    if (same === undefined || ask.begun === true) return false; // The first of them is what wakes a worker.
    const { maxQueueDepth, maxQueueBytes } = this.limits;
    const requests = same.waiters.size + 1;
    const bytes = same.bytes + ask.bytes;
    return requests > maxQueueDepth - this.#size - 1 || bytes > maxQueueBytes - this.#bytes - ask.bytes;
  }

  #fromLargestKey(ask: PlaceAsk, measure: Measure, leaving: Leaving<Guest>): Waiter<Guest> | undefined {
    const own = heldBy(this.#keys.get(ask.keyId), measure, leaving) + measure.of(ask);
    let largest: Waiter<Guest> | undefined;
    let largestHeld = 0;
    for (const { key, priority, lanes } of this.#standings) {
      if (key.id === ask.keyId || priority > ask.priority) continue;
      const held = heldBy(key, measure, leaving);
      if (held < own || held < largestHeld) continue; // Most are passed here, before anything of theirs is looked at.
      const newest = leaving.newestOf(lanes);
      if (newest === undefined || held - measure.of(newest.ask) < own) continue;
      if (largest !== undefined && held === largestHeld && newest.number < largest.number) continue;
      largest = newest;
      largestHeld = held;
    }
    return largest;
  }

  #fromLowest(ask: PlaceAsk, measure: Measure, leaving: Leaving<Guest>, nowMs: number): Waiter<Guest> | undefined {
    const own = this.#keys.get(ask.keyId);
    const withinShare =
      ask.begun === true || heldBy(own, measure, leaving) + measure.of(ask) <= this.#share(own, measure);
    let lowest: Waiter<Guest> | undefined;
    let lowestPriority = Number.POSITIVE_INFINITY;
    for (const standing of this.#standings) {
      if (standing.priority >= ask.priority || (!withinShare && standing.key !== own)) continue;
      const priority = this.#agedPriority(standing, oldestOf(standing, false)!, nowMs);
      if (priority >= ask.priority || priority > lowestPriority) continue;
      const newest = leaving.newestOf(standing.lanes);
      if (newest === undefined) continue;
      if (lowest !== undefined && priority === lowestPriority && newest.number < lowest.number) continue;
      lowest = newest;
      lowestPriority = priority;
    }
    return lowest;
  }

  /** What each key could hold of the room if it were shared alike between all that wait, the newcomer's among them. */
  #share(newcomer: KeyAccount<Guest> | undefined, { limitOf }: Measure): number {
    const keys = this.#keysWaiting + (newcomer === undefined || newcomer.waiting === 0 ? 1 : 0);
    return Math.ceil(limitOf(this.limits) / keys);
  }

  /** Only who waits while nothing of it runs grows older: a key that is being served is not starving, however long its line. */
  #agedPriority({ priority, running, restingSinceMs }: Standing<Guest>, oldest: Waiter<Guest>, nowMs: number): number {
    if (running > 0) return priority;
    const starvedMs = nowMs - Math.max(oldest.sinceMs, restingSinceMs);
    return priority + Math.floor(starvedMs / this.limits.priorityAgeingMs);
  }

  #count({ ask, lane }: Waiter<Guest>, by: 1 | -1): void {
    const { key } = lane.standing;
    if (key.waiting === 0) this.#keysWaiting++;
    key.waiting += by;
    if (key.waiting === 0) this.#keysWaiting--;
    key.waitingBytes += by * ask.bytes;
    this.#size += by;
    this.#bytes += by * ask.bytes;
    lane.models.bytes += by * ask.bytes;
  }

  #laneOf(ask: PlaceAsk, served: boolean): Lane<Guest> {
    const standing = standingOf(this.#keyOf(ask.keyId), ask.priority);
    const ids = modelsOf(ask);
    const name = nameOf(ids);
    const models = this.#models.get(name) ?? { ids, served, bytes: 0, waiters: new Set() };
    const found = standing.lanes.find((lane) => lane.models === models);
    if (found) return found;
    this.#models.set(name, models);
    const lane = { standing, models, oldest: undefined, newest: undefined };
    standing.lanes.push(lane);
    this.#standings.add(standing);
    return lane;
  }

  #close(lane: Lane<Guest>): void {
    const { standing, models } = lane;
    standing.lanes.splice(standing.lanes.indexOf(lane), 1);
    if (standing.lanes.length === 0) this.#standings.delete(standing);
    if (models.waiters.size === 0) this.#models.delete(nameOf(models.ids));
    this.#forgetIfEmpty(standing);
  }

  #keyOf(id: string | undefined): KeyAccount<Guest> {
    const found = this.#keys.get(id);
    if (found) return found;
    const servedAs = this.#servedAs.get(id) ?? 0;
    this.#servedAs.delete(id);
    const key = { id, running: 0, waiting: 0, waitingBytes: 0, servedAs, standings: new Map() };
    this.#keys.set(id, key);
    return key;
  }

  #forgetIfEmpty({ key, priority, running, lanes }: Standing<Guest>): void {
    if (running === 0 && lanes.length === 0) key.standings.delete(priority);
    if (key.standings.size > 0) return;
    this.#keys.delete(key.id);
    if (this.#size > 0) this.#remember(key);
  }

  /** Otherwise a key that comes back at once with one request after another would take every second turn. */
  #remember({ id, servedAs }: KeyAccount<Guest>): void {
    this.#servedAs.set(id, servedAs);
    const [longestAgo] = this.#servedAs.keys();
    if (this.#servedAs.size > SERVED_KEYS_MAX) this.#servedAs.delete(longestAgo);
  }
}

/** Any of which may serve it; undefined while nobody knows. */
export function modelsOf({ model, fallbacks = [] }: Pick<PlaceAsk, 'model' | 'fallbacks'>): ModelSet {
  return model === undefined ? undefined : [model, ...fallbacks];
}

/** One for each set, in whatever order: aliases choose another order for each conversation. No id has a space. */
function nameOf(models: ModelSet): string | undefined {
  return models === undefined || models.length === 1 ? models?.[0] : [...models].sort().join(' ');
}

/** Of two of the same priority, as it has aged. */
function goesBefore<Guest>(one: Waiter<Guest>, other: Waiter<Guest>): boolean {
  const [key, otherKey] = [one.lane.standing.key, other.lane.standing.key];
  if (key.running !== otherKey.running) return key.running < otherKey.running;
  if (key.servedAs !== otherKey.servedAs) return key.servedAs < otherKey.servedAs;
  return one.number < other.number;
}

function oldestOf<Guest>({ lanes }: Standing<Guest>, servedOnly: boolean): Waiter<Guest> | undefined {
  let oldest: Waiter<Guest> | undefined;
  for (const lane of lanes) {
    if (servedOnly && !lane.models.served) continue;
    if (oldest === undefined || lane.oldest!.number < oldest.number) oldest = lane.oldest;
  }
  return oldest;
}

function standingOf<Guest>(key: KeyAccount<Guest>, priority: number): Standing<Guest> {
  const found = key.standings.get(priority);
  if (found) return found;
  const standing = { key, priority, running: 0, restingSinceMs: Number.NEGATIVE_INFINITY, lanes: [] };
  key.standings.set(priority, standing);
  return standing;
}

/** As if those that are leaving had left. */
function heldBy<Guest>(key: KeyAccount<Guest> | undefined, measure: Measure, leaving: Leaving<Guest>): number {
  if (key === undefined) return 0;
  return measure.heldBy(key) - leaving.sumOf(key.id, measure.of);
}

/** What of the room is short. */
interface Measure {
  of(ask: PlaceAsk): number;
  heldBy(key: Pick<KeyAccount<unknown>, 'waiting' | 'waitingBytes'>): number;
  limitOf(limits: RoomLimits): number;
}

const REQUESTS: Measure = {
  of: () => 1,
  heldBy: ({ waiting }) => waiting,
  limitOf: ({ maxQueueDepth }) => maxQueueDepth,
};
const BYTES: Measure = {
  of: ({ bytes }) => bytes,
  heldBy: ({ waitingBytes }) => waitingBytes,
  limitOf: ({ maxQueueBytes }) => maxQueueBytes,
};

/** Those that are about to give way: counted as gone, though nothing has happened to them yet. */
class Leaving<Guest> {
  readonly waiters = new Set<Waiter<Guest>>();

  get bytes(): number {
    return [...this.waiters].reduce((sum, { ask }) => sum + ask.bytes, 0);
  }

  add(waiter: Waiter<Guest>): void {
    this.waiters.add(waiter);
  }

  sumOf(keyId: string | undefined, of: Measure['of']): number {
    if (this.waiters.size === 0) return 0;
    return [...this.waiters].filter(({ ask }) => ask.keyId === keyId).reduce((sum, { ask }) => sum + of(ask), 0);
  }

  newestOf(lanes: readonly Lane<Guest>[]): Waiter<Guest> | undefined {
    let newest: Waiter<Guest> | undefined;
    for (const lane of lanes) {
      let last = lane.newest;
      while (last !== undefined && this.waiters.has(last)) last = last.before;
      if (last !== undefined && (newest === undefined || last.number > newest.number)) newest = last;
    }
    return newest;
  }
}
