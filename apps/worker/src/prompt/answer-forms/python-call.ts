import type { CallHead } from './call-syntax.js';
import type { Scan } from './scan.js';

/** `.call(query="…", count=3)` behind a name: the arguments as JSON. Undefined where it is anything else. */
export function readPythonCall(scan: Scan, name: string): CallHead | undefined {
  if (!scan.takes('.call(')) return undefined;
  const values: string[] = [];
  scan.skipBlanks();
  while (!scan.takes(')')) {
    if (values.length > 0 && !scan.takes(',')) return undefined;
    scan.skipBlanks();
    const key = scan.takeAll(/\w/);
    scan.skipBlanks();
    if (key === '' || !scan.takes('=')) return undefined;
    scan.skipBlanks();
    const value = takeLiteral(scan);
    if (value === undefined) return undefined;
    values.push(`${JSON.stringify(key)}: ${value}`);
    scan.skipBlanks();
  }
  return { name, written: { whole: `{${values.join(', ')}}` } };
}

const WORDS: Readonly<Record<string, string>> = { True: 'true', False: 'false', None: 'null' };
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?$/;

/** A string, a number or a word of Python's, as JSON. */
function takeLiteral(scan: Scan): string | undefined {
  const quote = scan.peek();
  if (quote !== '"' && quote !== "'") {
    const word = scan.takeAll(/[\w.+-]/);
    return Object.hasOwn(WORDS, word) ? WORDS[word] : NUMBER.test(word) ? word : undefined;
  }
  scan.at++;
  let value = '';
  for (let next = scan.peek(); next !== quote; next = scan.peek()) {
    if (next === '') return undefined;
    scan.at++;
    if (next === '\\') {
      const escaped = scan.peek();
      if (escaped === '') return undefined;
      scan.at++;
      value += ESCAPES[escaped] ?? `\\${escaped}`;
    } else {
      value += next;
    }
  }
  scan.at++;
  return JSON.stringify(value);
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '\\': '\\', '"': '"', "'": "'" };
