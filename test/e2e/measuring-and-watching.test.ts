import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { openDocumentedShell, shellBlocks } from './documented-shell.js';
import { MILLRACE, millrace, startStack } from './stack.js';

it('what a load does is told by those who ask, and seen by those who watch', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-measuring-'));
  const stack = await startStack();
  const file = join(folder, 'report.json');
  const scenarios = ['--scenario', 'short,chat,files', '--clients', '4', '--requests', '12', '--max-tokens', '16'];
  try {
    const watching = millrace(['top', '--url', stack.url, '--every', '0.5', '--count', '24']);
    const measured = await millrace(['bench', '--url', stack.url, ...scenarios, '--json', file]);
    expect([measured.status, measured.stdout]).toEqual([0, expect.stringContaining('tokens/s')]);
    const { runs } = JSON.parse(readFileSync(file, 'utf8'));
    expect(runs).toHaveLength(3);
    for (const run of runs) {
      expect(run).toMatchObject({ answered: 12, failed: 0, gapMs: { p50: expect.any(Number) } });
      expect(run.firstTokenMs.p50).toBeLessThanOrEqual(run.totalMs.p50);
    }

    const watched = await watching;
    expect(watched.status).toBe(0);
    const rates = [...watched.stdout.matchAll(/ ([\d.]+) requests\/s {2}([\d.]+) tokens\/s/g)];
    expect(rates).toHaveLength(24);
    expect(rates.some(([, requests, tokens]) => Number(requests) > 0 && Number(tokens) > 0)).toBe(true);
    expect(watched.stdout).toMatch(/first token [<>]?[\d.]+\//);
    expect(watched.stdout).toContain('1 of 1 workers ready');

    const compared = await millrace(['bench', '--compare', `${file},${file}`]);
    expect([compared.status, compared.stdout]).toEqual([0, expect.stringMatching(/requests\/s .* none/)]);
  } finally {
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}, 120_000);

it('a measurement says by its exit status what came of it, and reports what Ctrl-C left of it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-stopped-'));
  const stack = await startStack();
  const file = join(folder, 'report.json');
  const short = ['bench', '--url', stack.url, '--scenario', 'short', '--clients', '2', '--json', file];
  try {
    const missed = await millrace([...short, '--requests', '4', '--thresholds', 'total.p50<0.001']);
    expect([missed.status, missed.stdout]).toEqual([2, expect.stringMatching(/total\.p50<0\.001 .* MISSED$/m)]);
    expect((await millrace([...short, '--model', 'nobody'])).status).toBe(1);

    const measuring = spawn(process.execPath, [MILLRACE, ...short, '--warm-up', '0', '--requests', '1000000'], {
      stdio: 'pipe',
    });
    let [stdout, stderr] = ['', ''];
    measuring.stdout.on('data', (piece) => (stdout += piece));
    measuring.stderr.on('data', (piece) => (stderr += piece));
    const ended = once(measuring, 'close');
    await expect.poll(() => stderr, { timeout: 30_000 }).toContain('measuring short, 2 clients');
    await sleep(4_000); // For at least one answer.
    measuring.kill('SIGINT');
    expect((await ended)[0]).toBe(130);
    expect(stdout).toContain('Stopped before its end. Of short, 2 clients only the beginning was measured.');
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ isCutShort: true, runs: [{ isCutShort: true }] });
  } finally {
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}, 120_000);

it('docs/how-to/measuring.md measures, compares and watches, by every command on it', async () => {
  // A command holds this process up, which meanwhile reads no log; and a pipe that is full stops the gateway.
  const shell = await openDocumentedShell({ args: ['--log-level', 'warn'] });
  try {
    const blocks = shellBlocks('docs/how-to/measuring.md');
    expect(blocks).toHaveLength(6);
    const output = shell.run(blocks.join('\n'));
    expect(output).toMatch(/^short +8 clients .* 0 %$/m);
    expect(output).toMatch(/^chat +5 requests\/s .* 0 %$/m);
    expect(output).toContain('HOW LATE REQUESTS WERE SENT');
    expect(output).toMatch(/^tokens\/s .*(better|worse|none)$/m);
    expect(output).toMatch(/^short +8 clients +failed<0\.1% +0\.00 +met$/m);
    expect(output.match(/1 of 1 workers ready/g)).toHaveLength(3);
    expect(output.match(/^\d{4}-\d\d-\d\dT[\d:]+ [\d.]+ (–|[<>]?[\d.]+)$/gm)).toHaveLength(2);
  } finally {
    await shell.close();
  }
}, 240_000);

it('docs/how-to/troubleshooting.md looks where it says, by every command on it', async () => {
  const shell = await openDocumentedShell({ args: ['--log-level', 'warn'] });
  try {
    const blocks = shellBlocks('docs/how-to/troubleshooting.md');
    expect(blocks).toHaveLength(3);
    const output = shell.run(blocks.join('\n'));
    expect(output).toMatch(/^✓ ok +worker /m);
    expect(output).not.toContain('✗');
    expect(output).toContain('"state":"ready"');
    expect(output).toContain('"finish_reason":"stop"');
    for (const name of ['millrace_waiting_seconds', 'gen_ai_server_time_to_first_token', 'millrace_overhead_seconds']) {
      expect(output).toMatch(new RegExp(`${name}_count\\{.* \\d+$`, 'm'));
    }
  } finally {
    await shell.close();
  }
}, 120_000);
