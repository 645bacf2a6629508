import type { CitationSource } from '@millrace/contracts';
import type { CitationPlan } from './reading-plan.js';
import type { Scan } from './scan.js';

/** What opens and closes a passage that is cited. */
export interface CitationStyle {
  readonly numbers: RegExp;
  readonly sourcesOf: (numbers: string, sources: CitationPlan['sources']) => CitationSource[];
}

const LIST = /^ *\d+(?: *, *\d+)*$/;
const CALLS = /^ *\d+: *\[ *(?:\d+(?: *, *\d+)*)? *\](?: *, *\d+: *\[ *(?:\d+(?: *, *\d+)*)? *\])*$/;

/** `<co: 0,1>` and `</co: 0,1>`: each number is a source. */
export const LISTED: CitationStyle = {
  numbers: LIST,
  sourcesOf: (numbers, sources) => numbersIn(numbers).flatMap((number) => sources[number] ?? []),
};

/** `<co>` and `</co: 0:[1,2]>`: numbers of calls, each with the numbers of its results. */
export const BY_CALL: CitationStyle = {
  numbers: CALLS,
  sourcesOf: (numbers, sources) =>
    [...numbers.matchAll(/(\d+): *\[([^\]]*)\]/g)].flatMap(([, call, results]) =>
      numbersIn(results!).flatMap((result) => sources[Number(call)]?.[result] ?? []),
    ),
};

function numbersIn(text: string): number[] {
  return (text.match(/\d+/g) ?? []).map(Number);
}

/**
 * The mark that stands here: `opens`, or what a closing one names; goes on behind it. Undefined where there is none, which
 * is also where the numbers are none.
 */
export function takeCitationMark(
  scan: Scan,
  { numbers, sourcesOf }: CitationStyle,
  { sources }: CitationPlan,
): 'opens' | CitationSource[] | undefined {
  const from = scan.at;
  if (scan.takes('<co>')) return 'opens';
  const opens = scan.takes('<co:');
  if (!opens && !scan.takes('</co:')) return undefined;
  const written = scan.takeUntil('>');
  if (written !== undefined && numbers.test(written)) return opens ? 'opens' : sourcesOf(written, sources);
  scan.at = from;
  return undefined;
}
