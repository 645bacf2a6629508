import type { PropertyRule } from '../json-schema/compile-schema.js';
import { type Item, literal, once } from '../json-schema/grammar-builder.js';
import { type CallHead, type CallPlace, type CallSyntax, NAME_CHARACTER, type ParameterSyntax } from './call-syntax.js';
import type { CallWriter } from './call-writer.js';
import { takeClose } from './list-calls.js';
import { beginsName } from './llama-calls.js';
import { PARAMETER, PARAMETER_END } from './parameter-arguments.js';
import type { Scan } from './scan.js';

const OPEN = '<tool_call>';
const CLOSE = '</tool_call>';
const FUNCTION = '<function=';
const FUNCTION_END = '</function>';

/** Qwen3-Coder's: `<tool_call>`, `<function=name>`, and every parameter between tags of its own. */
export class ParameterCalls implements CallSyntax {
  readonly begins = '<';

  readonly parameters: ParameterSyntax = {
    end: PARAMETER_END,
    write: ({ name, value }: PropertyRule) =>
      /[<>\n]/.test(name)
        ? undefined
        : [literal(`${PARAMETER}${name}>\n`), once(value), literal(`\n${PARAMETER_END}\n`)],
  };

  opens(scan: Scan, { names }: CallPlace): boolean {
    if (scan.takes(OPEN)) return true;
    const from = scan.at;
    // The first tag is left out at times; a mark as common as the second is one only before the name of a tool.
    const opens = scan.takes(FUNCTION) && beginsName(scan, names, '>');
    scan.at = from;
    return opens;
  }

  head(scan: Scan, { callable }: CallPlace): CallHead | undefined {
    scan.skipBlanks();
    if (!scan.takes(FUNCTION)) return undefined;
    const name = scan.takeAll(NAME_CHARACTER);
    if (!callable(name)) return undefined;
    return scan.takes('>') ? { name, written: 'parameters' } : undefined;
  }

  tail(scan: Scan): 'over' {
    takeClose(scan, [FUNCTION_END]);
    takeClose(scan, [CLOSE]);
    return 'over';
  }

  write(writer: CallWriter): Item[] {
    const { blank, space } = writer;
    const open = writer.optional(literal(OPEN), space);
    const call = writer.named((tool) => [literal('>\n'), once(tool.arguments), literal(FUNCTION_END)]);
    return writer.row([open, literal(FUNCTION), call, blank, literal(CLOSE)], [blank]);
  }
}
