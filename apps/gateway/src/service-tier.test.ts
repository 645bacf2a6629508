import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestBed } from './gateway.testing.js';

describe('service_tier, and x-millrace-dispatch', () => {
  let bed: TestBed;
  beforeAll(async () => {
    bed = await TestBed.start();
  });
  afterAll(() => bed[Symbol.asyncDispose]());

  const ask = (service_tier: 'auto' | 'default' | 'flex' | 'priority') =>
    bed.client.chat.completions.create({
      model: 'demo',
      messages: [{ role: 'user', content: 'one two' }],
      service_tier,
    });

  it.each([
    ['auto', 'default'],
    ['default', 'default'],
    ['priority', 'default'],
    ['flex', 'flex'],
  ] as const)('says how it was run: asked for %s, run as %s', async (asked, run) => {
    expect((await ask(asked)).service_tier).toBe(run);
  });

  it('says it in every chunk of a stream', async () => {
    const stream = await bed.client.chat.completions.create({
      model: 'demo',
      messages: [{ role: 'user', content: 'one two' }],
      service_tier: 'flex',
      stream: true,
    });
    for await (const { service_tier } of stream) expect(service_tier).toBe('flex');
  });

  it('says so where nothing was asked, whole and streamed: LiteLLM reads it of every chat', async () => {
    expect(await (await bed.chat()).json()).toHaveProperty('service_tier', 'default');
    const stream = await bed.client.chat.completions.create({
      model: 'demo',
      messages: [{ role: 'user', content: 'one two' }],
      stream: true,
      stream_options: { include_usage: true },
    });
    for await (const { service_tier } of stream) expect(service_tier).toBe('default');
  });

  it('says nothing of it in completions of texts, as OpenAI does not', async () => {
    const answer = await bed.client.completions.create({ model: 'demo', prompt: 'one two' });
    expect(answer).not.toHaveProperty('service_tier');
  });

  it('runs flex after everything else', async () => {
    await ask('flex');
    expect(bed.worker.started.at(-1)?.priority).toBe(-1_000);
    await ask('default');
    expect(bed.worker.started.at(-1)?.priority).toBe(0);
  });

  it('refuses a tier that there is not', async () => {
    const answer = await bed.chat({ service_tier: 'gold' });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: { param: 'service_tier' } });
  });

  it('refuses a way that there is not, and one that leads to nobody', async () => {
    const by = (dispatch: string) => bed.chat({}, { headers: { 'x-millrace-dispatch': dispatch } });
    expect((await by('grpc')).status).toBe(200);
    for (const [way, words] of [
      ['pigeon', 'it takes one of queue, grpc'],
      ['queue', 'no worker that is reached so serves'],
    ] as const) {
      const answer = await by(way);
      expect(answer.status).toBe(400);
      const { error } = (await answer.json()) as { error: { message: string; param: string } };
      expect(error.message).toContain(words);
      expect(error.param).toBe('x-millrace-dispatch');
    }
  });
});
