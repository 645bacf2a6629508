import {
  ATTRIBUTE_CHARACTERS_MAX,
  ATTRIBUTES_MAX,
  type CollectionSpec,
  FILTER_TEXTS_MAX,
  NEAREST_MAX,
  type NearestQuestion,
  POINT_ID_CHARACTERS_MAX,
  REMOVED_IDS_MAX,
  UPSERT_POINTS_MAX,
  VECTOR_DIMENSION_MAX,
  type VectorFilter,
  type VectorPoint,
  VectorStoreUnavailable,
} from './vector-store.js';

/** What no store is asked: the same for all of them, so that nothing is taken by one and refused by the next. */

export function checkSpec({ name, dimension }: CollectionSpec): void {
  checkName(name);
  checkNumber('The dimension of a collection', dimension, 1, VECTOR_DIMENSION_MAX);
}

export function checkName(name: string): void {
  if (/^[A-Za-z0-9_-]{1,100}$/.test(name)) return;
  throw new RangeError(
    `${JSON.stringify(name)} can not name a collection: up to 100 letters, digits, "_" and "-" can.`,
  );
}

export function checkPoints(points: readonly VectorPoint[], { dimension }: CollectionSpec): void {
  checkNumber('The number of points', points.length, 0, UPSERT_POINTS_MAX);
  for (const { id, vector, attributes } of points) {
    checkId(id);
    checkVector(vector, dimension);
    checkAttributes(attributes);
  }
}

export function checkQuestion(
  { vector, limit, filter = {}, scoreMin = -1 }: NearestQuestion,
  { dimension }: CollectionSpec,
): void {
  checkVector(vector, dimension);
  checkNumber('The number of nearest points', limit, 1, NEAREST_MAX);
  checkFilter(filter);
  if (!(scoreMin >= -1 && scoreMin <= 1)) throw new RangeError(`A cosine is -1 to 1, and not ${scoreMin}.`);
}

export function checkIds(ids: readonly string[]): void {
  checkNumber('The number of ids', ids.length, 0, REMOVED_IDS_MAX);
  for (const id of ids) checkId(id);
}

export function checkFilter(filter: VectorFilter): void {
  const one = (value: VectorFilter[string]) =>
    typeof value !== 'object' ? value : 'below' in value ? value.below : FIRST_TEXT;
  checkAttributes(Object.fromEntries(Object.entries(filter).map(([name, value]) => [name, one(value)])));
  for (const [name, value] of Object.entries(filter)) {
    if (typeof value !== 'object' || !('in' in value)) continue;
    checkNumber('The number of texts to be one of', value.in.length, 0, FILTER_TEXTS_MAX);
    for (const text of value.in) checkAttributes({ [name]: text });
  }
}

/** In the place of several texts, each of which is checked by itself. */
const FIRST_TEXT = '';

function checkId(id: string): void {
  if (id.length > 0 && id.length <= POINT_ID_CHARACTERS_MAX && isKeepable(id)) return;
  throw new RangeError(
    `The id of a point has ${id.length} characters; it must be 1 to ${POINT_ID_CHARACTERS_MAX} of Unicode, none of them NUL.`,
  );
}

function checkVector(vector: ArrayLike<number>, dimension: number): void {
  if (vector.length !== dimension) {
    throw new RangeError(`The vector has ${vector.length} numbers; those of this collection have ${dimension}.`);
  }
  let isNothing = true;
  for (let at = 0; at < dimension; at++) {
    // As the stores hold them: what is beyond 32 bits would be infinite there, and what is too small nothing.
    const number = Math.fround(vector[at]!);
    if (!Number.isFinite(number))
      throw new RangeError(`Number ${at} of the vector is ${vector[at]}; it must be finite.`);
    isNothing &&= number === 0;
  }
  if (isNothing) throw new RangeError('The vector has length 0, and so points nowhere.');
}

function checkAttributes(attributes: Readonly<Record<string, unknown>>): void {
  const all = Object.entries(attributes);
  checkNumber('The number of attributes', all.length, 0, ATTRIBUTES_MAX);
  for (const [name, value] of all) {
    if (!/^[A-Za-z0-9_]{1,100}$/.test(name)) {
      throw new RangeError(`${JSON.stringify(name)} can not name an attribute: up to 100 letters, digits and "_" can.`);
    }
    if (!isAttribute(value)) {
      throw new RangeError(
        `The attribute ${name} can not be kept: text of Unicode without NUL, of at most ${ATTRIBUTE_CHARACTERS_MAX} characters, finite numbers and booleans can.`,
      );
    }
  }
}

function isAttribute(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value === 'string') return value.length <= ATTRIBUTE_CHARACTERS_MAX && isKeepable(value);
  return typeof value === 'boolean';
}

/** Half a surrogate pair is no character, and no store takes it. */
function isKeepable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

function checkNumber(what: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new RangeError(`${what} is ${value}; it must be ${min} to ${max}.`);
}

/** Lasts at most `timeoutMs`. What `work` still does after that is bounded by whoever does it, and its outcome is nobody's. */
export async function withinTime<T>(
  store: string,
  timeoutMs: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const ended = new AbortController();
  const { promise: over, reject } = Promise.withResolvers<never>();
  const end = (reason: unknown) => {
    reject(reason);
    ended.abort(reason);
  };
  const late = () =>
    end(
      new VectorStoreUnavailable(
        `${store} did not answer within ${timeoutMs.toLocaleString('en-US')} ms (vectorTimeoutMs).`,
      ),
    );
  const timer = setTimeout(late, timeoutMs);
  const onAbort = () => end(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  const working = work(ended.signal);
  try {
    return await Promise.race([working, over]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    working.catch(() => undefined); // Nobody waits for it any more.
  }
}
