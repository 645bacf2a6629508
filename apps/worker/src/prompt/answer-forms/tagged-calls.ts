import { literal } from '../json-schema/grammar-builder.js';
import { readObjectHead, readObjectTail } from './call-objects.js';
import type { CallPlace, CallSyntax } from './call-syntax.js';
import type { CallWriter } from './call-writer.js';
import type { Scan } from './scan.js';

/** Each call is an object between two tags: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`. */
export class TaggedCalls implements CallSyntax {
  readonly begins: string;

  constructor(
    private readonly open: string,
    private readonly close: string,
    private readonly nameKey = 'name',
    private readonly argumentsKey = 'arguments',
  ) {
    this.begins = open[0]!;
  }

  opens(scan: Scan): boolean {
    return scan.takes(this.open);
  }

  head(scan: Scan, { names }: CallPlace) {
    return readObjectHead(scan, (name) => names.has(name));
  }

  tail(scan: Scan): 'over' {
    readObjectTail(scan);
    const from = scan.at;
    scan.skipBlanks();
    if (!scan.takes(this.close)) scan.at = from;
    return 'over';
  }

  write(writer: CallWriter) {
    const { blank } = writer;
    const object = writer.object(this.nameKey, this.argumentsKey);
    return writer.row([literal(this.open), blank, object, blank, literal(this.close)], [blank]);
  }
}
