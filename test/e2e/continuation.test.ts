import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Stage } from '../bench/programs.ts';
import { Fleet } from '../chaos/fleet.ts';
import { EVERY_KIND, type OnChunk } from './every-kind.ts';

/** In each, another worker is killed; all that it was answering goes on at the other. */
const ROUNDS = 2;
/** Of all answers together: early enough that most of them are in their midst. */
const CHUNKS_BEFORE_KILL_MAX = 150;

describe('an answer whose worker is killed (kill -9)', () => {
  const stage = new Stage();
  let fleet: Fleet;
  let client: OpenAI;
  let undisturbed: readonly unknown[];
  const disturbed: (readonly unknown[])[] = [];
  // All of them at a time: what takes long is the start of a worker.
  beforeAll(async () => {
    // So that a worker does not finish an answer before anybody has read the beginning of it.
    fleet = await Fleet.start(stage, { gateways: 1, workers: ROUNDS, gatewayArgs: ['--credit-tokens=1'] });
    client = new OpenAI({ baseURL: `${fleet.gateways[0]!.url}/v1`, apiKey: 'any', maxRetries: 0 });
    undisturbed = await all('undisturbed', () => {});
    for (const [round, worker] of fleet.workers.entries()) {
      if (round > 0) await fleet.allReady();
      let chunksLeft = Math.ceil(Math.random() * CHUNKS_BEFORE_KILL_MAX);
      const answers = all(`kill-${round}`, () => {
        if (--chunksLeft === 0) worker.program.signal('SIGKILL');
      });
      disturbed.push(await answers);
      if (round + 1 < ROUNDS) await fleet.startAgain(worker);
    }
  });
  afterAll(() => stage[Symbol.asyncDispose]());

  const all = (name: string, onChunk: OnChunk) =>
    Promise.all(
      EVERY_KIND.map(({ run }, at) =>
        run(client, { 'x-request-id': `${name}-${at}`, 'x-millrace-cache': 'off' }, onChunk),
      ),
    );

  async function recordOf(id: string) {
    const find = () => fleet.records('kill').find(({ request_id }) => request_id === id);
    await expect.poll(find, { timeout: 10_000 }).toBeDefined();
    return find()!;
  }

  it.each(EVERY_KIND.map(({ kind }, at) => ({ kind, at })))('is what it would have been: $kind', async ({ at }) => {
    for (const [round, answers] of disturbed.entries()) {
      expect({ round, answer: answers[at] }).toEqual({ round, answer: undisturbed[at] });
      expect(await recordOf(`kill-${round}-${at}`)).toMatchObject({ outcome: 'served', error_code: null });
    }
  });

  it('was disturbed indeed', () => {
    const continued = fleet.records('kill').filter((record) => record.continued);
    expect(continued.length).toBeGreaterThanOrEqual(EVERY_KIND.length / 2);
  });
});
