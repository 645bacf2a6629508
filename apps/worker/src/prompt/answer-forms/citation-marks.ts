import type { Citation, CitationSource } from '@millrace/contracts';
import type { Form } from './forms.js';
import type { CitationPlan } from './reading-plan.js';
import type { Scan } from './scan.js';

/** Reads the marks around what is cited, and tells the citation once it closes. */
export interface CitationMarks {
  readonly begins: string;
  /** Whether a mark stands here; goes on behind it. */
  takes(scan: Scan): boolean;
  /** The mark that was taken last, at that place of the text: a citation if it closes one. */
  read(codePoints: number): Citation | undefined;
}

const LIST = /^ *\d+(?: *, *\d+)*$/;
const CALLS = /^ *\d+: *\[ *(?:\d+(?: *, *\d+)*)? *\](?: *, *\d+: *\[ *(?:\d+(?: *, *\d+)*)? *\])*$/;

export function openCitationMarks(form: Form, plan: CitationPlan): CitationMarks | undefined {
  switch (form.citations) {
    case 'listed':
      return new Marks(plan, LIST, listed);
    case 'by-call':
      return new Marks(plan, CALLS, byCall);
    default:
      return undefined;
  }
}

type Resolve = (numbers: string, sources: CitationPlan['sources']) => CitationSource[];

/** `<co: 0,1>` and `</co: 0,1>`, or `<co>` and `</co: 0:[1,2]>`. */
class Marks implements CitationMarks {
  readonly begins = '<';
  #start: number | undefined;
  /** The numbers of the mark that was taken, if it closes. */
  #closing: string | undefined;

  constructor(
    private readonly plan: CitationPlan,
    private readonly numbers: RegExp,
    private readonly resolve: Resolve,
  ) {}

  takes(scan: Scan): boolean {
    const from = scan.at;
    this.#closing = undefined;
    if (scan.takes('<co>')) return true;
    const closes = !scan.takes('<co:');
    if (closes && !scan.takes('</co:')) return false;
    const numbers = scan.takeUntil('>');
    if (numbers === undefined || !this.numbers.test(numbers)) {
      scan.at = from;
      return false;
    }
    if (closes) this.#closing = numbers;
    return true;
  }

  read(codePoints: number): Citation | undefined {
    if (this.#closing === undefined) {
      this.#start = codePoints;
      return undefined;
    }
    const start = this.#start;
    this.#start = undefined;
    if (start === undefined || start === codePoints) return undefined;
    const sources = this.resolve(this.#closing, this.plan.sources);
    return sources.length === 0 ? undefined : { start, end: codePoints, sources };
  }
}

function numbersIn(text: string): number[] {
  return (text.match(/\d+/g) ?? []).map(Number);
}

/** Each number is a source. */
function listed(numbers: string, sources: CitationPlan['sources']): CitationSource[] {
  return numbersIn(numbers).flatMap((number) => sources[number] ?? []);
}

/** Each number is a call, with the numbers of its results. */
function byCall(numbers: string, sources: CitationPlan['sources']): CitationSource[] {
  return [...numbers.matchAll(/(\d+): *\[([^\]]*)\]/g)].flatMap(([, call, results]) =>
    numbersIn(results!).flatMap((result) => sources[Number(call)]?.[result] ?? []),
  );
}
