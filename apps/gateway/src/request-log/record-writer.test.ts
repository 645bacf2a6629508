import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@millrace/runtime';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { SqlDatabase } from '../stores/sql-database.js';
import { openEmbedded, UnreliableDatabase } from './database.testing.js';
import { aRecord } from './record.testing.js';
import { RecordWriter } from './record-writer.js';
import type { Processes } from './spool-folders.js';

const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
const SETTINGS = { spoolBytesMax: 10_000_000, recordBatchMs: 10, retentionDays: 30 };

/** Gateways of one test: each a process of its own, as far as they can tell. */
class Machine {
  readonly running = new Set<number>();
  #pids = 0;

  start(): Processes & { readonly self: { readonly pid: number } } {
    const pid = ++this.#pids;
    this.running.add(pid);
    return {
      self: { host: 'here', pid, started: `${pid}` },
      startedOf: (other) => (this.running.has(other) ? `${other}` : undefined),
    };
  }
}

describe('RecordWriter', () => {
  let real: SqlDatabase;
  let database: UnreliableDatabase;
  let dataFolder: string;
  let machine: Machine;
  let writers: RecordWriter[];
  beforeAll(async () => {
    real = await openEmbedded();
    await real.query('select 1');
  });
  afterAll(() => real.close());
  beforeEach(async () => {
    await real.query('delete from request_records; delete from usage_days');
    database = new UnreliableDatabase(real);
    dataFolder = mkdtempSync(join(tmpdir(), 'millrace-spool-'));
    machine = new Machine();
    writers = [];
  });
  afterEach(async () => {
    database.fate = () => 'works';
    await Promise.all(writers.map((writer) => writer.close(1_000)));
    rmSync(dataFolder, { recursive: true, force: true });
  });

  const start = async (settings: Partial<typeof SETTINGS> = {}, folder = dataFolder) => {
    const processes = machine.start();
    const writer = new RecordWriter(database, { dataFolder: folder, ...SETTINGS, ...settings }, logger, processes);
    await writer.open();
    writers.push(writer);
    return { writer, kill: () => machine.running.delete(processes.self.pid) };
  };
  const rows = async () => Number((await real.query<{ n: number }>('select count(*) as n from request_records'))[0]!.n);
  const requests = async () =>
    Number((await real.query<{ n: number }>('select coalesce(sum(requests), 0)::bigint as n from usage_days'))[0]!.n);
  const spooled = () =>
    readdirSync(join(dataFolder, 'spool'), { recursive: true, encoding: 'utf8' })
      .filter((file) => /\d\.jsonl$/.test(file))
      .flatMap((file) =>
        readFileSync(join(dataFolder, 'spool', file), 'utf8')
          .trim()
          .split('\n'),
      );

  it('drops nothing because its clock is a year ahead', async () => {
    const { writer } = await start();
    writer.observe(aRecord({ arrivedAtMs: Date.now() }));
    await writer.close(5_000);
    await real.query('delete from record_chores');
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 365 * 86_400_000 });
    try {
      await start();
      await expect.poll(() => real.query('select from record_chores')).toHaveLength(1);
      const ahead = `request_records_${new Date().toISOString().slice(0, 10).replaceAll('-', '')}`;
      await expect.poll(() => real.query('select from pg_class where relname = $1', [ahead])).toHaveLength(1);
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(await rows()).toBe(1);
    } finally {
      vi.useRealTimers();
    }
  });

  it('writes what it was told, and leaves no file', async () => {
    const { writer } = await start();
    for (let at = 0; at < 1_234; at++) writer.observe(aRecord());
    expect(writer.pending).toBe(1_234);
    expect(await writer.flush(10_000)).toBe(true);
    expect(await rows()).toBe(1_234);
    expect(await requests()).toBe(1_234);
    expect(writer.pending).toBe(0);
    await expect.poll(spooled).toEqual([]);
    await writer.close(1_000);
    expect(readdirSync(join(dataFolder, 'spool'))).toEqual([]);
  });

  it('has a record in its file before the database has it', async () => {
    database.fate = () => 'fails before';
    const { writer } = await start();
    const record = aRecord();
    writer.observe(record);
    await expect.poll(() => spooled().map((line) => JSON.parse(line).record_id)).toEqual([record.recordId]);
    expect(writer.pending).toBe(1);
  });

  it('loses none of those that arrive while others are on their way to the file', async () => {
    database.fate = () => 'fails before';
    const { writer } = await start();
    for (let at = 0; at < 400; at++) {
      writer.observe(aRecord());
      await new Promise((resolve) => setTimeout(resolve, at % 3));
    }
    expect(writer.pending).toBe(400);
    await expect.poll(() => new Set(spooled()).size).toBe(400);
  });

  it('waits while the database is away, says so, and writes everything once it is back', async () => {
    database.fate = () => 'fails before';
    const { writer } = await start();
    for (let at = 0; at < 700; at++) writer.observe(aRecord());
    await expect.poll(() => writer.trouble).toMatch(/^700 records wait to be written: .* away\./);
    expect(await writer.flush(50)).toBe(false);
    database.fate = () => 'works';
    expect(await writer.flush(10_000)).toBe(true);
    expect(await rows()).toBe(700);
    expect(writer.trouble).toBeUndefined();
  });

  it('writes nothing twice when it never learns that a batch arrived', async () => {
    let left = 3;
    database.fate = () => (left-- > 0 ? 'fails after' : 'works');
    const { writer } = await start();
    for (let at = 0; at < 20; at++) writer.observe(aRecord());
    await expect.poll(rows, { timeout: 5_000 }).toBe(20);
    await expect.poll(() => writer.pending, { timeout: 5_000 }).toBe(0);
    expect([await rows(), await requests()]).toEqual([20, 20]);
  });

  it('loses only what is beyond its bound, and says how many', async () => {
    database.fate = () => 'fails before';
    const { writer } = await start({ spoolBytesMax: 65_536 });
    for (let at = 0; at < 1_000; at++) writer.observe(aRecord());
    const kept = writer.pending;
    expect(kept).toBeGreaterThan(50);
    expect(kept).toBeLessThan(200);
    expect(writer.trouble).toContain(`${1_000 - kept} records were lost since the start`);
    expect(writer.trouble).toContain('spoolBytesMax');
    database.fate = () => 'works';
    expect(await writer.flush(10_000)).toBe(true);
    expect(await rows()).toBe(kept);
    writer.observe(aRecord());
    expect(await writer.flush(10_000)).toBe(true);
    expect(await rows()).toBe(kept + 1);
  });

  it('writes at its start what a killed gateway left, half a line and all', async () => {
    database.fate = () => 'fails before';
    const first = await start();
    for (let at = 0; at < 30; at++) first.writer.observe(aRecord());
    await expect.poll(() => spooled().length).toBe(30);
    const [folder] = readdirSync(join(dataFolder, 'spool'), { withFileTypes: true }).filter((one) => one.isDirectory());
    writeFileSync(
      join(dataFolder, 'spool', folder!.name, '00000099.jsonl'),
      `${JSON.stringify({ day: '2026-1' })}\n{"day":"2`,
    );
    first.kill();
    database.fate = () => 'works';
    const second = await start();
    expect(second.writer.pending).toBeGreaterThan(0);
    expect(await second.writer.flush(10_000)).toBe(true);
    expect([await rows(), await requests()]).toEqual([30, 30]);
    // The whole line that is no record is counted; the half one had no end that anybody saw.
    expect(second.writer.trouble).toMatch(/^1 records were lost .* could not be read/);
    await expect.poll(spooled).toEqual([]);
  });

  it('leaves the spool of a gateway that lives alone', async () => {
    database.fate = () => 'fails before';
    const first = await start();
    first.writer.observe(aRecord());
    await expect.poll(() => spooled().length).toBe(1);
    const second = await start();
    expect(second.writer.pending).toBe(0);
  });

  it('takes what a killed gateway left once, though two try', async () => {
    database.fate = () => 'fails before';
    const first = await start();
    for (let at = 0; at < 30; at++) first.writer.observe(aRecord());
    await expect.poll(() => spooled().length).toBe(30);
    first.kill();
    const both = await Promise.all([start(), start()]);
    expect(both.map(({ writer }) => writer.pending > 0).sort()).toEqual([false, true]);
    database.fate = () => 'works';
    await Promise.all(both.map(({ writer }) => writer.flush(10_000)));
    expect([await rows(), await requests()]).toEqual([30, 30]);
  });

  it('leaves to the next start what it could not write by its end', async () => {
    database.fate = () => 'fails before';
    const first = await start();
    for (let at = 0; at < 9; at++) first.writer.observe(aRecord());
    await first.writer.close(50);
    expect(spooled()).toHaveLength(9);
    database.fate = () => 'works';
    const second = await start();
    expect(await second.writer.flush(10_000)).toBe(true);
    expect(await rows()).toBe(9);
  });

  it('leaves out the row that the database refuses, and no other', async () => {
    const { writer } = await start();
    for (let at = 0; at < 300; at++) writer.observe(aRecord(at === 217 ? { recordId: 'no uuid' } : {}));
    expect(await writer.flush(10_000)).toBe(true);
    expect([await rows(), await requests()]).toEqual([299, 299]);
    const refused = readFileSync(join(dataFolder, 'spool', 'refused.jsonl'), 'utf8')
      .trim()
      .split('\n');
    expect(refused.map((line) => JSON.parse(line).record_id)).toEqual(['no uuid']);
    expect(writer.trouble).toContain('the database refused them');
  });

  it('counts the tokens of a refused row for nobody', async () => {
    const { writer } = await start();
    database.fate = () => (existsSync(join(dataFolder, 'spool', 'refused.jsonl')) ? 'fails before' : 'works');
    for (const recordId of ['no uuid', ...Array.from({ length: 5 }, () => aRecord().recordId)]) {
      writer.observe(aRecord({ recordId, keyId: 'key_x' }));
    }
    await expect.poll(() => writer.trouble).toContain('it is away');
    expect(writer.unwrittenTokens('key_x', '2020-01-01')).toBe(50);
  });

  it('keeps no more than so many of strangers that are refused, and is not in trouble for it', async () => {
    const { writer } = await start({ spoolBytesMax: 1_000_000 });
    const refused = { keyId: undefined, endpoint: 'other', outcome: 'rejected', code: 'invalid_api_key' } as const;
    for (let at = 0; at < 5_000; at++) writer.observe(aRecord(refused));
    expect(writer.pending).toBeLessThan(650);
    writer.observe(aRecord({ keyId: 'key_x' }));
    expect(writer.unwrittenTokens('key_x', '2020-01-01')).toBe(10);
    expect(writer.trouble).toBeUndefined();
  });

  it('writes from memory where there is no disk', async () => {
    const file = join(dataFolder, 'no-folder');
    writeFileSync(file, '');
    const { writer } = await start({}, file);
    expect(writer.trouble).toContain('in memory alone');
    for (let at = 0; at < 1_000; at++) writer.observe(aRecord());
    expect(await writer.flush(10_000)).toBe(true);
    expect([await rows(), await requests()]).toEqual([1_000, 1_000]);
  });

  it('keeps memory bounded where there is neither disk nor database', async () => {
    const file = join(dataFolder, 'no-folder');
    writeFileSync(file, '');
    database.fate = () => 'fails before';
    const { writer } = await start({ spoolBytesMax: 1_000_000_000 }, file);
    const contents = { question: 'q'.repeat(100_000), answer: '', cut: false };
    for (let at = 0; at < 400; at++) writer.observe(aRecord({ contents }));
    expect(writer.pending).toBeGreaterThan(150);
    expect(writer.pending).toBeLessThan(170);
    expect(writer.trouble).toContain('memory was full');
    await writer.close(50);
  });

  it('goes on from memory when its disk fails under way, and back to the disk', async () => {
    database.fate = () => 'fails before';
    const { writer } = await start();
    writer.observe(aRecord());
    await expect.poll(() => spooled().length).toBe(1);
    // What a full disk would refuse; the folder is gone, and a file stands in its place.
    rmSync(join(dataFolder, 'spool'), { recursive: true });
    writeFileSync(join(dataFolder, 'spool'), '');
    for (let at = 0; at < 5; at++) writer.observe(aRecord());
    database.fate = () => 'works';
    expect(await writer.flush(10_000)).toBe(true);
    for (let at = 0; at < 5; at++) writer.observe(aRecord());
    expect(await writer.flush(10_000)).toBe(true);
    expect(writer.trouble).toContain('in memory alone');
    expect(await rows()).toBeGreaterThanOrEqual(5);
    expect(existsSync(join(dataFolder, 'spool'))).toBe(true);
  });

  it('drops at its start the days that are older than they are kept, and no totals', async () => {
    const first = await start();
    const daysAgo = (days: number) => aRecord({ arrivedAtMs: Date.now() - days * 86_400_000 });
    for (const days of [0, 1, 2, 40]) first.writer.observe(daysAgo(days));
    await first.writer.flush(10_000);
    expect(await rows()).toBe(4);
    await real.query('delete from record_chores');
    await start({ retentionDays: 1 });
    await expect.poll(rows, { timeout: 5_000 }).toBe(2);
    expect(await requests()).toBe(4);
  });

  it('knows the tokens of a key that are not written yet', async () => {
    database.fate = () => 'fails before';
    const { writer } = await start();
    for (let at = 0; at < 5; at++) writer.observe(aRecord({ keyId: 'key_x' }));
    const yesterday = Date.now() - 86_400_000;
    writer.observe(aRecord({ keyId: 'key_x', arrivedAtMs: yesterday }));
    const today = new Date().toISOString().slice(0, 10);
    expect(writer.unwrittenTokens('key_x', today)).toBe(50);
    expect(writer.unwrittenTokens('key_x', '2020-01-01')).toBe(60);
    expect(writer.unwrittenTokens('key_y', today)).toBe(0);
    database.fate = () => 'works';
    await writer.flush(10_000);
    expect(writer.unwrittenTokens('key_x', '2020-01-01')).toBe(0);
  });
});
