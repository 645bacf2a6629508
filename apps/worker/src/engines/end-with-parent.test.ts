import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

it('ends a process that is busy for ever when the one that started it is killed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-orphan-'));
  const [parent, child] = ['parent', 'child'].map((name) => join(folder, `${name}.mjs`)) as [string, string];
  const built = new URL('../../dist/engines/end-with-parent.js', import.meta.url);
  writeFileSync(
    child,
    `import { endWithParent } from '${built}'; endWithParent(); process.send('busy', () => { for (;;); });`,
  );
  writeFileSync(
    parent,
    `import { fork } from 'node:child_process'; const child = fork('${child}'); child.on('message', () => process.send(child.pid));`,
  );
  const started = fork(parent);
  const [pid] = (await once(started, 'message')) as [number];
  started.kill('SIGKILL');
  try {
    await expect.poll(() => isAlive(pid), { timeout: 15_000 }).toBe(false);
  } finally {
    if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    rmSync(folder, { recursive: true });
  }
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
