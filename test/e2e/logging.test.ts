import { spawnSync } from 'node:child_process';
import { existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

function logged(output: 'pipe' | number, ...args: string[]) {
  const script = join(import.meta.dirname, 'logging-process.ts');
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    stdio: ['ignore', output, 'pipe'],
    encoding: 'utf8',
    timeout: 30_000,
    maxBuffer: 64 * 1024 * 1024,
  });
  const lines = (stdout ?? '').split('\n').filter((line) => line !== '');
  return { status, lines, stderr };
}

const full = '/dev/full';

describe.skipIf(!existsSync(full))(
  'a log that can not be written, the disk being full (/dev/full, which only Linux has)',
  () => {
    it.each(['json', 'text'])('ends no process and fails nobody, as %s', (format) => {
      expect(logged(openSync(full, 'w'), format, '10')).toEqual({
        status: 0,
        lines: [],
        stderr: 'lost 0\nstill here\n',
      });
    });

    it.each(['json', 'text'])('is kept up to a bound, and what is lost above it is counted, as %s', (format) => {
      const { status, stderr } = logged(openSync(full, 'w'), format, '5000');
      expect(status).toBe(0);
      const lost = Number(/^lost (\d+)$/m.exec(stderr)?.[1]);
      expect(lost).toBeGreaterThan(3_500);
      expect(lost).toBeLessThan(4_500);
    });
  },
);

describe('an error that nobody caught', () => {
  it.each([
    ['throw', 'uncaughtException', 'SyntaxError'],
    ['reject', 'unhandledRejection', 'Error'],
  ])('ends the process with 1 and a last line that says what it was: %s', (how, origin, type) => {
    const { status, lines, stderr } = logged('pipe', 'json', '2', how);
    expect(status).toBe(1);
    expect(JSON.parse(lines.at(-1)!)).toMatchObject({ level: 'fatal', origin, error: { type }, process: 'gateway' });
    expect(stderr).toBe('lost 0\n');
  });
});
