import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@millrace/runtime';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SqlDatabase } from '../stores/sql-database.js';
import { openEmbedded, openPostgres, UnreliableDatabase } from './database.testing.js';
import { aRecord } from './record.testing.js';
import { describeRealPostgres } from './record-table.contract.js';
import { RecordWriter } from './record-writer.js';

const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
const SETTINGS = { spoolBytesMax: 100_000_000, recordBatchMs: 10, retentionDays: 30 };

const FATES = ['works', 'fails before', 'fails after', 'a toss each time'] as const;
const step = fc.oneof(
  fc.record({
    kind: fc.constant('observe' as const),
    gateway: fc.nat(1),
    records: fc.integer({ min: 1, max: 700 }),
    atOnce: fc.integer({ min: 1, max: 100 }),
  }),
  fc.record({ kind: fc.constant('database' as const), fate: fc.constantFrom(...FATES) }),
  fc.record({ kind: fc.constant('kill' as const), gateway: fc.nat(1) }),
  fc.record({ kind: fc.constant('stop' as const), gateway: fc.nat(1) }),
  fc.record({ kind: fc.constant('pause' as const), ms: fc.integer({ min: 1, max: 60 }) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Two gateways that share a folder and a database, and what happens to them. */
class World {
  readonly dataFolder = mkdtempSync(join(tmpdir(), 'millrace-world-'));
  readonly #running = new Set<number>();
  readonly #gateways = new Map<number, { writer: RecordWriter; database: UnreliableDatabase; pid: number }>();
  readonly #killed: { writer: RecordWriter; database: UnreliableDatabase }[] = [];
  #pids = 0;
  #fate: (typeof FATES)[number] = 'works';
  accepted = 0;

  constructor(private readonly real: SqlDatabase) {}

  async take(one: Step): Promise<void> {
    if (one.kind === 'database') this.#fate = one.fate;
    if (one.kind === 'pause') await new Promise((resolve) => setTimeout(resolve, one.ms));
    if (one.kind === 'observe') {
      const { writer } = await this.#gateway(one.gateway);
      for (let at = 0; at < one.records; at++) {
        writer.observe(aRecord({ keyId: `key_${at % 3}` }));
        // Records arrive while others are being written.
        if (at % one.atOnce === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      this.accepted += one.records;
    }
    if (one.kind === 'stop') await this.#stop(one.gateway);
    if (one.kind === 'kill') await this.#kill(one.gateway);
  }

  /** Everything is well again: one more start, and all is written. */
  async end(): Promise<void> {
    for (const which of [0, 1]) await this.#stop(which);
    this.#fate = 'works';
    const { writer } = await this.#gateway(2);
    expect(await writer.flush(20_000)).toBe(true);
    await this.#stop(2);
    // Without files of records; and of the killed, nothing but their instances here.
    const left = readdirSync(join(this.dataFolder, 'spool'), { recursive: true, encoding: 'utf8' });
    expect(left.filter((name) => name.endsWith('.jsonl'))).toEqual([]);
    await Promise.all(this.#killed.map((one) => one.writer.close(0)));
    rmSync(this.dataFolder, { recursive: true, force: true });
  }

  async #gateway(which: number) {
    const there = this.#gateways.get(which);
    if (there !== undefined) return there;
    const pid = ++this.#pids;
    this.#running.add(pid);
    const database = new UnreliableDatabase(this.real);
    database.fate = () => this.#fateNow();
    const writer = new RecordWriter(database, { dataFolder: this.dataFolder, ...SETTINGS }, logger, {
      self: { host: 'here', pid, started: `${pid}` },
      startedOf: (other) => (this.#running.has(other) ? `${other}` : undefined),
    });
    await writer.open();
    const gateway = { writer, database, pid };
    this.#gateways.set(which, gateway);
    return gateway;
  }

  #fateNow(): 'works' | 'fails before' | 'fails after' {
    const tossed = (['works', 'fails before', 'fails after'] as const)[Math.floor(Math.random() * 3)]!;
    return this.#fate === 'a toss each time' ? tossed : this.#fate;
  }

  async #stop(which: number): Promise<void> {
    const gateway = this.#gateways.get(which);
    this.#gateways.delete(which);
    await gateway?.writer.close(100);
    if (gateway !== undefined) this.#running.delete(gateway.pid);
  }

  /** What it was told is in its file, which takes a moment; then it does nothing any more, and nobody finds it running. */
  async #kill(which: number): Promise<void> {
    const gateway = this.#gateways.get(which);
    if (gateway === undefined) return;
    this.#gateways.delete(which);
    await new Promise((resolve) => setTimeout(resolve, 50));
    gateway.database.fate = () => 'fails before';
    this.#killed.push(gateway);
    this.#running.delete(gateway.pid);
  }
}

function suite(open: () => Promise<SqlDatabase>): void {
  it('writes every record once and counts it once, whatever happens on the way', async () => {
    const database = await open();
    await database.query('select 1');
    const property = fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), async (steps) => {
      await database.query('delete from request_records; delete from usage_days');
      const world = new World(database);
      for (const one of steps) await world.take(one);
      await world.end();
      const [rows] = await database.query<{ n: number }>('select count(*) as n from request_records');
      const [days] = await database.query<{ n: number; tokens: number }>(
        'select coalesce(sum(requests), 0)::bigint as n, coalesce(sum(prompt_tokens), 0)::bigint as tokens from usage_days',
      );
      expect([Number(rows!.n), days!.n, days!.tokens]).toEqual([world.accepted, world.accepted, 7 * world.accepted]);
    });
    try {
      await fc.assert(property, { numRuns: 12 });
    } finally {
      await database.close();
    }
  }, 90_000);
}

describe('RecordWriter, on the embedded database', () => suite(openEmbedded));
describeRealPostgres((url) => suite(() => openPostgres(url)));
