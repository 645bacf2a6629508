import { describe, expect, it } from 'vitest';
import { readText, trackedFiles } from './source-files.js';

const PAGE = 'docs/concepts/failure-modes.md';

/** `path` “title”, “title” · `path` “title”. */
function testsNamedIn(cell: string): { readonly path: string; readonly titles: readonly string[] }[] {
  return [...cell.matchAll(/`([^`]+)`((?:,? “[^”]+”)+)/g)].map(([, path, titles]) => ({
    path: path!,
    titles: [...titles!.matchAll(/“([^”]+)”/g)].map(([, title]) => title!),
  }));
}

describe('the page of failure modes', () => {
  const rows = readText(PAGE)
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| ---'))
    .slice(1)
    .map((line) => line.slice(2, -2).split(' | '));
  const tracked = new Set(trackedFiles('*.ts'));

  it('says all of every behaviour', () => {
    expect(rows.length).toBeGreaterThan(20);
    expect(rows.filter((cells) => cells.length !== 6 || cells.some((cell) => cell.trim() === ''))).toEqual([]);
  });

  it('names a test for each, and each of them exists', () => {
    const wrong = rows.flatMap(([what, , , , , shownBy]) => {
      const named = testsNamedIn(shownBy!);
      if (named.length === 0) return [`“${what}” is shown by nothing`];
      return named.flatMap(({ path, titles }) => {
        if (!tracked.has(path)) return [`“${what}” names ${path}, which does not exist`];
        const source = readText(path).replaceAll("\\'", "'");
        return titles.filter((title) => !source.includes(`'${title}'`)).map((title) => `${path} has no “${title}”`);
      });
    });
    expect(wrong).toEqual([]);
  });
});
