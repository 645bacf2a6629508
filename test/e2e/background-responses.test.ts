import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { Stage } from '../bench/programs.js';
import { Fleet } from '../chaos/fleet.js';

const PATIENCE = { timeout: 180_000, interval: 250 };
const RESPONSES = 10;
/** So long that most are still to come when the first has ended: two are computed at a time. */
const NUMBERS = { type: 'array', items: { type: 'integer' }, minItems: 150, maxItems: 150 };
const LONG = {
  max_output_tokens: 600,
  text: {
    format: {
      type: 'json_schema',
      name: 'numbers',
      strict: true,
      schema: { type: 'object', properties: { numbers: NUMBERS }, required: ['numbers'], additionalProperties: false },
    },
  },
} as const;
/** Between questions, so that each has an answer of its own. */
const asked = (number: number) => `Tell me a long story about the number ${number}.`;

/** It asks again while the gateway is away, as a client would that polls. */
const clientOf = (url: string) => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 100, timeout: 15_000 });

describe('responses in the background on the stores of one machine', () => {
  it('are all answered, each once, though their gateway is killed in the middle of them', async () => {
    await using stage = new Stage();
    const fleet = await Fleet.start(stage, {
      gateways: 1,
      workers: 1,
      workerArgs: ['--threads=1', '--max-batch-size=2'],
    });
    const gateway = fleet.gateways[0]!;
    const client = clientOf(gateway.url);
    const made: OpenAI.Responses.Response[] = [];
    for (let number = 0; number < RESPONSES; number++)
      made.push(await client.responses.create({ input: asked(number), background: true, ...LONG }));
    const statuses = async () => {
      const found = await Promise.all(made.map(({ id }) => client.responses.retrieve(id)));
      return found.map(({ status }) => status);
    };
    const ended = async () => (await statuses()).filter((status) => !/queued|in_progress/.test(`${status}`)).length;
    await expect.poll(ended, PATIENCE).toBeGreaterThan(0);
    await gateway.program.kill();
    await fleet.startAgain(gateway);
    expect(await ended()).toBeLessThan(RESPONSES);
    await expect.poll(ended, PATIENCE).toBe(RESPONSES);
    for (const { id } of made) {
      const response = await client.responses.retrieve(id);
      expect(response.status).toMatch(/^(completed|incomplete)$/);
      expect(response.output).toHaveLength(1);
      expect((await client.responses.inputItems.list(id)).data).toHaveLength(1);
    }
  }, 600_000);

  it('are read on from where the stream broke off when a client comes back', async () => {
    await using stage = new Stage();
    const fleet = await Fleet.start(stage, { gateways: 1, workers: 1 });
    const client = clientOf(fleet.gateways[0]!.url);
    const body = { input: asked(7), background: true, max_output_tokens: 40, stream: true } as const;
    const events: OpenAI.Responses.ResponseStreamEvent[] = [];
    for await (const event of await client.responses.create(body)) {
      events.push(event);
      if (events.length === 6) break;
    }
    const { id } = (events[0] as OpenAI.Responses.ResponseCreatedEvent).response;
    for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: 5 }))
      events.push(event);
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, at) => at));
    const text = events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('');
    expect(text).not.toBe('');
    expect((await client.responses.retrieve(id)).output_text).toBe(text);
  }, 300_000);
});
