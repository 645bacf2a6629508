import { type Item, literal, once } from '../json-schema/grammar-builder.js';
import { type CallHead, type CallPlace, type CallSyntax, NAME_CHARACTER } from './call-syntax.js';
import type { CallWriter } from './call-writer.js';
import { takeClose } from './list-calls.js';
import { beginsName } from './llama-calls.js';
import type { Scan } from './scan.js';

const START = '<|start|>assistant';
const CHANNEL = '<|channel|>';
const TO = ' to=functions.';
const CONSTRAIN = '<|constrain|>';
const MESSAGE = '<|message|>';
/** Those on which functions are called. */
const CHANNELS = [`${CHANNEL}commentary`, `${CHANNEL}analysis`];

/**
 * gpt-oss's: a message to a function. The receiver stands before the channel or behind it:
 * `<|channel|>commentary to=functions.name <|constrain|>json<|message|>{…}`. An answer ends with its first call.
 */
export class HarmonyCalls implements CallSyntax {
  /** A blank where the prompt has written who speaks, and the receiver comes first. */
  readonly begins = '< ';

  opens(scan: Scan, { names, lineBegins }: CallPlace): boolean {
    const from = scan.at;
    if (scan.peek() === ' ' && !lineBegins) return false;
    scan.takes(START);
    scan.takesOneOf(CHANNELS);
    const opens = scan.takes(TO) && beginsName(scan, names, '');
    scan.at = from;
    return opens;
  }

  head(scan: Scan, { callable }: CallPlace): CallHead | undefined {
    scan.takes(START);
    const channelFirst = scan.takesOneOf(CHANNELS);
    if (!scan.takes(TO)) return undefined;
    const name = scan.takeAll(NAME_CHARACTER);
    if (!callable(name) || !(channelFirst || scan.takesOneOf(CHANNELS))) return undefined;
    scan.takes(' ');
    scan.takes(CONSTRAIN);
    scan.takes('json');
    if (!scan.takes(MESSAGE)) return undefined;
    scan.skipBlanks();
    if (scan.peek() === '{') return { name, written: 'object' };
    return scan.over ? { name, written: { whole: '' } } : undefined;
  }

  tail(scan: Scan): 'over' {
    takeClose(scan, ['<|call|>', '<|end|>']);
    return 'over';
  }

  write(writer: CallWriter): Item[] {
    const channel = writer.rule(...CHANNELS.map((mark) => [literal(mark)]));
    const json = writer.optional(writer.rule([literal(` ${CONSTRAIN}json`)], [literal(' json')]));
    const to = (behind: Item[]) => [
      literal(TO),
      writer.named((tool) => [...behind, json, literal(MESSAGE), once(tool.arguments)]),
    ];
    return [writer.optional(literal(START)), writer.rule([channel, ...to([])], to([channel]))];
  }
}
