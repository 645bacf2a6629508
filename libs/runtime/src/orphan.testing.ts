import { fork } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * A parent that dies by SIGKILL, and its child, which lives on and only then asks whether its parent is gone.
 *
 * orphan.testing.ts JOURNAL MODULE: MODULE is the file of `onParentGone`, since Node cannot resolve it from here by `.js`.
 */
const [journal, parentModule, isChild] = process.argv.slice(2) as [string, string, string?];

if (isChild === undefined) {
  const child = fork(import.meta.filename, [journal, parentModule, 'child'], { stdio: 'inherit' });
  child.once('message', () => process.kill(process.pid, 'SIGKILL'));
} else {
  process.send!('started');
  while (process.connected) await sleep(5);
  const { hasParent, onParentGone } = (await import(parentModule)) as typeof import('./parent-process.js');
  appendFileSync(journal, `had a parent: ${hasParent()}\n`);
  onParentGone(() => appendFileSync(journal, 'stopped\n'));
  appendFileSync(journal, 'end\n');
}
