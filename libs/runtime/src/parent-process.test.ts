import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-parent-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('onParentGone', () => {
  it('stops a child whose parent died before the child asked', async () => {
    const journal = join(folder, 'journal');
    const [orphan, module] = ['orphan.testing.ts', 'parent-process.ts'].map((file) => join(import.meta.dirname, file));
    const { signal } = spawnSync(process.execPath, [orphan!, journal, module!], { stdio: 'ignore' });
    expect(signal).toBe('SIGKILL');
    const written = () => (existsSync(journal) ? readFileSync(journal, 'utf8') : '');
    await expect.poll(written, { timeout: 10_000 }).toContain('end');
    expect(written()).toBe('had a parent: true\nstopped\nend\n');
  });
});
