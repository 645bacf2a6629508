import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { ROOT } from './dockerfile.js';

const INIT = `${ROOT}/tools/images/init.sh`;
/** With processes of its own, in which what it starts is the first. */
const APART = ['--pid', '--fork', '--mount-proc', '--kill-child', INIT];
const why = whyNot();

describe('the first process of a container', () => {
  it('makes room where another is the first', () => {
    expect(spawnSync(INIT, ['sh', '-c', 'echo $PPID; exit 3'], { encoding: 'utf8' })).toMatchObject({
      status: 3,
      stdout: `${process.pid}\n`,
    });
  });
});

describe.skipIf(why !== undefined)(
  `the first process of a container${why === undefined ? '' : ` (skipped: ${why})`}`,
  () => {
    const start = (script: string) =>
      spawn('unshare', [...APART, 'sh', '-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });

    it('ends with the status of its command, also where a signal ended that', () => {
      const run = (script: string) => spawnSync('unshare', [...APART, 'sh', '-c', script]).status;
      expect(run('exit 7')).toBe(7);
      expect(run('kill -KILL $$')).toBe(128 + 9);
    });

    it('hands on what its command reads, and takes leave of orphans', async () => {
      // Of the inner shell, which ends at once, the sleep is left; when that ends, nobody else would wait for it.
      const child = start(
        'sh -c "sleep 0.1 &"; read line; sleep 0.5; echo "$line: $(grep -l "^State:.Z" /proc/[0-9]*/status | wc -l)"',
      );
      child.stdin.end('dead among us\n');
      const [said] = (await once(child.stdout, 'data')) as [Buffer];
      expect(said.toString()).toBe('dead among us: 0\n');
    });

    it.each(['TERM', 'INT'])('hands SIG%s on, once, and waits for what comes of it', async (signal) => {
      const child = start(`trap 'echo heard; sleep 0.3; exit 5' ${signal}; echo ready; while :; do sleep 0.05; done`);
      let said = '';
      child.stdout.on('data', (text: Buffer) => (said += text.toString()));
      await expect.poll(() => said).toBe('ready\n');
      const [first] = execFileSync('pgrep', ['-P', String(child.pid)], { encoding: 'utf8' })
        .trim()
        .split('\n');
      process.kill(Number(first), `SIG${signal}`);
      const [status] = (await once(child, 'exit')) as [number];
      expect(status).toBe(5);
      expect(said).toBe('ready\nheard\n');
    });
  },
);

function whyNot(): string | undefined {
  const { status, stderr } = spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true'], { encoding: 'utf8' });
  if (status === 0) return undefined;
  return `processes of their own are not to be had here: ${stderr?.trim().split('\n').at(-1) ?? 'there is no unshare'}`;
}
