import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '../..');

export interface SourceFile {
  /** From the root, with slashes: `apps/gateway/src/main.ts`. */
  readonly path: string;
  readonly text: string;
  readonly imports: readonly ImportLine[];
}

export interface ImportLine {
  readonly line: number;
  /** As written: `../routing/choose-workers.js`, `node:fs`, `@nestjs/common`. */
  readonly specifier: string;
  /** The file from the root, when it is one of ours. */
  readonly target: string | undefined;
  /** Types vanish when compiled, so they make no cycle; they still count as knowing each other. */
  readonly typesOnly: boolean;
}

/** Files that git knows, or would: neither ignored nor deleted. */
export function trackedFiles(...patterns: string[]): string[] {
  return execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '--', ...patterns], {
    cwd: ROOT,
    encoding: 'utf8',
  })
    .split('\n')
    .filter((path) => path !== '' && existsSync(join(ROOT, path)));
}

export function readText(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

export function sourceFiles(): SourceFile[] {
  return trackedFiles('apps/*.ts', 'libs/*.ts', 'test/*.ts', 'tools/*.ts')
    .filter((path) => !path.includes('/generated/'))
    .map((path) => {
      const text = readText(path);
      return { path, text, imports: importLines(path, text) };
    });
}

/** Whether a file only serves tests: it may import what its neighbours may not. */
export function isTestFile(path: string): boolean {
  return /\.(test|contract|testing)\.ts$/.test(path) || path.startsWith('test/');
}

const IMPORT =
  /^\s*(?:import|export)\s+(type\s)?[^;'"]*?from\s+['"]([^'"]+)['"]|^\s*import\s+['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/gm;

function importLines(path: string, text: string): ImportLine[] {
  return [...text.matchAll(IMPORT)].map((match) => {
    const specifier = (match[2] ?? match[3] ?? match[4])!;
    return {
      line: text.slice(0, match.index).split('\n').length,
      specifier,
      target: targetOf(path, specifier),
      typesOnly: match[1] !== undefined,
    };
  });
}

function targetOf(from: string, specifier: string): string | undefined {
  if (specifier.startsWith('.')) {
    const path = join(ROOT, dirname(from), specifier);
    const candidates = [path, path.replace(/\.js$/, '.ts')];
    const found = candidates.find((candidate) => candidate.endsWith('.ts') && existsSync(candidate));
    return found === undefined ? undefined : relative(ROOT, found);
  }
  const workspace = /^@millrace\/([a-z-]+)(?:\/|$)/.exec(specifier)?.[1];
  if (workspace === undefined) return undefined;
  const folder = existsSync(join(ROOT, 'libs', workspace)) ? `libs/${workspace}` : `apps/${workspace}`;
  return `${folder}/src/index.ts`;
}
