import { expect, it } from 'vitest';
import { readText, trackedFiles } from './source-files.js';

/** A bar ends a cell even between backquotes, unless a backslash stands before it. */
const cellsIn = (line: string): number => line.trim().replaceAll('\\|', '').split('|').length - 2;

/** Rows that have another number of cells than their table has headings: what is too much, a reader never sees. */
function unevenRows(path: string): string[] {
  let inCode = false;
  let columns: number | undefined;
  return readText(path)
    .split('\n')
    .flatMap((line, index) => {
      if (line.startsWith('```')) inCode = !inCode;
      if (inCode || !line.startsWith('|')) {
        columns = undefined;
        return [];
      }
      columns ??= cellsIn(line);
      return cellsIn(line) === columns
        ? []
        : [`${path}:${index + 1} has ${cellsIn(line)} cells under ${columns} headings`];
    });
}

it('every row of a table in the docs has as many cells as there are headings', () => {
  const pages = trackedFiles('*.md');
  expect(pages.length).toBeGreaterThan(50);
  expect(pages.flatMap(unevenRows), 'Write \\| for a bar within a cell').toEqual([]);
});
