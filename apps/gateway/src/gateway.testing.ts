import { connect } from 'node:net';
import { SETTINGS, type Settings } from '@millrace/contracts';
import { createLogger, type Logger } from '@millrace/runtime';
import OpenAI from 'openai';
import { FakeWorker, type FakeWorkerOptions } from './dispatch/fake-worker.testing.js';
import type { Parts } from './open-parts.js';
import { plainParts } from './plain-parts.testing.js';
import { type Gateway, startGateway } from './start-gateway.js';

/** Every setting's default, but for what a test says. */
export function settingsWith(changes: Partial<Settings>): Settings {
  const defaults = Object.fromEntries(Object.entries(SETTINGS).map(([name, setting]) => [name, setting.default]));
  return { ...defaults, port: 0, ...changes } as Settings;
}

/** A real gateway with real workers that only pretend to think, and the official client in front of it. */
export class TestBed implements AsyncDisposable {
  readonly url: string;
  readonly client: OpenAI;
  readonly log: Record<string, unknown>[];

  private constructor(
    readonly gateway: Gateway,
    readonly workers: readonly FakeWorker[],
    lines: Record<string, unknown>[],
    host: string,
    scheme: 'http' | 'https',
  ) {
    this.url = `${scheme}://${host}:${gateway.port}`;
    this.client = new OpenAI({ baseURL: `${this.url}/v1`, apiKey: 'any', maxRetries: 0 });
    this.log = lines;
  }

  static async start(
    settings: Partial<Settings> = {},
    workers: readonly (FakeWorkerOptions | FakeWorker)[] = [{}],
    expectReady = true,
    host = '127.0.0.1',
    parts: Partial<Parts> = {},
  ): Promise<TestBed> {
    const fakes = await Promise.all(workers.map((one) => (one instanceof FakeWorker ? one : FakeWorker.start(one))));
    const lines: Record<string, unknown>[] = [];
    const addresses = fakes.map(({ address }) => address);
    const gateway = await startGateway(
      settingsWith({ workers: addresses, drainTimeoutMs: 0, ...settings }),
      logInto(lines),
      process.env, // Where tests put the keys of providers.
      async () => plainParts(parts),
    );
    const scheme = settings['tls.certFile'] === undefined ? 'http' : 'https';
    const bed = new TestBed(gateway, fakes, lines, host, scheme);
    if (expectReady) await bed.ready(fakes.length);
    return bed;
  }

  get worker(): FakeWorker {
    return this.workers[0]!;
  }

  async ready(workers = 1): Promise<void> {
    for (let tries = 0; ; tries++) {
      const health = (await (await fetch(`${this.url}/health`)).json()) as { workers: { state: string }[] };
      if (health.workers.filter(({ state }) => state === 'ready').length >= workers) return;
      if (tries > 500) throw new Error(`not ready: ${JSON.stringify(health)}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  post(path: string, body: unknown, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      method: 'POST',
      body: typeof body === 'string' ? body : JSON.stringify(body),
      ...init,
      headers: { 'content-type': 'application/json', ...init.headers },
    });
  }

  chat(changes: Record<string, unknown> = {}, init: RequestInit = {}): Promise<Response> {
    return this.post(
      '/v1/chat/completions',
      { messages: [{ role: 'user', content: 'one two three' }], ...changes },
      init,
    );
  }

  /** Records of requests, newest last. */
  records(): Record<string, unknown>[] {
    return this.log.filter(({ msg }) => msg === 'request');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gateway.drain();
    for (const worker of this.workers) worker.die();
  }
}

function logInto(lines: Record<string, unknown>[]): Logger {
  return createLogger(
    { name: 'gateway', level: 'debug', format: 'json' },
    { write: (line: string) => void lines.push(JSON.parse(line)) },
  );
}

/** The events of a stream, as they were on the wire. */
export async function eventsOf(response: Response): Promise<string[]> {
  const text = await response.text();
  return text.split('\n\n').filter((event) => event !== '');
}

export async function collected<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Writes bytes to a connection, and `more` once `seen` came, and returns all that comes back until the other side ends. */
export function rawExchange(port: number, bytes: string, [seen, more] = ['', '']): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    socket.setEncoding('utf8');
    socket.on('data', (data) => {
      if (more !== '' && !received.includes(seen) && `${received}${data}`.includes(seen)) socket.write(more);
      received += data;
    });
    socket.on('close', () => resolve(received));
    socket.on('error', reject);
  });
}
