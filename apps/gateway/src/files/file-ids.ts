import { randomHex } from '@millrace/runtime';

/** Bytes of chance in an id: nobody finds one by trying, though what is not theirs they would not be shown anyway. */
const RANDOM_BYTES = 10;
const TIME_DIGITS = 12;
const SHAPE = /^(?:file-|upload_|part_)[0-9a-f]{32}$/;

/**
 * OpenAI's beginnings, and then the time: lists go by ids, so that `after` means something when that file is deleted by then.
 */
export function newId(kind: 'file-' | 'upload_' | 'part_', nowMs = Date.now()): string {
  return `${kind}${nowMs.toString(16).padStart(TIME_DIGITS, '0')}${randomHex(RANDOM_BYTES)}`;
}

/** What can be no id is none that there is; the database need not be asked. */
export function isIdOf(kind: 'file-' | 'upload_' | 'part_', text: string): boolean {
  return text.startsWith(kind) && SHAPE.test(text);
}
