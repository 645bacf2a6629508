import { type Item, literal, once } from '../json-schema/grammar-builder.js';
import { readObjectHead } from './call-objects.js';
import { type CallHead, type CallPlace, type CallSyntax, NAME_CHARACTER } from './call-syntax.js';
import type { CallWriter } from './call-writer.js';
import { readListTail } from './list-calls.js';
import type { Scan } from './scan.js';

const OPEN = '[TOOL_CALLS]';
const ID = '[CALL_ID]';
const ARGUMENTS = '[ARGS]';
/** The template refuses other ids when they come back; they are not the ones that a caller sees. */
const ID_CHARACTERS = '[a-zA-Z0-9]{9}';

/**
 * Mistral's: `[TOOL_CALLS]` and a JSON list; or, for each call, `[TOOL_CALLS]name[ARGS]{…}`, with `[CALL_ID]…` between in
 * some. All are read; the template says which is written.
 */
export class MistralCalls implements CallSyntax {
  readonly begins = '[';

  opens(scan: Scan): boolean {
    return scan.takes(OPEN);
  }

  head(scan: Scan, { callable }: CallPlace): CallHead | undefined {
    scan.skipBlanks();
    if (scan.takes('[')) scan.skipBlanks();
    if (scan.peek() === '{') {
      const head = readObjectHead(scan, callable);
      return head && { ...head, listed: true };
    }
    const name = scan.takeAll(NAME_CHARACTER);
    if (!callable(name)) return undefined;
    if (scan.takes(ID)) scan.takeAll(NAME_CHARACTER);
    const marked = scan.takes(ARGUMENTS);
    scan.skipBlanks();
    if (scan.peek() === '{') return { name, written: 'object' };
    return marked && scan.over ? { name, written: { whole: '' } } : undefined;
  }

  tail(scan: Scan, { listed }: CallHead): 'another' | 'over' {
    return listed === true ? readListTail(scan, []) : 'over';
  }

  write(writer: CallWriter, template: string): Item[] {
    const { blank } = writer;
    if (template.includes(ARGUMENTS)) {
      const id = template.includes(ID) ? [literal(ID), ID_CHARACTERS] : [];
      const call = writer.named((tool) => [...id, literal(ARGUMENTS), once(tool.arguments)]);
      return writer.row([literal(OPEN), call], []);
    }
    const id = writer.optional('","', blank, '"\\"id\\":"', blank, `"\\"" ${ID_CHARACTERS} "\\""`);
    const calls = writer.row([writer.object('name', 'arguments', [], [id])], ['","', blank]);
    return [literal(OPEN), writer.space, '"["', writer.space, ...calls, '"]"'];
  }
}
