import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, getCACertificates, setDefaultCACertificates } from 'node:tls';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestAuthority } from '../../libs/runtime/src/certificates.testing.ts';
import { freePort } from '../services/real-service.ts';
import { shellBlocks } from './documented-shell.js';
import { MILLRACE, ROOT } from './stack.js';

const READY = { timeout: 60_000, interval: 200 };
const HAS_PYTHON_CLIENT = spawnSync('python3', ['-c', 'import openai']).status === 0;

/** A folder with what readers have: `millrace` on the PATH. Commands run in it, asynchronously: what they ask may be in this process. */
class Place {
  readonly folder = mkdtempSync(join(tmpdir(), 'millrace-https-'));
  readonly #running: ChildProcess[] = [];
  #output = '';

  constructor(readonly port: number) {
    writeFileSync(join(this.folder, 'millrace'), `#!/bin/sh\nexec "${process.execPath}" "${MILLRACE}" "$@"\n`);
    chmodSync(join(this.folder, 'millrace'), 0o755);
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  /** What everything that was started in the background wrote. */
  get output(): string {
    return this.#output;
  }

  path(name: string): string {
    return join(this.folder, 'certificates', name);
  }

  async run(commands: string): Promise<string> {
    const child = this.#spawn(`set -e\n${commands}`);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream!.on('data', (text) => (output += text));
    const [status] = await once(child, 'close');
    if (status !== 0) throw new Error(`It ended with ${status}:\n${output}`);
    return output;
  }

  start(commands: string): void {
    const child = this.#spawn(commands);
    this.#running.push(child);
    for (const stream of [child.stdout, child.stderr]) stream!.on('data', (text) => (this.#output += text));
  }

  async end(): Promise<void> {
    for (const child of this.#running.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
    }
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  #spawn(commands: string): ChildProcess {
    const here = commands
      .replaceAll('127.0.0.1:8000', `127.0.0.1:${this.port}`)
      .replaceAll('examples/', `${ROOT}/examples/`);
    const env = {
      ...process.env,
      PATH: `${this.folder}:${process.env.PATH}`,
      MILLRACE_HOME: ROOT,
      MILLRACE_PORT: String(this.port),
      MILLRACE_DATA_FOLDER: join(this.folder, 'data'),
    };
    return spawn('sh', ['-c', here], { cwd: this.folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
  }
}

const blocks = shellBlocks('docs/how-to/tls.md');
const at = (what: RegExp) => {
  const found = blocks.findIndex((block) => what.test(block));
  expect(found).toBeGreaterThanOrEqual(0);
  return found;
};

let place: Place;

/** Of whatever is shown to a new connection. */
async function shownName(): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: place.port, rejectUnauthorized: true });
  try {
    await once(socket, 'secureConnect');
    return String(socket.getPeerCertificate().subject.CN);
  } finally {
    socket.destroy();
  }
}

async function put(pair: { cert: string; key: string }): Promise<void> {
  writeFileSync(place.path('gateway-key.pem'), pair.key, { mode: 0o600 });
  writeFileSync(place.path('gateway.pem'), pair.cert);
}

beforeAll(async () => {
  place = new Place(await freePort());
}, 90_000);
afterAll(() => place.end());

describe('a Millrace with certificates', () => {
  let settings: string;
  let own: TestAuthority;

  it('is set up by the commands of docs/how-to/tls.md, and becomes ready', async () => {
    const [exports, serve] = [at(/^export /), at(/^millrace serve$/m)];
    settings = blocks[exports]!;
    await place.run(blocks.slice(0, exports).join('\n'));
    place.start(`${settings}\nexec ${blocks[serve]!}`);
    own = await TestAuthority.make();
    setDefaultCACertificates([
      ...getCACertificates('default'),
      execFileSync('cat', [place.path('ca.pem')], { encoding: 'utf8' }),
      own.cert,
    ]);
    const ready = () => fetch(`${place.url}/readyz`).then((answer) => answer.json(), String);
    await expect.poll(ready, READY).toMatchObject({ status: 'ready' });
    expect(await ready()).not.toHaveProperty('degraded');
    // Printed last, for people who try it.
    await expect.poll(() => place.output, READY).toContain(`${place.url}/v1/chat/completions`);
  }, 90_000);

  it('answers curl, the official client in Node, and its own commands', async () => {
    const [ask, renew] = [at(/^curl /), at(/new-key\.pem/)];
    const output = await place.run([settings, ...blocks.slice(ask, renew)].join('\n'));
    expect(output.match(/Paris/g)!.length).toBeGreaterThanOrEqual(3);
    expect(output).toContain('millrace-demo');
    expect(output).toMatch(/worker 127\.0\.0\.1:\d+ .*ready/);
  }, 60_000);

  it.skipIf(!HAS_PYTHON_CLIENT)('answers the official client in Python (there is no python3 with openai)', async () => {
    const output = await place.run(
      'SSL_CERT_FILE=certificates/ca.pem OPENAI_BASE_URL=https://127.0.0.1:8000/v1 python3 examples/openai_python.py',
    );
    expect(output).toContain('Paris');
  });

  it('is not believed by who does not know the authority, nor asked without TLS', async () => {
    await expect(place.run('curl -sS https://127.0.0.1:8000/healthz')).rejects.toThrow(/certificate/);
    expect(await place.run('curl -sS http://127.0.0.1:8000/healthz')).toContain('Write https://');
    await expect(place.run('millrace models --url https://127.0.0.1:8000')).rejects.toThrow('is not believed');
  });

  it('is renewed as the page says', async () => {
    const output = await place.run(blocks[at(/new-key\.pem/)]!);
    expect(output).toMatch(/subject=CN = ["“]?gateway, renewed/);
  }, 30_000);

  it('is renewed in the midst of a stream of the official client, which misses nothing', async () => {
    const client = new OpenAI({ baseURL: `${place.url}/v1`, apiKey: 'any', maxRetries: 0 });
    const question = {
      model: 'millrace-demo',
      messages: [{ role: 'user' as const, content: 'Tell me a long story.' }],
      temperature: 1.8,
      seed: 7,
      max_tokens: 400,
    };
    let renewed = '';
    let text = '';
    const stream = await client.chat.completions.create({ ...question, stream: true });
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      if (renewed !== '' || text.length < 20) continue;
      // The stream waits here, unread, until a new connection is shown the new certificate.
      await put(await own.sign('renewed again'));
      await expect.poll(() => shownName().catch(String), { timeout: 10_000 }).toBe('renewed again');
      renewed = text;
    }
    expect(renewed).not.toBe('');
    expect(text.length).toBeGreaterThan(renewed.length);
    const undisturbed = await client.chat.completions.create(question);
    expect(text).toBe(undisturbed.choices[0]?.message.content);
  }, 60_000);

  it('goes on when its certificate expires, says so, and takes the next', async () => {
    const kept = connect({ host: '127.0.0.1', port: place.port });
    await once(kept, 'secureConnect');
    await put(await own.sign('brief', { fromMs: -3_600_000, toMs: 4_000 }));
    await expect.poll(() => shownName().catch(String), { timeout: 10_000 }).toContain('expired');
    await expect.poll(() => place.output, { timeout: 10_000 }).toContain('is expired since');
    let said = '';
    kept.setEncoding('utf8').on('data', (data) => (said += data));
    kept.write('GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n');
    await expect.poll(() => said, { timeout: 10_000 }).toContain('"part":"tls"');
    expect(said).toMatch(/^HTTP\/1\.1 200/);
    kept.destroy();
    await put(await own.sign('after it'));
    await expect.poll(() => shownName().catch(String), { timeout: 10_000 }).toBe('after it');
    const after = (await (await fetch(`${place.url}/readyz`)).json()) as object;
    expect(after).not.toHaveProperty('degraded');
  }, 60_000);

  it('lets nobody to its worker who has no certificate', async () => {
    const health = (await (await fetch(`${place.url}/health`)).json()) as { workers: { address: string }[] };
    const [, port] = health.workers[0]!.address.split(':');
    const socket = connect({ host: '127.0.0.1', port: Number(port), ALPNProtocols: ['h2'] });
    const [error] = (await once(socket, 'error')) as [Error];
    expect(error.message).toContain('certificate required');
    expect(place.output).not.toContain('Anyone who reaches this port');
  });
});
