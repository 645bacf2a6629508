import { type Automaton, type Budget, intersect, type Move, type State, TooLarge } from './automaton.js';
import { constantAutomaton, wholeAutomaton } from './pattern.js';
import { INTEGER_DIGITS_MAX, NUMBER_DIGITS_MAX, SCHEMA_LIMITS } from './schema-limits.js';

/** What a number must be. */
export interface NumberRange {
  readonly integer: boolean;
  readonly minimum?: Bound | undefined;
  readonly maximum?: Bound | undefined;
  readonly multiplesOf: readonly number[];
}

export interface Bound {
  readonly value: number;
  readonly exclusive: boolean;
}

const INTEGER = `-?(?:0|[1-9]\\d{0,${INTEGER_DIGITS_MAX - 1}})`;
const SHORT_INTEGER = `-?(?:0|[1-9]\\d{0,${NUMBER_DIGITS_MAX - 1}})`;
/** Up to 15 digits in all, so that no two texts are the same number to a reader with doubles. */
const DECIMAL = `-?(?:0(?:\\.\\d{1,${NUMBER_DIGITS_MAX}})?|${Array.from({ length: NUMBER_DIGITS_MAX }, (_, before) => {
  const left = NUMBER_DIGITS_MAX - 1 - before;
  return `[1-9]\\d{${before}}${left > 0 ? `(?:\\.\\d{1,${left}})?` : ''}`;
}).join('|')})`;

/**
 * The texts of numbers in a range: decimal, without an exponent. A bound becomes a pattern that compares digit by digit,
 * and the patterns are intersected.
 *
 * @throws TooLarge
 */
export function numberAutomaton(range: NumberRange, budget: Budget): Automaton {
  const { integer, multiplesOf } = range;
  const minimum = range.minimum && withoutExtremes(range.minimum, 'minimum');
  const maximum = range.maximum && withoutExtremes(range.maximum, 'maximum');
  if (minimum === 'impossible' || maximum === 'impossible') return { states: [] };
  const exact = multiplesOf.length > 0 || minimum?.exclusive || maximum?.exclusive;
  let automaton = constantAutomaton(integer ? (exact ? SHORT_INTEGER : INTEGER) : DECIMAL);
  if (minimum !== undefined) automaton = intersect(automaton, wholeAutomaton(atLeast(minimum), budget), budget);
  if (maximum !== undefined) automaton = intersect(automaton, wholeAutomaton(atMost(maximum), budget), budget);
  for (const multiple of multiplesOf) automaton = intersect(automaton, multiplesAutomaton(multiple), budget);
  return automaton;
}

/** Beyond this no text of ours reaches; nearer to zero than its inverse, none comes. */
const LARGEST = 10 ** INTEGER_DIGITS_MAX;
const SMALLEST = 10 ** -NUMBER_DIGITS_MAX;

/** The same bound for the texts there are, without hundreds of digits. Undefined: every text is within it. */
function withoutExtremes(bound: Bound, side: 'minimum' | 'maximum'): Bound | 'impossible' | undefined {
  const { value } = bound;
  const outward = side === 'minimum' ? -1 : 1;
  if (Math.abs(value) >= LARGEST) return Math.sign(value) === outward ? undefined : 'impossible';
  if (value === 0 || Math.abs(value) >= SMALLEST) return bound;
  return { value: 0, exclusive: Math.sign(value) !== outward };
}

const DIGITS = '(?:0|[1-9]\\d*)';
const ANY = `${DIGITS}(?:\\.\\d+)?`;

function atLeast({ value, exclusive }: Bound): string {
  if (value > 0) return above(value, exclusive);
  // Zero and less: everything without a sign, but zero itself where it is excluded.
  if (value === 0) return exclusive ? above(0, true) : `(?:${ANY}|-0(?:\\.0+)?)`;
  return `(?:${ANY}|-${below(-value, exclusive)})`;
}

function atMost({ value, exclusive }: Bound): string {
  if (value > 0) return `(?:-${ANY}|${below(value, exclusive)})`;
  if (value === 0) return exclusive ? `-${above(0, true)}` : `(?:-${ANY}|0(?:\\.0+)?)`;
  return `-${above(-value, exclusive)}`;
}

/** Texts without a sign that are more than `bound`, or as much. */
function above(bound: number, exclusive: boolean): string {
  const { whole, fraction } = decimal(bound);
  const more = wholeBeyond(whole, 'more').map((digits) => `${digits}(?:\\.\\d+)?`);
  const same = [...fraction].map((digit, at) => after(fraction, at, digit, '9', 1)).filter((part) => part !== '');
  same.push(`${fraction}\\d*[1-9]\\d*`);
  const equal = fraction === '' ? [`${whole}(?:\\.0+)?`] : [`${whole}\\.${fraction}0*`];
  return `(?:${[...more, `${whole}\\.(?:${same.join('|')})`, ...(exclusive ? [] : equal)].join('|')})`;
}

