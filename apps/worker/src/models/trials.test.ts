import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@millrace/runtime';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TrialMemory } from './trial-memory.js';
import { type TrialEnding, Trials } from './trials.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-trials-'));
  for (const name of ['a', 'b']) writeFileSync(join(folder, name), `file ${name}`);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const PASSED: TrialEnding = { passed: true, isLasting: true };
const CRASHED: TrialEnding = { passed: false, sentence: 'It crashed.', isLasting: true };
const SHORT_OF_MEMORY: TrialEnding = { passed: false, sentence: 'No memory.', isLasting: false };

/** Tries files a and b that way; resolves with how often a trial was really run. */
async function pass(
  ending: TrialEnding,
  times: number,
  more: { files?: string[]; with?: string[] } = {},
): Promise<number> {
  const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
  const trials = new Trials(new TrialMemory(join(folder, 'cache'), logger));
  const files = (more.files ?? ['a', 'b']).map((name) => join(folder, name));
  let runs = 0;
  const run = async () => {
    runs++;
    return ending;
  };
  for (let time = 0; time < times; time++) {
    const passing = trials.pass(
      { id: 'model', files, with: more.with ?? ['v1'] },
      run,
      () => undefined,
      new AbortController().signal,
    );
    if (ending.passed) await passing;
    else await expect(passing).rejects.toThrow(ending.sentence);
  }
  return runs;
}

it('tries a file once, and again when anything of it is another', async () => {
  expect(await pass(PASSED, 3)).toBe(1);
  expect(await pass(PASSED, 3)).toBe(0);
  expect(await pass(PASSED, 1, { with: ['v2'] })).toBe(1);
  expect(await pass(PASSED, 1, { files: ['a'] })).toBe(1);
  writeFileSync(join(folder, 'b'), 'another file');
  expect(await pass(PASSED, 2)).toBe(1);
});

it('says of a failure that it remembers how the file is tried again', async () => {
  await pass(CRASHED, 1);
  const kept = join(folder, 'cache/model-trials.json');
  await pass(
    {
      ...CRASHED,
      sentence: `It crashed. So an earlier trial ended; to have the same file tried again, delete ${kept}.`,
    },
    1,
  );
  rmSync(kept);
  expect(await pass(PASSED, 1)).toBe(1);
});

it('does not try again what crashed, and does what depends on the moment', async () => {
  expect(await pass(CRASHED, 3)).toBe(1);
  expect(await pass(CRASHED, 3)).toBe(0);
  expect(await pass(SHORT_OF_MEMORY, 3, { with: ['v2'] })).toBe(3);
});
