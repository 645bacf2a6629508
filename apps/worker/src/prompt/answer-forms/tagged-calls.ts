import { type Item, literal } from '../json-schema/grammar-builder.js';
import { readObjectHead, readObjectTail } from './call-objects.js';
import type { CallHead, CallPlace, CallSyntax } from './call-syntax.js';
import type { CallWriter } from './call-writer.js';
import { takeClose } from './list-calls.js';
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

  head(scan: Scan, { callable }: CallPlace): CallHead | undefined {
    return readObjectHead(scan, callable);
  }

  tail(scan: Scan): 'over' {
    readObjectTail(scan);
    takeClose(scan, [this.close]);
    return 'over';
  }

  write(writer: CallWriter): Item[] {
    const { blank, space } = writer;
    const object = writer.object(this.nameKey, this.argumentsKey);
    return writer.row([literal(this.open), space, object, blank, literal(this.close)], [blank]);
  }
}
