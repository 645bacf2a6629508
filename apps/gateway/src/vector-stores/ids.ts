import { randomHex } from '@millrace/runtime';

type Kind = 'vs_' | 'vsfb_' | 'entry_';

/** Bytes of chance in an id: nobody finds one by trying, though what is not theirs they would not be shown anyway. */
const RANDOM_BYTES = 8;
const TIME_DIGITS = 12;
const PLACE_DIGITS = 4;
const SHAPE = /^(?:vs_|vsfb_)[0-9a-f]{32}$/;

/**
 * OpenAI's beginnings, and then the time: lists go by ids.
 *
 * @param place among those that are made at once.
 */
export function newId(kind: Kind, place = 0): string {
  const digits = (value: number, count: number) => value.toString(16).padStart(count, '0');
  return `${kind}${digits(Date.now(), TIME_DIGITS)}${digits(place, PLACE_DIGITS)}${randomHex(RANDOM_BYTES)}`;
}

/** What can be no id is none that there is; the database need not be asked. */
export function isIdOf(kind: Kind, text: string): boolean {
  return text.startsWith(kind) && SHAPE.test(text);
}
