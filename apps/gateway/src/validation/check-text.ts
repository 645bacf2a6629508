import { InferenceError } from '@millrace/contracts';
import { paramPath } from './param-path.js';

/** Deeper than any tool's schema that was seen; JSON.stringify overflows the stack at some thousands. */
const DEPTH_MAX = 64;

/** An object with millions of keys holds up every other request for seconds. */
const KEYS_MAX = 10_000;

/**
 * Refuses what JSON can carry and nobody downstream can: half of a surrogate pair (it has no UTF-8 form, so protobuf
 * and the tokenizer would quietly read something else), nesting without end, and objects with keys without end.
 */
export function checkText(body: unknown): void {
  const path: (string | number)[] = [];
  visit(body, path);
}

function visit(value: unknown, path: (string | number)[]): void {
  if (typeof value === 'string') checkWellFormed(value, path);
  if (typeof value !== 'object' || value === null) return;
  if (path.length >= DEPTH_MAX) {
    throw new InferenceError(
      'invalid_request',
      `The body is nested deeper than ${DEPTH_MAX} levels, below \`${paramPath(path.slice(0, 3))}\`. Flatten it.`,
      { param: paramPath(path.slice(0, 1)) },
    );
  }
  if (Array.isArray(value)) {
    // Lists of token ids may have millions of entries, none of which can be wrong in these ways.
    for (let index = 0; index < value.length; index++) {
      if (typeof value[index] !== 'number') step(value[index], index, path);
    }
  } else {
    const keys = Object.keys(value);
    if (keys.length > KEYS_MAX) throw tooManyKeys(keys.length, path);
    for (const key of keys) {
      checkWellFormed(key, path);
      step((value as Readonly<Record<string, unknown>>)[key], key, path);
    }
  }
}

function tooManyKeys(keys: number, path: readonly (string | number)[]): InferenceError {
  const param = paramPath(path);
  return new InferenceError(
    'invalid_request',
    `${param ? `\`${param}\`` : 'The body'} has ${keys} keys; an object may have ${KEYS_MAX}. Send fewer.`,
    { param: param || undefined },
  );
}

function step(value: unknown, key: string | number, path: (string | number)[]): void {
  path.push(key);
  visit(value, path);
  path.pop();
}

function checkWellFormed(text: string, path: readonly (string | number)[]): void {
  if (text.isWellFormed()) return;
  const param = paramPath(path);
  throw new InferenceError(
    'invalid_request',
    `\`${param || 'a key of the body'}\` holds half of a surrogate pair, which is not text. Send whole characters.`,
    { param: param || undefined },
  );
}
