import { randomHex } from '@millrace/runtime';

/** Bytes of chance in an id: nobody finds one by trying, though what is not theirs they would not be shown anyway. */
const RANDOM_BYTES = 8;
const TIME_DIGITS = 12;
const PLACE_DIGITS = 4;
const SHAPE = /^[0-9a-f]{32}$/;

/**
 * OpenAI's beginnings, and then the time: lists go by ids, so that `after` means something when what had that id is deleted by then.
 *
 * @param place among those that are made at once; undefined: it is made alone.
 */
export function timedId(beginning: string, place?: number): string {
  const digits = (value: number, count: number) => value.toString(16).padStart(count, '0');
  const second = place === undefined ? randomHex(PLACE_DIGITS / 2) : digits(place, PLACE_DIGITS);
  return `${beginning}${digits(Date.now(), TIME_DIGITS)}${second}${randomHex(RANDOM_BYTES)}`;
}

/** What can be no id is none that there is; the database need not be asked. */
export function isTimedId(beginning: string, text: string): boolean {
  return text.startsWith(beginning) && SHAPE.test(text.slice(beginning.length));
}
