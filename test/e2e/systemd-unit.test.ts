import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { freePort, until } from '../bench/programs.js';
import { MILLRACE, ROOT } from './stack.js';

const UNIT = join(ROOT, 'deploy/systemd/millrace.service');
const READY_TIMEOUT_MS = 60_000;
const why = whyNot();

/** Without systemd as the first process the unit can't be started; its system calls and its variables can be had all the same. */
describe.skipIf(why !== undefined)(
  `what the unit of systemd starts${why === undefined ? '' : ` (skipped: ${why})`}`,
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-unit-'));
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    it('answers with the system calls that the unit allows, and ends with 0 when it is asked to', async () => {
      const [port, workerPort] = [await freePort(), await freePort()];
      const env = {
        ...variablesOfUnit(folder),
        PATH: process.env.PATH,
        MILLRACE_PORT: `${port}`,
        MILLRACE_WORKER_PORT: `${workerPort}`,
      };
      const limited = [join(ROOT, 'test/systemd/with-system-calls.py'), UNIT];
      const child = spawn('python3', [...limited, process.execPath, MILLRACE, 'serve'], {
        cwd: folder,
        env,
        stdio: 'pipe',
      });
      let said = '';
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (said += text.toString()));
      const url = `http://127.0.0.1:${port}`;
      try {
        const isReady = () =>
          fetch(`${url}/readyz`).then(
            (answer) => answer.ok,
            () => false,
          );
        await until(isReady, READY_TIMEOUT_MS, 'it is ready');
        expect(readFileSync(`/proc/${child.pid}/status`, 'utf8')).toMatch(/^NoNewPrivs:\s*1\nSeccomp:\s*2$/m);
        const answer = await fetch(`${url}/v1/chat/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({
            messages: [{ role: 'user', content: 'What is the capital of France?' }],
            temperature: 0,
          }),
        });
        expect(await answer.json()).toMatchObject({
          choices: [{ message: { content: 'The capital of France is Paris.' } }],
        });
      } finally {
        child.kill('SIGTERM');
      }
      const [status] = (await once(child, 'exit')) as [number | null];
      expect(status, said).toBe(0);
      expect(said).not.toMatch(/EPERM|not permitted/);
    });

    it('would notice a system call that is needed and not allowed', () => {
      // Allowed to everybody on what is theirs, but for the filter.
      const changeOwner = ['-c', 'import os, sys; os.chown(sys.argv[1], -1, -1)', folder];
      execFileSync('python3', changeOwner);
      const limited = [join(ROOT, 'test/systemd/with-system-calls.py'), UNIT, 'python3', ...changeOwner];
      expect(() => execFileSync('python3', limited, { stdio: 'pipe' })).toThrow('Operation not permitted');
    });
  },
);

/** Its Environment= lines, with its state in `folder`. */
function variablesOfUnit(folder: string): Record<string, string> {
  const lines = [...readFileSync(UNIT, 'utf8').matchAll(/^Environment=(.*)$/gm)].flatMap(([, line]) =>
    line!.split(' '),
  );
  return Object.fromEntries(
    lines.map((pair) => pair.replace('/var/lib/millrace', folder).split('=') as [string, string]),
  );
}

function whyNot(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'it wants Linux on x64';
  if (!existsSync('/usr/include/x86_64-linux-gnu/asm/unistd_64.h')) return 'Debian’s linux-libc-dev is not installed';
  try {
    execFileSync('python3', ['--version'], { stdio: 'ignore' });
    execFileSync('systemd-analyze', ['syscall-filter', '@default'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'it wants python3 and systemd-analyze';
  }
}
