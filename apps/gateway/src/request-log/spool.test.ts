import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Spool, type SpoolOptions } from './spool.js';

describe('Spool', () => {
  let root: string;
  let folder: string;
  let news: (string | undefined)[];
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'millrace-spool-'));
    folder = join(root, 'own');
    news = [];
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const open = async (options: Partial<SpoolOptions> = {}) => {
    const spool = new Spool({
      folder,
      claim: async () => void (await mkdir(folder, { recursive: true })),
      bytesMax: 10_000_000,
      memoryBytesMax: 1_000_000,
      onDisk: (failure) => news.push(failure && (failure as NodeJS.ErrnoException).code),
      diskRetryMs: 20,
      ...options,
    });
    await spool.open();
    return spool;
  };
  /** What is in files; lines in memory are not. */
  const bytesOnDisk = () => {
    if (!existsSync(folder) || statSync(folder).isFile()) return 0;
    return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  };
  /** All lines in the order in which they are given. */
  const drain = async (spool: Spool) => {
    const lines: string[] = [];
    for (let segment = await spool.oldest(); segment !== undefined; segment = await spool.oldest()) {
      lines.push(...(await segment.lines()));
      await spool.remove(segment);
    }
    return lines;
  };
  const numbered = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => `line ${from + at}`);

  it('gives back what it was given, in order, and leaves no file', async () => {
    const spool = await open({ bytesMax: 100_000 });
    for (const line of numbered(0, 5_000)) expect(spool.append(line)).toBe('kept');
    expect(spool.records).toBe(5_000);
    expect(await drain(spool)).toEqual(numbered(0, 5_000));
    expect([spool.records, spool.bytes, readdirSync(folder)]).toEqual([0, 0, []]);
    await spool.close();
    expect(readdirSync(root)).toEqual([]);
  });

  it('brings to the disk itself what stays, and not what goes at once', async () => {
    const synced: string[] = [];
    const spool = await open({ syncMs: 150, sync: async (path) => void synced.push(path.replace(/^.*\//, '')) });
    spool.append('goes');
    await drain(spool);
    spool.append('stays');
    await expect.poll(() => synced).toEqual(['00000002.jsonl']);
    await spool.oldest();
    spool.append('is left at the end');
    await spool.close();
    expect(synced).toEqual(['00000002.jsonl', '00000003.jsonl']);
  });

  it('counts bytes and not characters', async () => {
    const spool = await open({ bytesMax: 10 });
    expect([spool.append('€€'), spool.append('€'), spool.append('ab'), spool.append('')]).toEqual([
      'kept',
      'spool_full',
      'kept',
      'spool_full',
    ]);
    expect(spool.bytes).toBe(10);
    expect(await drain(spool)).toEqual(['€€', 'ab']);
    expect(spool.append('again')).toBe('kept');
  });

  it('keeps its files to their owner', async () => {
    const spool = await open();
    spool.append('secret');
    await expect.poll(bytesOnDisk).toBe(7);
    expect(readdirSync(folder).map((name) => statSync(join(folder, name)).mode & 0o077)).toEqual([0]);
    await spool.close();
  });

  it('holds lines in memory while there is no disk, and goes back to it', async () => {
    writeFileSync(folder, '');
    const spool = await open();
    expect(news).toEqual(['EEXIST']);
    const pushed = numbered(0, 10);
    for (const line of pushed) spool.append(line);
    expect(await (await spool.oldest())!.lines()).toEqual(numbered(0, 10));
    rmSync(folder);
    // The disk is asked again with the first line after its time off.
    await expect
      .poll(() => {
        pushed.push(`line ${pushed.length}`);
        spool.append(pushed.at(-1)!);
        return news;
      })
      .toEqual(['EEXIST', undefined]);
    await expect.poll(bytesOnDisk).toBeGreaterThan(0);
    expect(readdirSync(folder)).toHaveLength(1);
    expect(await drain(spool)).toEqual(pushed);
  });

  it('makes its folder again when somebody tidied it away', async () => {
    const spool = await open();
    spool.append('lost');
    await expect.poll(bytesOnDisk).toBe(5);
    rmSync(folder, { recursive: true });
    const segment = await spool.oldest();
    await expect(segment!.lines()).rejects.toThrow('ENOENT');
    await spool.remove(segment!);
    spool.append('kept');
    expect(await drain(spool)).toEqual(['kept']);
    expect(news).toEqual([]);
  });

  it('takes others’ files and its own in turn', async () => {
    const spool = await open({ bytesMax: 4_000 });
    mkdirSync(folder, { recursive: true });
    for (const name of ['a', 'b', 'c']) {
      writeFileSync(join(folder, name), `${name}\nhalf of`);
      spool.inherit(join(folder, name), 9);
    }
    // A segment holds an eighth of all, and each of these is that large.
    for (const from of [0, 50, 100]) {
      const lines = numbered(from, from + 50);
      const bytes = bytesOnDisk() + lines.join('\n').length + 1;
      for (const line of lines) spool.append(line);
      await expect.poll(bytesOnDisk).toBe(bytes);
    }
    const taken: string[] = [];
    for (let segment = await spool.oldest(); segment !== undefined; segment = await spool.oldest()) {
      taken.push((await segment.lines())[0]!);
      await spool.remove(segment);
    }
    expect(taken.map((line) => line.split(' ')[0])).toEqual(['a', 'line', 'b', 'line', 'c', 'line']);
    expect([spool.bytes, spool.records]).toEqual([0, 0]);
  });

  it('says at its end how many were in memory alone', async () => {
    writeFileSync(folder, '');
    const spool = await open();
    for (const line of numbered(0, 7)) spool.append(line);
    expect(await spool.close()).toBe(7);
  });
});
