import { type Item, literal } from '../json-schema/grammar-builder.js';
import { readObjectHead, readObjectTail } from './call-objects.js';
import type { CallHead, CallPlace, CallSyntax } from './call-syntax.js';
import type { CallWriter } from './call-writer.js';
import type { Scan } from './scan.js';

export interface ListMarks {
  /** What opens the list, before its bracket. Of several, grammars have the first. */
  readonly opens: readonly string[];
  /** What closes it, behind its bracket; it may be left out where the template doesn't have it. */
  readonly closes: readonly string[];
  readonly nameKey: string;
  readonly argumentsKey: string;
  /** A key before the name that models number their calls with. */
  readonly numberKey?: string | undefined;
}

/** All calls are one JSON list: `<|START_ACTION|>[{"tool_name": …, "parameters": {…}}]<|END_ACTION|>`. */
export class ListCalls implements CallSyntax {
  readonly begins: string;

  constructor(private readonly marks: ListMarks) {
    this.begins = marks.opens.map(([first]) => first).join('');
  }

  opens(scan: Scan): boolean {
    return scan.takesOneOf(this.marks.opens);
  }

  head(scan: Scan, { callable }: CallPlace): CallHead | undefined {
    scan.skipBlanks();
    scan.takes('[');
    return readObjectHead(scan, callable);
  }

  tail(scan: Scan): 'another' | 'over' {
    return readListTail(scan, this.marks.closes);
  }

  write(writer: CallWriter, template: string): Item[] {
    const { opens, closes, nameKey, argumentsKey, numberKey } = this.marks;
    const { blank, space } = writer;
    const number = numberKey === undefined ? [] : [literal(`"${numberKey}":`), blank, '"\\"" [0-9]{1,3} "\\","', blank];
    const calls = writer.row([writer.object(nameKey, argumentsKey, number)], ['","', blank]);
    // Not every template says how its models close the list.
    const close = closes.map((mark) => (template.includes(mark) ? literal(mark) : writer.optional(literal(mark))));
    return [literal(opens[0]!), space, '"["', space, ...calls, blank, '"]"', ...close];
  }
}

/** Behind the arguments of an item: the rest of the item, then the next one, or the end of the list and `closes`. */
export function readListTail(scan: Scan, closes: readonly string[]): 'another' | 'over' {
  if (!readObjectTail(scan)) return 'over';
  const from = scan.at;
  scan.skipBlanks();
  if (scan.takes(',')) return 'another';
  if (!scan.takes(']')) {
    scan.at = from;
    return 'over';
  }
  takeClose(scan, closes);
  return 'over';
}

/** Takes what closes calls, with the blanks before it, if it is there. */
export function takeClose(scan: Scan, closes: readonly string[]): boolean {
  const from = scan.at;
  scan.skipBlanks();
  if (scan.takesOneOf(closes)) return true;
  scan.at = from;
  return false;
}
