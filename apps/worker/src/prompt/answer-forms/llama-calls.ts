import { type Item, literal, once } from '../json-schema/grammar-builder.js';
import { readObjectHead, readObjectTail } from './call-objects.js';
import { type CallHead, type CallPlace, type CallSyntax, NAME_CHARACTER } from './call-syntax.js';
import type { CallWriter } from './call-writer.js';
import { takeClose } from './list-calls.js';
import { readPythonCall } from './python-call.js';
import type { Scan } from './scan.js';

const PYTHON = '<|python_tag|>';
const FUNCTION = '<function=';
const FUNCTION_END = '</function>';

/**
 * Llama 3's: an object without any mark around it, at the beginning of a line. What tells it from other JSON is that it
 * begins with the name of a tool. Some write `<|python_tag|>` before it, or `name.call(key="value")` behind that, and some
 * `<function=name>{…}</function>`.
 */
export class LlamaCalls implements CallSyntax {
  readonly begins = '{<';

  opens(scan: Scan, place: CallPlace): boolean | 'unbound' {
    const from = scan.at;
    if (scan.takes(FUNCTION)) return beginsName(scan, place.names, '>');
    const tagged = scan.takes(PYTHON);
    if (!tagged && !place.lineBegins) return false;
    const object = scan.at;
    if (this.#opensObject(scan, place.names)) {
      scan.at = object;
      return true;
    }
    scan.at = object;
    if (tagged && beginsName(scan, place.names, '.call(')) return 'unbound';
    scan.at = from;
    return false;
  }

  #opensObject(scan: Scan, names: Iterable<string>): boolean {
    scan.skipBlanks();
    if (!scan.takes('{')) return false;
    scan.skipBlanks();
    if (scan.takes('"type"')) {
      takeColon(scan);
      if (!scan.takes('"function"')) return false;
      scan.skipBlanks();
      if (!scan.takes(',')) return false;
      scan.skipBlanks();
    }
    if (!scan.takes('"name"')) return false;
    takeColon(scan);
    return scan.takes('"') && beginsName(scan, names, '"');
  }

  head(scan: Scan, { callable }: CallPlace): CallHead | undefined {
    const from = scan.at;
    const name = scan.takeAll(NAME_CHARACTER);
    if (name !== '' && !callable(name)) return undefined;
    if (name !== '' && scan.takes('>')) {
      scan.skipBlanks();
      return scan.peek() === '{' ? { name, written: 'object', closed: true } : undefined;
    }
    if (name !== '') return readPythonCall(scan, name);
    scan.at = from;
    const head = readObjectHead(scan, callable);
    return head && { ...head, listed: true };
  }

  tail(scan: Scan, { listed, closed }: CallHead): 'another' | 'over' {
    if (closed === true) takeClose(scan, [FUNCTION_END]);
    if (listed !== true || !readObjectTail(scan)) return 'over';
    const from = scan.at;
    scan.skipBlanks();
    if (scan.takes(';')) {
      scan.skipBlanks();
      if (scan.peek() === '{') return 'another';
    }
    scan.at = from;
    return 'over';
  }

  write(writer: CallWriter, template: string): Item[] {
    const { blank, space } = writer;
    const call = writer.named((tool) => [literal('>'), space, once(tool.arguments), blank, literal(FUNCTION_END)]);
    const tagged = writer.row([literal(FUNCTION), call], [blank]);
    // Models write what their template shows; some write the tags unasked.
    if (template.includes(FUNCTION)) return [writer.rule(tagged)];
    const colon: Item[] = [space, '":"', space];
    const type = writer.optional('"\\"type\\""', ...colon, '"\\"function\\""', space, '","', space);
    const objects = writer.row([writer.object('name', 'parameters', [type])], ['";"', blank]);
    return [writer.rule(tagged, [writer.optional(literal(PYTHON), space), ...objects])];
  }
}

function takeColon(scan: Scan): void {
  scan.skipBlanks();
  scan.takes(':');
  scan.skipBlanks();
}

/** Whether the name of a tool stands here, or all that is there yet is the beginning of one. */
export function beginsName(scan: Scan, names: Iterable<string>, end: string): boolean {
  const soFar = scan.soFar();
  for (const name of names) {
    const whole = name + end;
    if (soFar.length < whole.length ? whole.startsWith(soFar) : soFar.startsWith(whole)) return true;
  }
  return false;
}
