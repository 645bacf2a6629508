import { readFileSync } from 'node:fs';
import { type Document, isNode, isPair, isScalar, LineCounter, parseDocument } from 'yaml';
import { ConfigurationError } from './configuration-error.js';

type Path = readonly (string | number)[];

export interface YamlFile {
  /** Plain JSON-like data; undefined for an empty file. */
  readonly value: unknown;
  /** The line, counted from 1, on which the value at `path` stands; where nothing does, that of what it would stand in, if that has one. */
  lineOf(path: Path): number | undefined;
}

/** @throws ConfigurationError naming the file, and for each mistake its line. */
export function readYamlFile(path: string): YamlFile {
  return parseYamlFile(readText(path), path);
}

/** What stands in a file that was read already; `path` is for what is said of it. @throws ConfigurationError as `readYamlFile`. */
export function parseYamlFile(content: string, path: string): YamlFile {
  const text = withoutByteOrderMark(content);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    throw new ConfigurationError(
      fewProblems(path, document.errors, ({ pos, message }) => {
        const line = `${path}, line ${lines.linePos(pos[0]).line}`;
        // How the parser says it when it gives up.
        if (message.includes('call stack')) return `${line}, is nested too deeply. Check that it is the right file.`;
        return `${line}, is not valid YAML: ${shortened(firstSentence(message))}`;
      }),
    );
  }
  return {
    value: plainValue(document, path),
    lineOf: (where) => {
      for (let length = where.length; length > 0; length--) {
        const line = lineOf(document, lines, where.slice(0, length));
        if (line !== undefined) return line;
      }
      return undefined;
    },
  };
}

/** More than anybody mends at a time; a file that is something else altogether has thousands. */
const PROBLEMS_SHOWN_MAX = 50;

/** Sentences for the first of the problems, and how many more there are. */
export function fewProblems<Problem>(
  path: string,
  problems: readonly Problem[],
  sentenceOf: (problem: Problem) => string,
): readonly string[] {
  const shown = problems.slice(0, PROBLEMS_SHOWN_MAX).map(sentenceOf);
  const more = problems.length - PROBLEMS_SHOWN_MAX;
  return more > 0 ? [...shown, `${path} has ${more} more mistakes.`] : shown;
}

const SHOWN_CHARACTERS_MAX = 500;

/** What repeats something of the file, which may be of any length. */
export function shortened(text: string): string {
  return text.length <= SHOWN_CHARACTERS_MAX ? text : `${text.slice(0, SHOWN_CHARACTERS_MAX)}…`;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigurationError([unreadable(path, error)]);
  }
}

/** Some editors begin a file with this mark, which nobody sees; it would become part of the first name. */
export function withoutByteOrderMark(text: string): string {
  return text.replace(/^\uFEFF/, '');
}

/** Why a file cannot be read, and what to do. */
export function unreadable(path: string, error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' || code === 'ENOTDIR') return `There is no file ${path}. Check the path, or create the file.`;
  if (code === 'EISDIR') return `${path} is a folder, not a file. Name the file in it.`;
  if (code === 'EACCES' || code === 'EPERM') {
    return `${path} may not be read by this user (${code}). Change its permissions, or name another file.`;
  }
  return `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}.`;
}

function plainValue(document: Document, path: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 }) ?? undefined;
  } catch (error) {
    // Aliases that unfold without end, or that name no anchor: the parser finds these only here.
    throw new ConfigurationError([`${path} is not usable YAML: ${firstSentence((error as Error).message)}`]);
  }
}

function lineOf(document: Document, lines: LineCounter, path: Path): number | undefined {
  const last = path.at(-1);
  if (last === undefined) return undefined;
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  let offset: number | undefined;
  // The key's own place rather than the value's: a value may begin on the next line, or be missing.
  if (isNode(parent) && 'items' in parent) {
    for (const item of parent.items as unknown[]) {
      if (isPair(item) && isScalar(item.key) && String(item.key.value) === String(last)) offset = item.key.range?.[0];
    }
  }
  const node = offset === undefined ? document.getIn(path, true) : undefined;
  if (isNode(node)) offset = node.range?.[0];
  return offset === undefined ? undefined : lines.linePos(offset).line;
}

function firstSentence(message: string): string {
  const line = message.split('\n', 1)[0]!.trim();
  return /[.!?]$/.test(line) ? line : `${line}.`;
}
