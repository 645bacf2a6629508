import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';
import { expect } from 'vitest';
import { stringify } from 'yaml';
import { CertificateFolder, TestAuthority } from '../../libs/runtime/src/certificates.testing.js';
import { createKey, newAdminKey, type Stage, until } from '../bench/programs.js';
import { Fleet, type Member } from '../chaos/fleet.js';
import { ROOT } from '../e2e/stack.js';

const PATIENCE_MS = 120_000;
const MODEL = 'millrace-demo';
/** Nobody's wait may be long, so that the waiting room is soon full. */
const PLACES = 8;
/** Of refused requests without a key, 600 at once are on record. */
const STRANGERS = 700;
const STRANGERS_AT_ONCE = 50;
const COMPUTED = { 'x-millrace-cache': 'off' };

/** A gateway and a worker with all that a dashboard tells of, and somebody who asks for all of it. */
export class WatchedLoad {
  private constructor(
    private readonly gatewayOfFleet: Member,
    private readonly workerOfFleet: Member,
    private readonly alice: OpenAI,
    private readonly hurried: OpenAI,
  ) {}

  static async start(stage: Stage, stores: { redisUrl: string; postgresUrl: string }): Promise<WatchedLoad> {
    const folder = new CertificateFolder();
    stage.add(() => folder[Symbol.dispose]());
    const authority = await TestAuthority.make();
    const { certFile, keyFile } = folder.writePair('both', await authority.sign('both'));
    const caFile = folder.write('ca.pem', authority.cert);
    const tls = [
      `--worker-tls-cert-file=${certFile}`,
      `--worker-tls-key-file=${keyFile}`,
      `--worker-tls-ca-file=${caFile}`,
    ];
    const modelsFile = folder.write('models.yaml', stringify(await modelsOf(stage, folder)));
    const both = [`--models-file=${modelsFile}`, '--dispatch=both', ...tls];
    const adminKey = newAdminKey();
    const fleet = await Fleet.start(stage, {
      gateways: 1,
      workers: 1,
      seen: 3, // By gRPC and by its queue, and the server that fails.
      gatewayArgs: [
        ...both,
        `--max-concurrent-requests=${PLACES}`,
        `--max-queue-depth=${PLACES}`,
        '--provider-check=off',
      ],
      workerArgs: [...both, '--max-batch-size=8'],
      environment: {
        MILLRACE_ADMIN_KEY: adminKey,
        MILLRACE_POSTGRES_URL: stores.postgresUrl,
        MILLRACE_REDIS_URL: stores.redisUrl,
        // In the environment, where no other user sees it.
        MILLRACE_QUEUE_REDIS_URL: stores.redisUrl,
      },
    });
    const [gateway, worker] = [fleet.gateways[0]!, fleet.workers[0]!];
    const clientOf = async (wanted: object) => {
      const made = await createKey(gateway.program, adminKey, wanted);
      return new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: made!.key, maxRetries: 0 });
    };
    const hurried = await clientOf({ name: 'hurried', limits: { requests_per_minute: 1 } });
    return new WatchedLoad(gateway, worker, await clientOf({ name: 'alice' }), hurried);
  }

  /** `host:port`, where they are scraped. */
  get gateway(): string {
    return new URL(this.gatewayOfFleet.url).host;
  }

  get worker(): string {
    return new URL(this.workerOfFleet.url).host;
  }

  /** All of it once. */
  async round(): Promise<void> {
    await this.#chats();
    await this.#failures();
    await this.#crowd();
    await Promise.all([this.#batch(), this.#background(), this.#vectorStore()]);
  }

  async #chats(): Promise<void> {
    for (let at = 0; at < 3; at++) {
      await this.#chat({ max_tokens: 40 }, COMPUTED);
      for await (const _chunk of await this.#stream()) void _chunk;
      await this.#chat({ temperature: 0 }); // The second time it is kept.
    }
    await this.#chat({}, { ...COMPUTED, 'x-millrace-dispatch': 'queue' });
    await this.#chat({ store: true }, COMPUTED);
    await this.#chat({ model: 'idle' }, COMPUTED);
    await this.alice.embeddings.create({ model: 'millrace-demo-embed', input: ['one', 'two', 'three'] });
  }

  async #failures(): Promise<void> {
    await expect(this.#chat({ max_tokens: -1 })).rejects.toMatchObject({ status: 400 });
    await expect(this.#chat({ model: 'damaged' })).rejects.toMatchObject({ status: 503 });
    expect((await this.#chat({ model: 'failing' }, COMPUTED)).model).toBe(MODEL);
    const twice = [ask(this.hurried), ask(this.hurried)].map((asked) => asked.catch(({ status }) => status as number));
    expect(await Promise.all(twice)).toContain(429);
    await expect(ask(this.alice.withOptions({ apiKey: 'sk-mr-nobody' }))).rejects.toMatchObject({ status: 401 });
  }

  /** More than may wait. */
  async #crowd(): Promise<void> {
    const asked = Array.from({ length: 4 * PLACES }, () =>
      this.#chat({ max_tokens: 64 }, COMPUTED).then(
        () => 200,
        ({ status }: { status: number }) => status,
      ),
    );
    expect(new Set(await Promise.all(asked))).toEqual(new Set([200, 429]));
  }

  /** More than have a record. */
  async strangers(): Promise<void> {
    const url = `${this.gatewayOfFleet.url}/v1/models`;
    for (let asked = 0; asked < STRANGERS; asked += STRANGERS_AT_ONCE) {
      await Promise.all(Array.from({ length: STRANGERS_AT_ONCE }, async () => (await fetch(url)).arrayBuffer()));
    }
  }

  async #batch(): Promise<void> {
    const line = (number: number) => ({
      custom_id: `${number}`,
      method: 'POST',
      url: '/v1/chat/completions',
      body: { model: MODEL, messages: [{ role: 'user', content: 'Hi' }], max_tokens: number === 3 ? -1 : 4 },
    });
    const lines = [1, 2, 3].map((number) => JSON.stringify(line(number))).join('\n');
    const file = await this.alice.files.create({
      file: await toFile(Buffer.from(lines), 'in.jsonl'),
      purpose: 'batch',
    });
    const endpoint = '/v1/chat/completions';
    const { id } = await this.alice.batches.create({ input_file_id: file.id, endpoint, completion_window: '24h' });
    const isDone = async () => (await this.alice.batches.retrieve(id)).status === 'completed';
    await until(isDone, PATIENCE_MS, 'the batch is completed');
    const { output_file_id: output } = await this.alice.batches.retrieve(id);
    expect(await (await this.alice.files.content(output!)).text()).toContain('"custom_id"');
  }

  async #background(): Promise<void> {
    const { responses } = this.alice;
    const { id } = await responses.create({ model: MODEL, input: 'Hi', background: true, max_output_tokens: 8 });
    const isOver = async () => !/^(queued|in_progress)$/.test(`${(await responses.retrieve(id)).status}`);
    await until(isOver, PATIENCE_MS, 'the response in the background is over');
    expect(await responses.retrieve(id)).toMatchObject({ error: null });
  }

  /** A file that nobody can read: Debian's Postgres comes without pgvector, so that none can be kept. */
  async #vectorStore(): Promise<void> {
    const picture = await toFile(Buffer.from([137, 80, 78, 71]), 'picture.png');
    const file = await this.alice.files.create({ file: picture, purpose: 'assistants' });
    const { id } = await this.alice.vectorStores.create({ name: 'pictures', file_ids: [file.id] });
    const isOver = async () => (await this.alice.vectorStores.retrieve(id)).file_counts.in_progress === 0;
    await until(isOver, PATIENCE_MS, 'the file is not in the vector store');
  }

  #chat(fields: object, headers: Record<string, string> = {}): Promise<OpenAI.Chat.ChatCompletion> {
    return ask(this.alice, fields, headers);
  }

  #stream() {
    const messages = [{ role: 'user' as const, content: 'Tell me a story about a river.' }];
    const body = { model: MODEL, messages, max_tokens: 64, stream: true as const };
    return this.alice.chat.completions.create(body, { headers: COMPUTED });
  }
}

