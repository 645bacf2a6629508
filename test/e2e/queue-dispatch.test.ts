import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Stage } from '../bench/programs.ts';
import { Fleet } from '../chaos/fleet.ts';
import { RealRedis } from '../services/real-redis.ts';
import { findProgram } from '../services/real-service.ts';
import { EVERY_KIND, type OnChunk } from './every-kind.ts';

const HAS_REDIS = findProgram('redis-server', ['/usr/bin']) !== undefined;
/** Of all answers together: so few come also where a slow machine makes one chunk of many tokens. */
const CHUNKS_BEFORE_MAX = 40;
/** So that a frozen worker is found out, and its lock runs out, before anybody loses patience. */
const SILENCE_MS = 4_000;
const LOCK_MS = 4_000;

const ROUNDS_MAX = 6;

/** What a client can tell an answer by, but for ids and times. */
const HEADERS_THAT_DIFFER = new Set(['date', 'x-request-id', 'content-length', 'openai-processing-ms']);

/** An answer without its numbers: which floats come out depends on who else is in the batch, as does what was read before. */
async function formOf(response: Response): Promise<unknown> {
  const body = (await response.json()) as object;
  const numberless = (_key: string, value: unknown) => (typeof value === 'number' ? 0 : value);
  return JSON.parse(JSON.stringify({ ...body, id: '' }, numberless));
}

describe.skipIf(!HAS_REDIS)('a pool that is fed by a queue (skipped where this machine has no Redis)', () => {
  const stage = new Stage();
  let redis: RealRedis;
  let fleet: Fleet;
  let client: OpenAI;
  let undisturbed: readonly unknown[];
  beforeAll(async () => {
    redis = await RealRedis.start(undefined, { keeps: true });
    stage.add(() => redis.end());
    const dispatch = [`--queue-redis-url=${redis.url}`, `--queue-lock-ms=${LOCK_MS}`];
    fleet = await Fleet.start(stage, {
      gateways: 1,
      workers: 2,
      // One is reached both ways, so that both can be compared.
      seen: 3,
      gatewayArgs: ['--credit-tokens=1', '--dispatch=both', dispatch[0]!, `--worker-silence-ms-max=${SILENCE_MS}`],
      workerArgs: [...dispatch, '--dispatch=both'],
    });
    client = new OpenAI({ baseURL: `${fleet.gateways[0]!.url}/v1`, apiKey: 'any', maxRetries: 0 });
    undisturbed = await all('undisturbed', 'grpc', () => {});
  }, 180_000);
  afterAll(() => stage[Symbol.asyncDispose]());

  const all = (name: string, way: 'grpc' | 'queue', onChunk: OnChunk) =>
    Promise.all(
      EVERY_KIND.map(({ run }, at) =>
        run(
          client,
          { 'x-request-id': `${name}-${at}`, 'x-millrace-cache': 'off', 'x-millrace-dispatch': way },
          onChunk,
        ),
      ),
    );

  /** All answers by the queue, with something done in their midst. */
  async function disturbedBy(name: string, disturb: () => void): Promise<readonly unknown[]> {
    let chunksLeft = Math.ceil(CHUNKS_BEFORE_MAX / 3 + (Math.random() * CHUNKS_BEFORE_MAX * 2) / 3);
    return all(name, 'queue', () => {
      if (--chunksLeft === 0) disturb();
    });
  }

  it('answers as one that is sent its work does', async () => {
    expect(await all('queue', 'queue', () => {})).toEqual(undisturbed);
  });

  it('answers with the same headers and in the same form', async () => {
    const ask = (way: string, stream: boolean) =>
      fetch(`${fleet.gateways[0]!.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-millrace-dispatch': way, 'x-millrace-cache': 'off' },
        body: JSON.stringify({
          messages: [{ role: 'user', content: 'Count to 5.' }],
          temperature: 0,
          logprobs: true,
          top_logprobs: 2,
          stream,
        }),
      });
    for (const stream of [false, true]) {
      const [sent, queued] = await Promise.all([ask('grpc', stream), ask('queue', stream)]);
      const headersOf = ({ headers }: Response) =>
        [...headers.keys()].filter((name) => !HEADERS_THAT_DIFFER.has(name)).sort();
      expect(headersOf(queued!)).toEqual(headersOf(sent!));
      if (!stream) expect(await formOf(queued!)).toEqual(await formOf(sent!));
    }
  });

  it('is free again when its client has left', async () => {
    const stream = await client.chat.completions.create(
      {
        model: 'millrace-demo',
        messages: [{ role: 'user', content: 'Tell me a story.' }],
        stream: true,
        max_tokens: 2_000,
      },
      { headers: { 'x-millrace-dispatch': 'queue', 'x-millrace-cache': 'off' } },
    );
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    await expect.poll(() => fleet.sequences(), { timeout: 10_000 }).toBe(0);
  });

  it('goes on where it was when a Redis that keeps what it has is started again', async () => {
    let again: Promise<void> | undefined;
    const answers = await disturbedBy('redis', () => {
      again = redis.stop().then(() => redis.start());
    });
    expect(answers).toEqual(undisturbed);
    expect(again).toBeDefined();
    await again;
  }, 120_000);

  it('goes on at another worker when one is killed (kill -9), and nobody can tell', async () => {
    // Whichever of them took the jobs: sooner or later it is the one that is killed.
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const worker = fleet.workers[round % fleet.workers.length]!;
      expect(await disturbedBy(`killed-${round}`, () => worker.program.signal('SIGKILL'))).toEqual(undisturbed);
      await worker.program.kill();
      await fleet.startAgain(worker);
      await fleet.allReady();
      if (fleet.records('killed').some(({ continued }) => continued)) return;
    }
    throw new Error('No answer was broken off.');
  }, 180_000);

  it('gives no token twice when a worker was frozen for longer than its lock, and wakes', async () => {
    const worker = fleet.workers[1]!;
    const woken = Promise.withResolvers<void>();
    const answers = disturbedBy('frozen', () => {
      worker.program.signal('SIGSTOP');
      void sleep(2 * LOCK_MS + SILENCE_MS).then(() => {
        worker.program.signal('SIGCONT');
        woken.resolve();
      });
    });
    expect(await answers).toEqual(undisturbed);
    await woken.promise;
    // What it had is given up, and it takes what comes.
    await expect.poll(() => fleet.sequences(), { timeout: 15_000 }).toBe(0);
    await fleet.allReady();
    expect(await all('woken', 'queue', () => {})).toEqual(undisturbed);
  }, 120_000);

  it('hands over what it has when a worker is told to stop', async () => {
    const worker = fleet.workers[0]!;
    const answers = disturbedBy('stopped', () => worker.program.signal('SIGTERM'));
    expect(await answers).toEqual(undisturbed);
    await expect.poll(() => worker.program.hasEnded, { timeout: 45_000 }).toBe(true);
    await fleet.startAgain(worker);
    await fleet.allReady();
  }, 120_000);
});
