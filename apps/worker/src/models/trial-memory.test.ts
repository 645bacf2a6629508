import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@millrace/runtime';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TrialMemory } from './trial-memory.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-trials-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const { signal } = new AbortController();
const kept = () => join(folder, 'cache/model-trials.json');

function memory() {
  const lines: string[] = [];
  const logger = createLogger(
    { name: 'test', level: 'warn', format: 'json' },
    { write: (line) => void lines.push(line) },
  );
  return { memory: new TrialMemory(join(folder, 'cache'), logger), lines };
}

describe('TrialMemory', () => {
  it('knows a file again that it has read, also in another process', async () => {
    const path = join(folder, 'a.gguf');
    writeFileSync(path, 'first');
    utimesSync(path, 1_000, 1_000);
    const digest = createHash('sha256').update('first').digest('hex');
    expect(await memory().memory.digestOf(path, signal)).toBe(digest);
    // As long and as old: only by reading it could one tell.
    writeFileSync(path, 'other');
    utimesSync(path, 1_000, 1_000);
    expect(await memory().memory.digestOf(path, signal)).toBe(digest);
    utimesSync(path, 2_000, 2_000);
    expect(await memory().memory.digestOf(path, signal)).toBe(createHash('sha256').update('other').digest('hex'));
    const { digests } = JSON.parse(readFileSync(kept(), 'utf8')) as { digests: unknown[] };
    expect(digests).toHaveLength(1);
  });

  it('remembers how trials ended, and leaves no file beside its own', async () => {
    await memory().memory.note('good', { passed: true });
    await memory().memory.note('bad', { passed: false, sentence: 'It crashed.' });
    expect(await memory().memory.outcomeOf('good')).toEqual({ passed: true });
    expect(await memory().memory.outcomeOf('bad')).toEqual({ passed: false, sentence: 'It crashed.' });
    expect(await memory().memory.outcomeOf('unknown')).toBeUndefined();
    await memory().memory.note('bad', { passed: true });
    expect(await memory().memory.outcomeOf('bad')).toEqual({ passed: true });
    expect(readdirSync(join(folder, 'cache'))).toEqual(['model-trials.json']);
  });

  it.each([
    '',
    'not JSON',
    '[]',
    'null',
    '{"digests": 7, "trials": {}}',
    '{"trials": [{"key": 3}, null, "text"], "digests": [{"path": 1}]}',
  ])('begins anew when its file holds %j', async (content) => {
    await memory().memory.note('old', { passed: true });
    writeFileSync(kept(), content);
    const { memory: anew, lines } = memory();
    expect(await anew.outcomeOf('old')).toBeUndefined();
    await anew.note('new', { passed: true });
    expect(await anew.outcomeOf('new')).toEqual({ passed: true });
    expect(lines).toEqual([]);
  });

  it('forgets the oldest when there are too many', async () => {
    await memory().memory.note('before', { passed: true });
    const trials = Array.from({ length: 1_000 }, (_, index) => ({ key: `trial ${index}` }));
    writeFileSync(kept(), JSON.stringify({ digests: [], trials }));
    const full = memory().memory;
    await full.note('last', { passed: true });
    expect(await full.outcomeOf('trial 0')).toBeUndefined();
    expect(await full.outcomeOf('trial 1')).toEqual({ passed: true });
    expect(await full.outcomeOf('last')).toEqual({ passed: true });
  });

  it('says once that nothing can be kept, and goes on', async () => {
    writeFileSync(join(folder, 'cache'), 'a file where the folder should be');
    const { memory: forgetful, lines } = memory();
    await forgetful.note('good', { passed: true });
    await forgetful.note('good', { passed: true });
    expect(await forgetful.outcomeOf('good')).toBeUndefined();
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('Set --cache-folder to a folder that this user may write to.');
  });

  it('stops reading a file when nobody wants its digest any more', async () => {
    const path = join(folder, 'a.gguf');
    writeFileSync(path, Buffer.alloc(32 * 1024 * 1024));
    const leaving = new AbortController();
    const digest = memory().memory.digestOf(path, leaving.signal);
    leaving.abort();
    await expect(digest).rejects.toThrow(/abort/i);
    await expect(memory().memory.digestOf(join(folder, 'absent'), signal)).rejects.toThrow('ENOENT');
  });
});
