import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Server as GrpcServer, ServerCredentials, type sendUnaryData } from '@grpc/grpc-js';
import { PROTOCOL_VERSION } from '@millrace/contracts';
import { InferenceService, type WorkerDescription } from '@millrace/contracts/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkCommand } from './check-command.js';
import type { Finding } from './finding.js';

let folder: string;
let occupied: Server | undefined;
let gateway: HttpServer | undefined;
let worker: GrpcServer | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-check-'));
  mkdirSync(join(folder, 'configs'));
});
afterEach(() => {
  occupied?.close();
  occupied = undefined;
  gateway?.closeAllConnections();
  gateway?.close();
  gateway = undefined;
  worker?.forceShutdown();
  worker = undefined;
  rmSync(folder, { recursive: true, force: true });
});

const DEMO_MODEL = new URL('../../../../models/millrace-demo.gguf', import.meta.url);
const GGUF = Buffer.concat([Buffer.from('GGUF\x03\0\0\0', 'latin1'), Buffer.alloc(16)]);
const models = (entry: string) =>
  writeFileSync(join(folder, 'configs/models.yaml'), `models:\n  - {id: tiny, ${entry}}\n`);

let environment: NodeJS.ProcessEnv = {};
beforeEach(() => {
  environment = {};
});

async function check(...args: string[]): Promise<{ status: number; findings: Finding[] }> {
  let written = '';
  const status = await checkCommand.run({
    args: [
      '--json',
      '--port=0',
      ...(args.some((arg) => arg.startsWith('--workers=')) ? [] : ['--workers=127.0.0.1:9']),
      ...args,
    ],
    environment,
    workingFolder: folder,
    write: (text) => {
      written += text;
    },
    isTerminal: false,
  });
  return { status, findings: JSON.parse(written) as Finding[] };
}

const about = (findings: Finding[], what: string) => findings.filter((finding) => finding.about.startsWith(what));

/** A worker that says this of itself, and its address. */
async function workerThatSays(detail: string): Promise<string> {
  worker = new GrpcServer();
  const description: WorkerDescription = {
    workerId: 'worker',
    protocolVersion: PROTOCOL_VERSION,
    version: '0.1.0',
    state: 'ready',
    detail,
    models: [],
    sequencesMax: 1,
    waitingMax: 1,
    load: undefined,
  };
  worker.addService(
    { describe: InferenceService.describe },
    { describe: (_call: unknown, answer: sendUnaryData<WorkerDescription>) => answer(null, description) },
  );
  const bind = promisify(worker.bindAsync.bind(worker));
  return `127.0.0.1:${await bind('127.0.0.1:0', ServerCredentials.createInsecure())}`;
}

describe('the registry, while the bucket is away', () => {
  it('is told with what is in it, and the bucket as what is wrong', async () => {
    const entry = {
      ...{ source: 'hf:a/b/c.gguf@main', path: DEMO_MODEL.pathname, digest: 'a'.repeat(64), size: 5_281_824 },
      ...{ format: 'gguf', task: 'chat', added: '2026-01-01T00:00:00Z' },
    };
    writeFileSync(join(folder, 'registry.json'), JSON.stringify({ version: 1, models: { demo: entry } }));
    const s3 = ['--s3-url=http://127.0.0.1:9', '--s3-bucket=bucket', '--s3-access-key=k', '--s3-secret-key=s'];
    const { findings } = await check(`--models-dir=${folder}`, ...s3);
    expect(findings).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ about: 'registry', detail: expect.stringMatching(/registry.json: 1 model$/) }),
        expect.objectContaining({ about: 'model demo', ok: true }),
        expect.objectContaining({ about: 'bucket', ok: false }),
      ]),
    );
  });
});

