import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { url } from './our-side.js';

const cli = join(import.meta.dirname, 'node_modules/compatcanary/src/cli.js');

interface Report {
  readonly summary?: { readonly compatible?: boolean };
  readonly results: readonly { readonly id: string; readonly status: string; readonly summary: string }[];
}

/** A program that asks whether an API is what it says: it knows nothing of Millrace. */
describe('compatcanary', () => {
  it.each(['chat', 'modern'])('finds nothing amiss, by its profile %s', async (profile) => {
    const args = ['scan', '--base-url', `${url}/v1`, '--model', 'millrace-demo', '--profile', profile];
    const { stdout } = await promisify(execFile)(process.execPath, [
      cli,
      ...args,
      '--format',
      'json',
      '--fail-on',
      'never',
    ]);
    const { results } = JSON.parse(stdout) as Report;
    expect(results.length).toBeGreaterThanOrEqual(profile === 'chat' ? 5 : 7);
    expect(results.filter(({ status }) => status !== 'pass')).toEqual([]);
  });
});
