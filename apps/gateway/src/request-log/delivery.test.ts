import { createLogger } from '@millrace/runtime';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DatabaseUnavailable } from '../stores/sql-database.js';
import { Delivery } from './delivery.js';
import { aRecord } from './record.testing.js';
import { lineOfRow, rowOf } from './record-row.js';

const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
const refusal = () => Object.assign(new Error('invalid input syntax'), { code: '22P02' });
const AWAY = new DatabaseUnavailable('It is away.');

/** A table that refuses some rows, and takes so many at a time before it is too slow. */
class FakeTable {
  readonly rows = new Set<string>();
  readonly sizes: number[] = [];
  rowsMax = Number.POSITIVE_INFINITY;
  failures = 0;

  constructor(private readonly refused: ReadonlySet<string> = new Set()) {}

  async write(lines: readonly string[]): Promise<number> {
    this.sizes.push(lines.length);
    if (this.failures-- > 0 || lines.length > this.rowsMax) throw AWAY;
    if (lines.some((line) => this.refused.has(line))) throw refusal();
    for (const line of lines) this.rows.add(line);
    return lines.length;
  }
}

function deliveryTo(table: FakeTable, signal = new AbortController().signal) {
  const refused: string[] = [];
  let failures = 0;
  const delivery: Delivery = new Delivery(table, {
    signal,
    logger,
    refuse: async ({ line }) => {
      refused.push(line);
    },
    onWritten: () => {},
    onFailure: () => {
      failures++;
      // No test waits for a pause.
      setImmediate(() => delivery.hurry());
    },
  });
  return { delivery, refused, failures: () => failures };
}

const linesOf = (count: number, contents?: string) =>
  Array.from({ length: count }, () => {
    const row = rowOf(
      aRecord(contents === undefined ? {} : { contents: { question: contents, answer: '', cut: false } }),
    );
    return { row, line: lineOfRow(row) };
  });

describe('Delivery', () => {
  it('writes whatever it can and refuses the rest, each once, wherever they stand', async () => {
    const rows = linesOf(900);
    const property = fc.asyncProperty(
      fc.uniqueArray(fc.nat(rows.length - 1), { maxLength: 12 }),
      fc.nat(4),
      async (bad, failures) => {
        const wrong = new Set(bad.map((at) => rows[at]!.line));
        const table = new FakeTable(wrong);
        table.failures = failures;
        const { delivery, refused } = deliveryTo(table);
        expect(await delivery.deliver(rows)).toBe(true);
        expect(table.rows.size).toBe(rows.length - wrong.size);
        expect(refused.toSorted()).toEqual([...wrong].sort());
      },
    );
    await fc.assert(property, { numRuns: 60 });
  });

  it('asks less at a time of a database that is slow, and more again when it is not', async () => {
    const table = new FakeTable();
    table.rowsMax = 60;
    const { delivery, failures } = deliveryTo(table);
    const rows = linesOf(1_500);
    expect(await delivery.deliver(rows)).toBe(true);
    expect(table.rows.size).toBe(1_500);
    expect(failures()).toBeGreaterThan(3);
    table.rowsMax = Number.POSITIVE_INFINITY;
    table.sizes.length = 0;
    await delivery.deliver(linesOf(3_000));
    expect(table.sizes.at(-2)).toBe(500);
  });

  it('makes no statement larger than a few MB, though a row may be', async () => {
    const table = new FakeTable();
    const { delivery } = deliveryTo(table);
    const rows = [...linesOf(10, 'x'.repeat(1_000_000)), ...linesOf(1, 'y'.repeat(9_000_000)), ...linesOf(2)];
    expect(await delivery.deliver(rows)).toBe(true);
    expect(table.sizes).toEqual([4, 4, 2, 1, 2]);
  });

  it('ends within its pause when it is told to stop, and says that it is not done', async () => {
    const table = new FakeTable();
    table.rowsMax = 0;
    const stop = new AbortController();
    const { delivery } = deliveryTo(table, stop.signal);
    const delivered = delivery.deliver(linesOf(3));
    await new Promise((resolve) => setTimeout(resolve, 20));
    stop.abort();
    expect(await delivered).toBe(false);
    expect(delivery.failure).toBe('It is away.');
  });
});