describe('check', () => {
  it('finds nothing wrong where nothing is', async () => {
    writeFileSync(join(folder, 'tiny.gguf'), GGUF);
    models(`path: ../tiny.gguf, sha256: ${createHash('sha256').update(GGUF).digest('hex')}`);
    const { status, findings } = await check();
    expect(findings.filter(({ ok }) => !ok)).toEqual([]);
    expect(about(findings, 'model tiny')[0]!.detail).toContain('GGUF version 3');
    expect(about(findings, 'worker')[0]!.detail).toBe('not running: fine before `make run`');
    expect(status).toBe(0);
  });

  it.each([
    ['a file that is missing', undefined, '', 'cannot be read (ENOENT).'],
    ['a file of another kind', Buffer.from('<html>'.repeat(10)), '', 'is no GGUF model: it begins with "<htm"'],
    ['a file that was cut short', Buffer.from('GGUF'), '', 'is cut short: it has only 4 bytes.'],
    [
      'a file that was cut short within its weights',
      readFileSync(DEMO_MODEL).subarray(0, 5_000_000),
      '',
      'is cut short: it ends too early, after 5,000,000 bytes, and needs 5,281,824.',
    ],
    ['an adapter that is missing', GGUF, ', lora: [{path: absent.gguf}]', 'absent.gguf cannot be read (ENOENT).'],
    ['another digest', GGUF, `, sha256: ${'f'.repeat(64)}`, 'has the digest'],
  ])('names %s, and ends with status 1', async (_, content, more, expected) => {
    if (content !== undefined) writeFileSync(join(folder, 'tiny.gguf'), content);
    models(`path: ../tiny.gguf${more}`);
    const { status, findings } = await check();
    expect(about(findings, 'model tiny')[0]).toMatchObject({ ok: false, detail: expect.stringContaining(expected) });
    expect(status).toBe(1);
  });

  it('looks at every part of a model', async () => {
    for (const part of [1, 2]) writeFileSync(join(folder, `tiny-0000${part}-of-00002.gguf`), GGUF);
    models('path: ../tiny-00001-of-00002.gguf');
    expect(about((await check()).findings, 'model tiny')[0]!.detail).toContain('in 2 files');
    rmSync(join(folder, 'tiny-00002-of-00002.gguf'));
    const { findings } = await check();
    expect(about(findings, 'model tiny')[0]!.detail).toContain('tiny-00002-of-00002.gguf cannot be read (ENOENT).');
  });

  it('says which server runs a model, and whether its key is there, but never the key', async () => {
    models('engine: openai-compatible, servedBy: worker, upstream: {preset: groq}');
    const without = await check();
    expect(about(without.findings, 'model tiny')[0]).toMatchObject({
      ok: false,
      detail: expect.stringMatching(/^groq at https:.* needs a key, and GROQ_API_KEY is not set here\.$/) as string,
      remedy: 'Put the key into GROQ_API_KEY.',
    });
    environment = { GROQ_API_KEY: 'gsk-secret' };
    const withKey = await check();
    expect(about(withKey.findings, 'model tiny')[0]).toMatchObject({
      ok: true,
      detail: expect.stringMatching(/^groq at https:.*; its key is in GROQ_API_KEY$/) as string,
    });
    expect(JSON.stringify(withKey)).not.toContain('gsk-secret');
    models('engine: openai-compatible, upstream: {preset: vllm, url: "http://127.0.0.1:8000/v1"}');
    expect(about((await check()).findings, 'model tiny')[0]).toMatchObject({
      ok: true,
      detail: 'vllm at http://127.0.0.1:8000/v1, without a key',
    });
  });

  describe('a provider that the gateway asks itself', () => {
    const KEY = 'gsk_0123456789abcdef';
    let provider: HttpServer;
    let status: number;
    let pings: number;
    beforeEach(async () => {
      status = 200;
      pings = 0;
      provider = createHttpServer(({ headers }, response) => {
        pings++;
        const right = headers.authorization === `Bearer ${KEY}`;
        response.writeHead(right ? status : 401, { 'content-type': 'application/json' });
        response.end(
          JSON.stringify({ object: 'list', data: [{ id: 'llama' }], error: `key ${headers.authorization}` }),
        );
      }).listen(0, '127.0.0.1');
      await once(provider, 'listening');
      environment = { GROQ_API_KEY: KEY };
    });
    afterEach(() => provider.close());
    const url = () => `http://127.0.0.1:${(provider.address() as { port: number }).port}/v1`;
    const upstream = () => `engine: openai-compatible, upstream: {preset: groq, url: "${url()}", model: llama}`;
    const line = async (...args: string[]) => {
      const { status: exit, findings } = await check(...args);
      expect(JSON.stringify(findings)).not.toContain(KEY);
      return { exit, finding: about(findings, 'provider groq')[0]!, findings };
    };

    it('is asked for its models, once for all that it serves', async () => {
      writeFileSync(
        join(folder, 'configs/models.yaml'),
        `models:\n  - {id: tiny, ${upstream()}}\n  - {id: other, ${upstream()}}\n` +
          'aliases:\n  - {name: chat, targets: [{model: tiny, weight: 3}, {model: other}], fallbacks: [far]}\n',
      );
      const { exit, finding, findings } = await line();
      expect(finding).toEqual({
        about: 'provider groq',
        ok: true,
        detail: `groq at ${url()} answers, and lists 1 model`,
      });
      expect(about(findings, 'model tiny')[0]).toMatchObject({ detail: 'llama of groq, served by the gateway itself' });
      expect(about(findings, 'alias chat')[0]!.detail).toBe(
        'stands for tiny (weight 3), other (weight 1), else far; not of this file, and so for a worker to know: far',
      );
      expect([exit, pings]).toEqual([0, 1]);
    });

    it('whose key is missing, or refused, is not ok, and the variable is named', async () => {
      models(upstream());
      environment = {};
      const missing = await line();
      expect(missing).toMatchObject({
        exit: 1,
        finding: { ok: false, detail: expect.stringContaining('GROQ_API_KEY') },
      });
      environment = { GROQ_API_KEY: 'gsk_wrongwrongwrong' };
      expect(await line()).toMatchObject({
        exit: 1,
        finding: {
          ok: false,
          detail: expect.stringMatching(/status 401/),
          remedy: 'Put a valid one into GROQ_API_KEY.',
        },
      });
    });

    it('that does not list the model is ok, and that is said', async () => {
      models(upstream().replace('llama}', 'lama}'));
      expect((await line()).finding).toMatchObject({ ok: true, detail: expect.stringContaining('but not lama') });
    });

    it('that is not to be asked is not', async () => {
      models(upstream());
      expect((await line('--provider-check=off')).finding).toMatchObject({ ok: true });
      expect(pings).toBe(0);
    });
  });

  it('tells a folder for OpenVINO from others', async () => {
    mkdirSync(join(folder, 'qwen'));
    models('engine: openvino, path: ../qwen');
    expect(about((await check()).findings, 'model tiny')[0]!.detail).toContain('has neither a model of OpenVINO');
    writeFileSync(join(folder, 'qwen/openvino_model.xml'), '<net/>');
    expect(about((await check()).findings, 'model tiny')[0]).toMatchObject({ ok: true });
  });

  it('looks at the model of the flag too, be it a file or a name', async () => {
    writeFileSync(join(folder, 'tiny.gguf'), GGUF);
    models('path: ../tiny.gguf');
    expect((await check('--model=./tiny.gguf')).status).toBe(0);
    const { findings } = await check('--model=tinny');
    expect(about(findings, 'model tinny')[0]!.detail).toContain('Did you mean tiny?');
  });

  it.each(['X.GGUF', './noext'])('takes %s for a file, as the worker does, and then needs no list', async (model) => {
    writeFileSync(join(folder, model), GGUF);
    const { findings } = await check(`--model=${model}`);
    expect(about(findings, 'model')).toEqual([
      { about: `model ${model}`, ok: true, detail: expect.stringContaining('GGUF version 3') },
    ]);
  });

  it('names every problem of the configuration', async () => {
    const { status, findings } = await check('--prot=1', '--max-batch-size=0');
    expect(findings.map(({ detail }) => detail)).toEqual([
      expect.stringContaining('Did you mean --port?'),
      expect.stringContaining('--max-batch-size is "0".'),
    ]);
    expect(status).toBe(1);
  });

  it('is content with a worker that is ready, and not with one that lacks a model', async () => {
    writeFileSync(join(folder, 'tiny.gguf'), GGUF);
    models('path: ../tiny.gguf');
    const whole = await check(`--workers=${await workerThatSays('')}`);
    expect(about(whole.findings, 'worker')[0]).toMatchObject({ ok: true, detail: 'ready: no model yet' });
    worker!.forceShutdown();
    const detail = "The model vectors can't be loaded: its file is missing.";
    const lacking = await check(`--workers=${await workerThatSays(detail)}`);
    expect(about(lacking.findings, 'worker')[0]).toMatchObject({
      ok: false,
      detail: `ready: no model yet (${detail})`,
    });
    expect(lacking.status).toBe(1);
  });

  it('asks no provider of a running gateway as if it were a worker, and names those that it has lost', async () => {
    const provider = (address: string, state: string, detail: string) => ({
      address,
      state,
      detail,
      version: '',
      running: 0,
      waiting: 0,
      models: ['m'],
    });
    const workers = [
      provider('provider:groq/m', 'ready', ''),
      provider('provider:openai/n', 'lost', 'it refuses the key.'),
    ];
    const ready = { status: 'ready', capabilities: {} };
    const health = { status: 'ok', ready, version: '0.1.0', node: process.version, workers };
    gateway = createHttpServer((_request, response) => void response.end(JSON.stringify(health)));
    await new Promise<void>((resolve) => gateway!.listen(0, '127.0.0.1', resolve));
    const { findings } = await check(`--port=${(gateway.address() as { port: number }).port}`);
    expect(about(findings, 'worker')).toEqual([]);
    expect(about(findings, 'provider:')).toMatchObject([
      { about: 'provider:openai/n', ok: false, detail: 'is lost to the gateway: it refuses the key.' },
    ]);
  });

  it('looks for itself where a gateway tells only who has the admin key what it misses', async () => {
    const answers: Record<string, object> = { '/readyz': { status: 'ready', capabilities: {} } };
    gateway = createHttpServer(({ url = '' }, response) => {
      response.writeHead(url in answers ? 200 : 401).end(JSON.stringify(answers[url] ?? {}));
    });
    await new Promise<void>((resolve) => gateway!.listen(0, '127.0.0.1', resolve));
    const { port } = gateway.address() as { port: number };
    const { findings, status } = await check(`--port=${port}`, '--redis-url=redis://127.0.0.1:1');
    expect(about(findings, 'gateway')).toMatchObject([
      {
        ok: true,
        detail: `Millrace runs at http://127.0.0.1:${port} and is ready; it tells more only with the admin key`,
      },
    ]);
    expect(about(findings, 'redis')).toMatchObject([
      { ok: false, detail: "127.0.0.1:1 can't be reached (ECONNREFUSED)." },
    ]);
    expect(about(findings, 'port')).toEqual([]);
    expect(about(findings, 'worker')).toMatchObject([{ ok: true }]);
    expect(status).toBe(1);
  });

  it('ends what is wrong before it says what to do, however others end their sentences', async () => {
    writeFileSync(join(folder, 'tiny.gguf'), GGUF);
    models('path: ../tiny.gguf');
    let written = '';
    const args = ['--port=0', `--workers=${await workerThatSays('Its fan is loud')}`];
    const write = (text: string) => {
      written += text;
    };
    await checkCommand.run({ args, environment, workingFolder: folder, write, isTerminal: false });
    expect(written).toMatch(/ready: no model yet \(Its fan is loud\)\. .*See its log\./);
  });

  it('finds a port that another program holds', async () => {
    occupied = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => occupied!.listen(0, '127.0.0.1', resolve));
    const { port } = occupied.address() as { port: number };
    models('path: ../tiny.gguf');
    const { findings } = await check(`--port=${port}`);
    expect(about(findings, 'port')[0]).toMatchObject({
      ok: false,
      detail: `Port ${port} of 127.0.0.1 is in use by another program.`,
      remedy: `Stop that one, or choose another port: --port ${port + 1}.`,
    });
  });
});
