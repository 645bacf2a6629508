import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { benchCommand } from './bench-command.js';
import { commandLine } from './command-line.js';
import { isPassed, type LoadReport } from './load/load-report.js';
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

async function benchWithStatus(...args: string[]): Promise<{ status: number; text: string }> {
  let text = '';
  const status = await benchCommand.run({
    args,
    environment: {},
    workingFolder: folder,
    write: (piece) => (text += piece),
    isTerminal: false,
  });
  return { status, text };
}

async function bench(...args: string[]): Promise<string> {
  const { status, text } = await benchWithStatus(...args);
  expect(status).toBe(0);
  return text;
}

const report = (name: string) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as LoadReport;
const scenario = (...args: string[]) => bench('--url', `${server.url}/v1`, '--scenario', ...args);

describe('millrace bench --scenario', () => {
  it('measures a server that is none of ours, scenario by scenario and level by level', async () => {
    const text = await scenario('short,chat', '--clients', '1,4', '--requests', '8', '--json', 'out.json');
    expect(text).toMatch(/^short +1 client +\d/m);
    expect(text).toMatch(/^chat +4 clients .* 0 %$/m);
    expect(text).toMatch(/load average [\d.]+ at the start, [\d.]+ at the end\. Model echo/);
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

  it('asks without what a server does not know, and says so', async () => {
    server.refused = ['stream_options', 'max_tokens'];
    const text = await scenario('short', '--clients', '1', '--requests', '2', '--json', 'out.json');
    expect(text).toContain('The server does not take stream_options: tokens are pieces of text.');
    expect(server.bodies.at(-1)).toMatchObject({ max_completion_tokens: 64, stream: true });
    expect(report('out.json')).toMatchObject({ adapted: [expect.any(String), expect.any(String)] });
    server.refused = ['stream'];
    await expect(scenario('short')).rejects.toThrow('Unrecognized request argument supplied: stream');
  });

  it('says how to name a model where a server lists none', async () => {
    server.listsModels = false;
    await expect(scenario('short')).rejects.toThrow(
      '/v1/models does not list its models (404). Say which is asked with --model.',
    );
    await scenario('short', '--model', 'mine', '--clients', '1', '--requests', '1');
  });

  it('says how many answers were empty, which would else look quick', async () => {
    writeFileSync(join(folder, 'a.txt'), 'silent');
    const text = await scenario('files', '--prompts', 'a.txt', '--clients', '1', '--requests', '3');
    expect(text).toContain('files, 1 client: 3 of 3 answers were empty; their first token is their end.');
  });

  it('finds out before it measures that the report can not be written', async () => {
    const first = server.bodies.length;
    await expect(scenario('short', '--json', 'away/out.json')).rejects.toThrow(
      "away/out.json (--json) can't be written (ENOENT). Make its folder, or name another file.",
    );
    await expect(scenario('short', '--json', '.')).rejects.toThrow('is a folder. Name a file in it');
    expect(server.bodies).toHaveLength(first);
  });

  it('refuses flags that it would pass over, and values that are none', async () => {
    await expect(scenario('short', '--completion')).rejects.toThrow("--completion can't go with --scenario");
    await expect(bench('--url', server.url, '--rate', '5')).rejects.toThrow('--rate needs --scenario');
    await expect(scenario('short', '--rate', '5', '--clients', '3')).rejects.toThrow("--clients can't go with --rate");
    await expect(scenario('short', '--at-once-max', '3')).rejects.toThrow('--at-once-max needs --rate');
    await expect(scenario('short', '--prompts', '.')).rejects.toThrow('--prompts needs --scenario files');
    await expect(scenario('short', '--requests-per-turn', '9')).rejects.toThrow("can't go with --scenario");
    await expect(scenario('short', '--compare', 'a,b')).rejects.toThrow(
      "can't go with --compare, which measures nothing",
    );
    await expect(scenario('short', '--rate', 'fast')).rejects.toThrow('--rate has "fast". Each is a number');
    await expect(scenario('tall')).rejects.toThrow('--scenario has "tall". Each is one of short');
  });
});

describe('millrace bench --thresholds', () => {
  const quick = ['--clients', '1', '--requests', '4', '--json', 'out.json'];
  const held = (thresholds: string, ...args: string[]) =>
    benchWithStatus('--url', server.url, '--scenario', 'short', ...quick, '--thresholds', thresholds, ...args);

  it('says of each limit whether it was met, and by the exit status whether all were', async () => {
    const met = await held('total.p99<60000,requests/s>=0.1,failed<=0%');
    expect([met.status, met.text]).toEqual([0, expect.stringMatching(/^short +1 client +failed<=0% +0\.00 +met$/m)]);
    const missed = await held('total.p50<0.001, gap.p95 < 60000 ms,tokens/s>1000000', '--markdown');
    expect(missed.status).toBe(2);
    expect(missed.text).toMatch(/\| short \| 1 client \| total\.p50<0\.001 \| [\d.]+ \| MISSED \|/);
    const [run] = report('out.json').runs;
    expect(run!.thresholds!.map(({ threshold, met: isMet }) => [threshold, isMet])).toEqual([
      ['total.p50<0.001', false],
      ['gap.p95<60000', true],
      ['tokens/s>1000000', false],
    ]);
    expect(run!.thresholds![0]!.figure).toBe(run!.totalMs!.p50);
  });

  it('counts failures against them', async () => {
    writeFileSync(join(folder, 'a.txt'), 'fine');
    writeFileSync(join(folder, 'b.txt'), 'refuse');
    const args = ['--url', server.url, '--scenario', 'files', '--prompts', '.', ...quick, '--thresholds'];
    expect((await benchWithStatus(...args, 'failed<0.1')).status).toBe(2);
    expect((await benchWithStatus(...args, 'failed<=50')).status).toBe(0);
  });

  it.each(['total<500', 'total.p50=500', 'total.p50<fast', 'p50<500', 'failed<1ms', 'first.p95<1%', 'total.p95<'])(
    'takes none that it would misunderstand: %s',
    async (text) => {
      await expect(held(text)).rejects.toThrow(`--thresholds has ${JSON.stringify(text)}. Each is a figure, <,`);
      expect(server.bodies).toHaveLength(0);
    },
  );

  it('is met by nobody who answered nothing, even where none is given', () => {
    const runs = [{ answered: 1 }, { answered: 0 }] as unknown as LoadReport['runs'];
    expect([isPassed({ runs }), isPassed({ runs: runs.slice(0, 1) })]).toEqual([false, true]);
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
      isCutShort: true,
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
    expect(text).toContain('The one after was stopped before its end.');
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
    expect(commandLine(['--thresholds', "total.p50<5,it's"])).toBe(
      "millrace bench --thresholds 'total.p50<5,it'\\''s'",
    );
    expect(line).toBe('millrace bench --api-key *** --admin-key=*** --url http://***@host:8000/v1 --clients 1');
  });
});
