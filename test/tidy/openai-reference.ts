import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** OpenAI's own types: the reference that this project is held to, in the words of the client that most callers use. */
const RESOURCES = join(dirname(createRequire(import.meta.url).resolve('openai')), 'resources');

const PAGINATION = '../core/pagination';

export interface RequestInterface {
  /** Below `resources`, without its ending. */
  readonly file: string;
  readonly name: string;
}

/** The parameters of a request, those among them that it has from the interfaces that it extends. */
export function parametersOf({ file, name }: RequestInterface): string[] {
  const source = sourceOf(file);
  const found = declarationOf(source, name) ?? declarationOf(sourceOf(PAGINATION), name);
  if (found === undefined) throw new Error(`The openai package has no interface ${name} in ${file}.d.ts any more.`);
  const inherited = found.extended.flatMap((one) => parametersOf({ file, name: one }));
  return [...new Set([...namesAtTheTop(found.body), ...inherited])].sort();
}

/** The interfaces of requests that a file has: further ones are new in the reference. */
export function requestInterfaces(file: string): string[] {
  const names = [...sourceOf(file).matchAll(/^export interface (\w+Params(?:Base)?)\b/gm)].map(([, name]) => name!);
  // One that is told apart by `stream` alone is its base and nothing more.
  return names.filter(
    (name) => !names.some((base) => base.endsWith('Base') && name.startsWith(base.slice(0, -4)) && name !== base),
  );
}

/** The words that a parameter may have, or a type of that name; of others it may take nothing is told. */
export function wordsOf({ file, name }: RequestInterface, parameter?: string): string[] {
  const within = parameter === undefined ? sourceOf(file) : declarationOf(sourceOf(file), name)?.body;
  const place = parameter === undefined ? `^export type ${name} =` : `^\\s*${parameter}\\??:`;
  const [, words = ''] = new RegExp(`${place} ([^;]+);`, 'm').exec(within ?? '') ?? [];
  return [...words.matchAll(/'([^']+)'/g)].map(([, word]) => word!);
}

function sourceOf(file: string): string {
  return readFileSync(join(RESOURCES, `${file}.d.ts`), 'utf8').replaceAll(/\/\*[\s\S]*?\*\//g, '');
}

function declarationOf(
  source: string,
  name: string,
): { readonly body: string; readonly extended: string[] } | undefined {
  const head = new RegExp(`^export (?:declare )?interface ${name}(?: extends ([\\w, ]+))? \\{`, 'm').exec(source);
  if (head === null) return undefined;
  const [all, extended = ''] = head;
  return {
    body: upToItsEnd(source.slice(head.index + all.length)),
    extended: extended.split(', ').filter((one) => one !== ''),
  };
}

function upToItsEnd(text: string): string {
  let depth = 1;
  for (const { 0: brace, index } of text.matchAll(/[{}]/g)) {
    depth += brace === '{' ? 1 : -1;
    if (depth === 0) return text.slice(0, index);
  }
  return text;
}

/** Of the fields of objects within it none. */
function namesAtTheTop(body: string): string[] {
  let depth = 0;
  return body.split('\n').flatMap((line) => {
    const [, name] = (depth === 0 && /^\s*'?(\w+)'?\??:/.exec(line)) || [];
    for (const [brace] of line.matchAll(/[{}]/g)) depth += brace === '{' ? 1 : -1;
    return name ?? [];
  });
}
