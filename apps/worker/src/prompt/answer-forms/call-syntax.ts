import type { PropertyRule } from '../json-schema/compile-schema.js';
import type { Item } from '../json-schema/grammar-builder.js';
import type { CallWriter } from './call-writer.js';
import type { Scan } from './scan.js';

/** How one kind of model writes tool calls: how they are read, and the grammar of what it may write. */
export interface CallSyntax {
  /** The characters that an opening can begin with. */
  readonly begins: string;
  /**
   * Whether calls open here; goes on behind what opens them. From there on it is bound to be what `write` derives, unless it
   * is written in a way that this doesn't derive (`unbound`).
   */
  opens(scan: Scan, place: CallPlace): boolean | 'unbound';
  /** The next call up to its arguments; undefined where none stands. */
  head(scan: Scan, place: CallPlace): CallHead | undefined;
  /** What stands behind the arguments of the call that `head` began, as far as it belongs to the calls. */
  tail(scan: Scan, head: CallHead): 'another' | 'over';
  /** All calls of an answer, from what opens them to its end, as the models of `template` write them. */
  write(writer: CallWriter, template: string): Item[];
  /** For models that write each parameter by itself; absent where arguments are a JSON object. */
  readonly parameters?: ParameterSyntax;
}

export interface ParameterSyntax {
  /** What ends a parameter that is a text. */
  readonly end: string;
  /** A parameter from its name to its end; undefined where the name can't be written. */
  write(property: PropertyRule): Item[] | undefined;
}

/** What is known where a call may stand. */
export interface CallPlace {
  readonly names: ReadonlySet<string>;
  /** Whether that is a tool, or a name that stands for calling none. */
  readonly callable: (name: string) => boolean;
  /** Whether nothing but blanks stands before on the line. */
  readonly lineBegins: boolean;
}

export interface CallHead {
  readonly name: string;
  /** How the arguments are written, which begin where the head ends; or all of them, where they stood before the name. */
  readonly written: 'object' | 'string' | 'parameters' | { readonly whole: string };
  /** What the tail is to expect: a list, a fence, a tag. */
  readonly listed?: boolean;
  readonly fenced?: boolean;
  readonly closed?: boolean;
}

/** What names of tools are made of. */
export const NAME_CHARACTER = /[\w-]/;
