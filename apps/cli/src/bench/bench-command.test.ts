import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { benchCommand } from './bench-command.js';
import { commandLine } from './command-line.js';
import type { LoadReport } from './load/load-report.js';
import { StreamingServer } from './load/streaming-server.testing.js';

let server: StreamingServer;
let folder: string;
beforeEach(async () => {
  server = await new StreamingServer().start();
  folder = mkdtempSync(join(tmpdir(), 'millrace-bench-test-'));
  vi.spyOn(process.stderr, 'write').mockImplementation(() => true); // Progress.
});
afterEach(async () => {
  vi.restoreAllMocks();
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

async function bench(...args: string[]): Promise<string> {
  let written = '';
  const status = await benchCommand.run({
    args,
    environment: {},
    workingFolder: folder,
    write: (text) => (written += text),
    isTerminal: false,
  });
  expect(status).toBe(0);
  return written;
}

const report = (name: string) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as LoadReport;
const scenario = (...args: string[]) => bench('--url', `${server.url}/v1`, '--scenario', ...args);

describe('millrace bench --scenario', () => {
  it('measures a server that is none of ours, scenario by scenario and level by level', async () => {
    const text = await scenario('short,chat', '--clients', '1,4', '--requests', '8', '--json', 'out.json');
    expect(text).toMatch(/^short +1 client +\d/m);
    expect(text).toMatch(/^chat +4 clients .* 0 %$/m);
    const { runs, model } = report('out.json');
    expect(model).toBe('echo');
    expect(runs.map((run) => [run.scenario, 'clients' in run && run.clients, run.answered])).toEqual([
      ['short', 1, 8],
      ['short', 4, 8],
      ['chat', 1, 8],
      ['chat', 4, 8],
    ]);
  });

  it('counts neither the first try nor the warm-up', async () => {
    await scenario('short', '--clients', '2', '--requests', '6', '--warm-up', '5', '--json', 'out.json');
    expect(server.bodies).toHaveLength(1 + 5 + 6);
    expect(report('out.json').runs[0]).toMatchObject({ requests: 6, promptTokens: 42, tokens: 30 });
  });

  it('keeps a rate for a time, and tells how late it sent', async () => {
    const text = await scenario('short', '--rate', '50', '--seconds', '1', '--json', 'out.json', '--markdown');
    const [run] = report('out.json').runs;
    expect(run).toMatchObject({ perSecond: 50, failed: 0 });
    expect(run!.requests).toBeGreaterThan(25);
    expect(run!.requests).toBeLessThan(80);
    expect(text).toContain('| short | 50 requests/s |');
    expect(text).toContain('### How late requests were sent');
  });

  it('counts refusals by their code, and goes on', async () => {
    writeFileSync(join(folder, 'a.txt'), 'fine');
    writeFileSync(join(folder, 'b.txt'), 'refuse');
    const text = await scenario('files', '--prompts', '.', '--clients', '1', '--requests', '4', '--json', 'out.json');
    expect(text).toContain('50.00 %');
    expect(text).toMatch(/^files +1 client +429 rate_limit_exceeded +2$/m);
    expect(report('out.json').runs[0]).toMatchObject({ answered: 2, errors: { '429 rate_limit_exceeded': 2 } });
  });

  it('asks the model that is named, else the first that chats', async () => {
    server.models = {
      data: [
        { id: 'vectors', capabilities: ['embedding'] },
        { id: 'talks', capabilities: ['chat'] },
      ],
    };
    await scenario('short', '--clients', '1', '--requests', '1');
    expect(server.bodies.at(-1)!.model).toBe('talks');
    await scenario('short', '--clients', '1', '--requests', '1', '--model', 'mine');
    expect(server.bodies.at(-1)!.model).toBe('mine');
    server.models = 'none';
    await expect(scenario('short')).rejects.toThrow('lists no model that chats. Say which is asked with --model.');
  });

  it('measures nothing where the first request is refused', async () => {
    writeFileSync(join(folder, 'a.txt'), 'refuse');
    await expect(scenario('files', '--prompts', 'a.txt')).rejects.toThrow(
      'The first request failed, so nothing was measured: 429 rate_limit_exceeded. The waiting room is full.',
    );
    expect(server.bodies).toHaveLength(1);
  });

  it('refuses flags that it would pass over, and values that are none', async () => {
    await expect(scenario('short', '--completion')).rejects.toThrow("--completion can't go with --scenario");
    await expect(bench('--url', server.url, '--rate', '5')).rejects.toThrow('--rate needs --scenario');
    await expect(scenario('short', '--rate', 'fast')).rejects.toThrow('--rate has "fast". Each is a number');
    await expect(scenario('tall')).rejects.toThrow('--scenario has "tall". Each is one of short');
  });
});

describe('millrace bench --compare', () => {
  it('tells what changed between two reports, run by run', async () => {
    await scenario('short,medium', '--clients', '2', '--requests', '4', '--json', 'before.json');
    const before = report('before.json');
    const [short] = before.runs;
    const after = {
      ...before,
      model: 'other',
      runs: [
        {
          ...short!,
          requestsPerSecond: short!.requestsPerSecond * 2,
          firstTokenMs: { ...short!.firstTokenMs!, p50: short!.firstTokenMs!.p50 * 1.5 },
          failed: 1,
        },
      ],
    };
    writeFileSync(join(folder, 'after.json'), JSON.stringify(after));
    const text = await bench('--compare', 'before.json,after.json', '--markdown');
    expect(text).toContain('### short, 2 clients');
    expect(text).toMatch(/\| requests\/s \| [\d.]+ \| [\d.]+ \| \+100\.0 %, better \|/);
    expect(text).toMatch(/\| first token p50, ms \| [\d.]+ \| [\d.]+ \| \+50\.0 %, worse \|/);
    expect(text).toMatch(/\| failed, % \| 0\.00 \| 25\.00 \| worse \|/);
    expect(text).toMatch(/\| total p50, ms \| .* \| none \|/);
    expect(text).toContain('The models differ: echo and other.');
    expect(text).toContain('In one of the two alone: medium, 2 clients.');
  });

  it('takes two reports of scenarios, and nothing else', async () => {
    await expect(bench('--compare', 'a.json')).rejects.toThrow('--compare has 1 files. It takes two');
    await expect(bench('--compare', 'a.json,b.json')).rejects.toThrow("can't be read (ENOENT). Name a file that");
    for (const text of ['{', 'null', '{"levels":[]}', '{"report":"millrace load","runs":[{}]}']) {
      writeFileSync(join(folder, 'a.json'), text);
      await expect(bench('--compare', 'a.json,a.json')).rejects.toThrow('is no report of scenarios. Make one with');
    }
  });

  it('says so where the two have nothing in common', async () => {
    await scenario('short', '--clients', '1', '--requests', '1', '--json', 'a.json');
    await scenario('short', '--clients', '2', '--requests', '2', '--json', 'b.json');
    await expect(bench('--compare', 'a.json,b.json')).rejects.toThrow('Measure both alike.');
  });
});

describe('the command in a report', () => {
  it('is what was typed, without secrets', () => {
    const args = ['--api-key', 'sk-1', '--admin-key=sk-2', '--url', 'http://me:sk-3@host:8000/v1', '--clients', '1'];
    const line = commandLine(args);
    expect(line).toBe('millrace bench --api-key *** --admin-key=*** --url http://***@host:8000/v1 --clients 1');
  });
});
