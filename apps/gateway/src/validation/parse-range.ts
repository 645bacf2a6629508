import { InferenceError } from '@millrace/contracts';
import type { Call } from '../vocabulary.js';

/** From the first byte on, so many; there is at least one. */
export interface FilePartAsked {
  readonly from: number;
  readonly bytes: number;
}

/**
 * One range, as downloads that broke off ask for the rest (RFC 9110, 14). What is no range of ours, several among them, is passed over, as
 * that says: then all of it is the answer.
 *
 * @throws InferenceError `range_not_satisfiable` where it begins behind the end.
 */
export function parseRange(
  header: string | undefined,
  bytes: number,
  call: Pick<Call, 'tell'>,
): FilePartAsked | undefined {
  const [, first, last] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? '') ?? [];
  if (first === undefined || last === undefined || `${first}${last}` === '') return undefined;
  const from = first === '' ? Math.max(0, bytes - Number(last)) : Number(first);
  const to = first === '' || last === '' ? bytes - 1 : Math.min(Number(last), bytes - 1);
  if (first !== '' && last !== '' && Number(last) < from) return undefined;
  if (from <= to) return { from, bytes: to - from + 1 };
  call.tell({ 'content-range': `bytes */${bytes}` });
  throw new InferenceError(
    'range_not_satisfiable',
    `The file has ${bytes.toLocaleString('en')} bytes, and Range asks for ${JSON.stringify(header?.slice(0, 60))}. Ask for a part of it.`,
  );
}
