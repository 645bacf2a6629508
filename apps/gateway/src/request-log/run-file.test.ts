import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SETTINGS, type Settings } from '@millrace/contracts';
import { createLogger, type Logger } from '@millrace/runtime';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { aRecord } from './record.testing.js';
import { RunFile } from './run-file.js';
import { gitSha, runManifest } from './run-manifest.js';

const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
const DEFAULTS = Object.fromEntries(
  Object.entries(SETTINGS).map(([name, setting]) => [name, setting.default]),
) as unknown as Settings;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-runs-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const started = async (settings: Partial<Settings> = {}, to: Logger = logger, into = folder) => {
  const run = new RunFile(into, { ...DEFAULTS, ...settings }, to);
  await run.open();
  return run;
};
const linesOf = (run: RunFile) =>
  readFileSync(join(run.folder, 'interactions.jsonl'), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

describe('RunFile', () => {
  it('writes a line for each request', async () => {
    const run = await started();
    run.observe(aRecord({ arrivedAtMs: Date.parse('2026-11-21T10:00:00.123Z') }));
    run.observe(aRecord({ contents: { question: 'q\n', answer: 'a', cut: false } }));
    await run.close();
    const [first, second] = linesOf(run);
    expect(first).toMatchObject({
      time: '2026-11-21T10:00:00.123Z',
      model: 'demo',
      key: 'key_a',
      status: 200,
      latency_ms: 30,
      first_token_ms: 12.346,
      usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 },
    });
    expect(first).not.toHaveProperty('question');
    expect(second).toMatchObject({ question: 'q\n', answer: 'a' });
    expect(statSync(join(run.folder, 'interactions.jsonl')).mode & 0o077).toBe(0);
  });

  it('is there soon, not only at the end', async () => {
    const run = await started();
    run.observe(aRecord());
    await expect.poll(() => linesOf(run).length).toBe(1);
    await run.close();
  });

  it('leaves out what is beyond its bound', async () => {
    const run = await started({ runBytesMax: 65_536 });
    for (let at = 0; at < 1_000; at++) run.observe(aRecord());
    await run.close();
    expect(statSync(join(run.folder, 'interactions.jsonl')).size).toBeLessThanOrEqual(65_536);
    expect(linesOf(run).length).toBeGreaterThan(50);
  });

  it('removes the oldest runs, and nothing that is none', async () => {
    for (const name of ['2026-01-01T00-00-00Z-aaaaaa', '2026-01-02T00-00-00Z-aaaaaa', 'mine', '2026-01-01']) {
      mkdirSync(join(folder, name));
    }
    const run = await started({ runsMax: 2 });
    await run.close();
    const left = readdirSync(folder).filter((name) => !run.folder.endsWith(name));
    expect(left.sort()).toEqual(['2026-01-01', '2026-01-02T00-00-00Z-aaaaaa', 'mine']);
  });

  it('says once that its folder can not be written, and goes on without', async () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    const warnings: string[] = [];
    const listening = { info: () => {}, warn: (_: object, text: string) => warnings.push(text) } as unknown as Logger;
    const run = await started({}, listening, file);
    for (let at = 0; at < 10; at++) run.observe(aRecord());
    await run.close();
    expect(warnings).toEqual(['this run can not be written down']);
  });

  it('is not filled by strangers who are refused', async () => {
    const run = await started();
    const refused = { keyId: undefined, endpoint: 'other', outcome: 'rejected' } as const;
    for (let at = 0; at < 2_000; at++) run.observe(aRecord(refused));
    run.observe(aRecord({ requestId: 'mine' }));
    await run.close();
    const lines = linesOf(run);
    expect(lines.length).toBeLessThan(700);
    expect(lines.at(-1).request_id).toBe('mine');
  });
});

describe('runManifest', () => {
  const root = join(import.meta.dirname, '../../../..');

  it('says what a run was made with, and no secret', () => {
    const settings = { ...DEFAULTS, postgresUrl: 'postgres://u:hush@h/d', adminKey: 'hush' };
    const manifest = runManifest('run', new Date(0), settings, root);
    expect(manifest).toMatchObject({ started_at: '1970-01-01T00:00:00.000Z', node: process.version });
    expect(manifest.dependencies.pg).toBe(
      JSON.parse(readFileSync(join(root, 'apps/gateway/package.json'), 'utf8')).dependencies.pg,
    );
    expect(JSON.stringify(manifest)).not.toContain('hush');
    expect(manifest.config.postgresUrl).toBe('***');
  });

  it('has the same digest for what behaves alike, and another for what does not', () => {
    const digest = (changes: Partial<Settings>) =>
      runManifest('run', new Date(), { ...DEFAULTS, ...changes }, root).config_digest;
    expect(digest({ port: 1234, logLevel: 'debug' })).toBe(digest({}));
    expect(digest({ workers: ['127.0.0.1:33299'] })).toBe(digest({ workers: ['127.0.0.1:40561'] }));
    expect(digest({ maxQueueDepth: 7 })).not.toBe(digest({}));
  });

  it('has another digest when the file of models has changed', () => {
    const modelsFile = join(folder, 'models.yaml');
    const digests = ['models: []', 'models: [{}]'].map((text) => {
      writeFileSync(modelsFile, text);
      return runManifest('run', new Date(), { ...DEFAULTS, modelsFile }, root).config_digest;
    });
    expect(digests[0]).not.toBe(digests[1]);
  });
});

describe('gitSha', () => {
  const SHA = 'a'.repeat(40);
  const git = (files: Readonly<Record<string, string>>) => {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(folder, name, '..'), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    return gitSha(folder);
  };

  it('is what git says', () => {
    const git = (...args: string[]) => execFileSync('git', ['-C', import.meta.dirname, ...args], { encoding: 'utf8' });
    expect(gitSha(git('rev-parse', '--show-toplevel').trim())).toBe(git('rev-parse', 'HEAD').trim());
  });

  it('finds a branch, a branch that is packed, and a commit without one', () => {
    expect(git({ '.git/HEAD': 'ref: refs/heads/main\n', '.git/refs/heads/main': `${SHA}\n` })).toBe(SHA);
    const packed = `# pack-refs\n${'b'.repeat(40)} refs/heads/x/other\n${'c'.repeat(40)} refs/heads/other\n`;
    expect(git({ '.git/HEAD': 'ref: refs/heads/other\n', '.git/packed-refs': packed })).toBe('c'.repeat(40));
    expect(git({ '.git/HEAD': `${SHA}\n` })).toBe(SHA);
  });

  it('finds the branch of a second work tree', () => {
    const sha = git({
      '.git': 'gitdir: first/.git/worktrees/second\n',
      'first/.git/worktrees/second/HEAD': 'ref: refs/heads/side\n',
      'first/.git/worktrees/second/commondir': '../..\n',
      'first/.git/refs/heads/side': `${SHA}\n`,
    });
    expect(sha).toBe(SHA);
  });

  it('is null where there is no checkout, or a broken one', () => {
    expect(gitSha(folder)).toBeNull();
    expect(git({ '.git/HEAD': 'ref: refs/heads/none\n' })).toBeNull();
    expect(git({ '.git/HEAD': 'rubbish' })).toBeNull();
  });
});
