import { type Item, literal } from '../json-schema/grammar-builder.js';
import { readObjectHead } from './call-objects.js';
import type { CallHead, CallPlace, CallSyntax } from './call-syntax.js';
import type { CallWriter } from './call-writer.js';
import { readListTail } from './list-calls.js';
import type { Scan } from './scan.js';

const FENCE = '```';

/** Command-R's: `Action:` at the beginning of a line, then a JSON list between fences. */
export class ActionCalls implements CallSyntax {
  readonly begins = 'A';

  opens(scan: Scan, { lineBegins }: CallPlace): boolean {
    if (!lineBegins || !scan.takes('Action:')) return false;
    scan.skipBlanks();
    if (!scan.takes(FENCE)) return false;
    scan.takes('json');
    scan.skipBlanks();
    return scan.takes('[');
  }

  head(scan: Scan, { callable }: CallPlace): CallHead | undefined {
    return readObjectHead(scan, callable);
  }

  tail(scan: Scan): 'another' | 'over' {
    return readListTail(scan, [FENCE]);
  }

  write(writer: CallWriter): Item[] {
    const { blank, space } = writer;
    const calls = writer.row([writer.object('tool_name', 'parameters')], ['","', blank]);
    const fence = [literal(FENCE), writer.optional('"json"')];
    return ['"Action:"', space, ...fence, space, '"["', space, ...calls, blank, literal(`]${FENCE}`)];
  }
}