/** Texts without a sign that are less than `bound`, or as much. */
function below(bound: number, exclusive: boolean): string {
  const { whole, fraction } = decimal(bound);
  const less = wholeBeyond(whole, 'less').map((digits) => `${digits}(?:\\.\\d+)?`);
  const same = [...fraction].map((digit, at) => after(fraction, at, '0', digit, -1)).filter((part) => part !== '');
  // The beginnings of the fraction, which are less since its last digit is no zero.
  const shorter = Array.from({ length: Math.max(0, fraction.length - 1) }, (_, at) => fraction.slice(0, at + 1));
  if (fraction !== '') less.push(whole, `${whole}\\.(?:${[...same, ...shorter].join('|')})`);
  const equal = fraction === '' ? [`${whole}(?:\\.0+)?`] : [`${whole}\\.${fraction}0*`];
  const all = [...less, ...(exclusive ? [] : equal)];
  return `(?:${all.join('|')})`;
}

/** A fraction that agrees with `fraction` before `at`, and there has a digit between the two, the near one left out. */
function after(fraction: string, at: number, low: string, high: string, from: 1 | -1): string {
  const [first, last] = from === 1 ? [Number(low) + 1, Number(high)] : [Number(low), Number(high) - 1];
  return first > last ? '' : `${fraction.slice(0, at)}[${first}-${last}]\\d*`;
}

function wholeBeyond(whole: string, side: 'more' | 'less'): string[] {
  const length = whole.length;
  const patterns = side === 'more' ? [`[1-9]\\d{${length},}`] : [];
  if (side === 'less' && length > 1) patterns.push(length > 2 ? `(?:0|[1-9]\\d{0,${length - 2}})` : '\\d');
  for (const [at, character] of [...whole].entries()) {
    const digit = Number(character);
    const least = at === 0 && length > 1 ? 1 : 0;
    const [first, last] = side === 'more' ? [digit + 1, 9] : [least, digit - 1];
    if (first <= last) patterns.push(`${whole.slice(0, at)}[${first}-${last}]\\d{${length - at - 1}}`);
  }
  return patterns;
}

/** The digits of the shortest decimal that is read as `value`, without an exponent. */
function decimal(value: number): { whole: string; fraction: string } {
  const [mantissa = '', exponent = '0'] = value.toString().split('e');
  const [before = '', behind = ''] = mantissa.split('.');
  const shift = Number(exponent);
  const digits = before + behind;
  const point = before.length + shift;
  const padded = point <= 0 ? '0'.repeat(1 - point) + digits : digits.padEnd(point, '0');
  const split = Math.max(point, 1);
  return {
    whole: padded.slice(0, split).replace(/^0+(?=\d)/, ''),
    fraction: padded.slice(split).replace(/0+$/, ''),
  };
}

/**
 * Multiples of `of`, a whole number or a simple decimal such as 0.25: the text without its point is followed modulo
 * `of`'s digits, and the places that are missing at its end count as zeros.
 */
function multiplesAutomaton(of: number): Automaton {
  const { whole, fraction } = decimal(of);
  const places = fraction.length;
  const divisor = Number(whole + fraction);
  const size = divisor * (places + 1);
  if (size > SCHEMA_LIMITS.multipleOfMax) {
    throw new TooLarge(`${size} remainders and decimal places, more than ${SCHEMA_LIMITS.multipleOfMax}`);
  }
  // States: the sign, the first digit after a sign, then `remainder` with `behind` digits after the point, -1 for none.
  const idOf = (remainder: number, behind: number) => 2 + remainder * (places + 2) + behind + 1;
  const digits = (remainder: number, behind: number): Move[] =>
    Array.from({ length: 10 }, (_, digit) => ({
      first: 0x30 + digit,
      last: 0x30 + digit,
      to: idOf((remainder * 10 + digit) % divisor, behind),
    }));
  const states: State[] = [
    { accepts: false, moves: [{ first: 0x2d, last: 0x2d, to: 1 }, ...digits(0, -1)] },
    { accepts: false, moves: digits(0, -1) },
  ];
  for (let remainder = 0; remainder < divisor; remainder++) {
    for (let behind = -1; behind <= places; behind++) {
      const missing = places - Math.max(0, behind);
      const point: Move[] = behind === -1 && places > 0 ? [{ first: 0x2e, last: 0x2e, to: idOf(remainder, 0) }] : [];
      const more = behind === -1 ? digits(remainder, -1) : behind < places ? digits(remainder, behind + 1) : [];
      states.push({
        accepts: behind !== 0 && (remainder * 10 ** missing) % divisor === 0,
        moves: [...point, ...more],
      });
    }
  }
  return { states };
}
