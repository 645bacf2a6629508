import type { CallHead } from './call-syntax.js';
import type { Scan } from './scan.js';

const NAME_KEYS: ReadonlySet<string> = new Set(['name', 'tool_name', 'function_name']);
const ARGUMENTS_KEYS: ReadonlySet<string> = new Set(['arguments', 'parameters', 'args', 'input']);

/**
 * A call as a JSON object: its name, its arguments, perhaps an id or a type. Up to the arguments where the name comes
 * first, as the grammars have it; else all of it.
 */
export function readObjectHead(scan: Scan, isCallable: (name: string) => boolean): CallHead | undefined {
  scan.skipBlanks();
  if (!scan.takes('{')) return undefined;
  let name: string | undefined;
  let whole: string | undefined;
  for (;;) {
    const key = takeKey(scan);
    if (key === undefined) return cutShort(scan, name, whole);
    if (NAME_KEYS.has(key) && name === undefined) {
      name = scan.takeJsonString();
      if (name === undefined || !isCallable(name)) return undefined;
    } else if (ARGUMENTS_KEYS.has(key) && whole === undefined) {
      const next = scan.peek();
      if (name !== undefined && next === '{') return { name, written: 'object' };
      if (name !== undefined && next === '"') return { name, written: 'string' };
      whole = wholeArguments(scan.takeJsonValue());
      if (whole === undefined) return undefined;
    } else if (scan.takeJsonValue() === undefined) {
      return cutShort(scan, name, whole);
    }
    scan.skipBlanks();
    if (scan.takes(',')) continue;
    if (name !== undefined && (scan.peek() === '}' || scan.over)) return { name, written: { whole: whole ?? '{}' } };
    return undefined;
  }
}

/** The answer was cut off behind the name: the call is told as far as it came. */
function cutShort(scan: Scan, name: string | undefined, whole: string | undefined): CallHead | undefined {
  return name !== undefined && scan.over ? { name, written: { whole: whole ?? '' } } : undefined;
}

function takeKey(scan: Scan): string | undefined {
  scan.skipBlanks();
  const key = scan.takeJsonString();
  if (key === undefined) return undefined;
  scan.skipBlanks();
  if (!scan.takes(':')) return undefined;
  scan.skipBlanks();
  // What a value begins with decides what it is.
  scan.peek();
  return key;
}

/** An object as it is written, one that is written as a string, or none for `null`; undefined for anything else. */
function wholeArguments(value: string | undefined): string | undefined {
  if (value === 'null') return '{}';
  if (value?.startsWith('{')) return value;
  if (!value?.startsWith('"')) return undefined;
  const inner = (JSON.parse(value) as string).trim();
  return inner.startsWith('{') ? inner : undefined;
}

/** What follows the arguments in their object, with its end. Where it isn't as it should be, nothing is taken. */
export function readObjectTail(scan: Scan): boolean {
  const from = scan.at;
  for (;;) {
    scan.skipBlanks();
    if (scan.takes('}')) return true;
    if (!scan.takes(',') || takeKey(scan) === undefined || scan.takeJsonValue() === undefined) {
      scan.at = from;
      return false;
    }
  }
}
