import { type Item, literal, once } from '../json-schema/grammar-builder.js';
import { type CallHead, type CallPlace, type CallSyntax, NAME_CHARACTER } from './call-syntax.js';
import type { CallWriter } from './call-writer.js';
import { takeClose } from './list-calls.js';
import type { Scan } from './scan.js';

const ALL_BEGIN = '<｜tool▁calls▁begin｜>';
const ALL_END = '<｜tool▁calls▁end｜>';
const BEGIN = '<｜tool▁call▁begin｜>';
const SEPARATOR = '<｜tool▁sep｜>';
const END = '<｜tool▁call▁end｜>';
/** How the smaller models, which have no such tokens, spell the first mark at times. */
const ALL_BEGIN_MISSPELT = ['<｜tool_calls_begin｜>', '<｜tool calls begin｜>', '<｜tool▁calls｜>'];

const FENCE = '```';

/**
 * DeepSeek's: calls one by one between marks. R1 and V3 write `function`, a separator, the name, and the arguments between
 * fences; V3.1 writes the name, a separator, and the arguments.
 */
export class DeepSeekCalls implements CallSyntax {
  readonly begins = '<';

  opens(scan: Scan): boolean {
    if (scan.takes(ALL_BEGIN) || scan.takesOneOf(ALL_BEGIN_MISSPELT)) return true;
    const from = scan.at;
    if (!scan.takes(BEGIN)) return false;
    // Some leave out the mark around all calls; the one of this call belongs to its head.
    scan.at = from;
    return true;
  }

  head(scan: Scan, { callable }: CallPlace): CallHead | undefined {
    scan.skipBlanks();
    if (!scan.takes(BEGIN)) return undefined;
    const first = scan.takeAll(NAME_CHARACTER);
    if (!scan.takes(SEPARATOR)) return undefined;
    scan.skipBlanks();
    if (scan.peek() === '{') return callable(first) ? { name: first, written: 'object' } : undefined;
    const name = scan.takeAll(NAME_CHARACTER);
    if (first !== 'function' || !callable(name)) return undefined;
    scan.skipBlanks();
    if (scan.takes(FENCE)) scan.takes('json');
    scan.skipBlanks();
    if (scan.peek() === '{') return { name, written: 'object', fenced: true };
    return scan.over ? { name, written: { whole: '' } } : undefined;
  }

  tail(scan: Scan, { fenced }: CallHead): 'another' | 'over' {
    if (fenced === true) takeClose(scan, [FENCE]);
    takeClose(scan, [END]);
    const from = scan.at;
    scan.skipBlanks();
    const next = scan.at;
    if (scan.takes(BEGIN)) {
      scan.at = next;
      return 'another';
    }
    scan.at = from;
    takeClose(scan, [ALL_END]);
    return 'over';
  }

  write(writer: CallWriter, template: string): Item[] {
    const { blank, space } = writer;
    const open = writer.rule(...[ALL_BEGIN, ...ALL_BEGIN_MISSPELT].map((mark) => [literal(mark), space]), []);
    const call = template.includes(`${FENCE}json`)
      ? writer.rule([
          literal(`function${SEPARATOR}`),
          writer.named((tool) => [literal(`\n${FENCE}json\n`), once(tool.arguments), blank, literal(`${FENCE}${END}`)]),
        ])
      : writer.named((tool) => [literal(SEPARATOR), once(tool.arguments), literal(END)]);
    const calls = writer.row([literal(BEGIN), call], [blank]);
    return [open, ...calls, blank, literal(ALL_END)];
  }
}