async function ask(client: OpenAI, fields: object = {}, headers: Record<string, string> = {}) {
  const messages = [{ role: 'user' as const, content: 'What is the capital of France?' }];
  return client.chat.completions.create({ model: MODEL, messages, max_tokens: 8, ...fields }, { headers });
}

/** The models that come with it, and one for each thing that a dashboard tells of models. */
async function modelsOf(stage: Stage, folder: CertificateFolder): Promise<object> {
  const shipped = (name: string) => join(ROOT, `models/${name}.gguf`);
  return {
    defaultModel: MODEL,
    models: [
      { id: MODEL, path: shipped(MODEL), context: 1024 },
      { id: 'millrace-demo-embed', path: shipped('millrace-demo-embed'), warm: true },
      { id: 'idle', path: shipped(MODEL), context: 512, idleUnloadMs: 1_500 },
      { id: 'damaged', path: folder.write('damaged.gguf', 'GGUF, and then nothing that makes sense.') },
      {
        id: 'failing',
        engine: 'openai-compatible',
        context: 1024,
        servedBy: 'gateway',
        upstream: { url: await failingServer(stage), model: 'failing' },
        fallbacks: [MODEL],
      },
    ],
  };
}

/** It says that it has the model, and answers nothing. */
async function failingServer(stage: Stage): Promise<string> {
  const server = createServer((request, response) => {
    if (request.method === 'GET') response.end(JSON.stringify({ object: 'list', data: [{ id: 'failing' }] }));
    else response.writeHead(500).end('{"error":{"message":"no"}}');
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  stage.add(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
}

/** Until `prometheus` has looked at all of them so many times more. */
export async function scraped(look: () => Promise<number>, times: number): Promise<void> {
  const before = await look();
  while ((await look()) < before + times) await sleep(500);
}
