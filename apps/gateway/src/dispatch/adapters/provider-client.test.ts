import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import type { UpstreamEntry } from '@millrace/contracts';
import { pingProvider } from '@millrace/openai-engine';
import { createLogger } from '@millrace/runtime';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PretendProvider } from '../provider.testing.js';
import { attemptOf, type Play, workerClientContract } from '../worker-client.contract.js';
import { ProviderClient, type ProviderClientOptions } from './provider-client.js';

const FOREVER = new AbortController().signal;
const lines: string[] = [];
const logger = createLogger(
  { name: 'gateway', level: 'debug', format: 'json' },
  { write: (line) => void lines.push(line) },
);

function clientOf(
  { url, key }: PretendProvider,
  upstreamMore: Partial<UpstreamEntry> = {},
  more: Partial<ProviderClientOptions> = {},
): ProviderClient {
  const upstream: UpstreamEntry = {
    preset: 'groq',
    url,
    model: 'm',
    maxConcurrent: 16,
    connectTimeoutMs: 2_000,
    silenceMsMax: 20_000,
    retriesMax: 0,
    capabilities: ['chat', 'embedding'],
    ...upstreamMore,
  };
  const environment = { GROQ_API_KEY: key, FIREWORKS_API_KEY: key };
  return new ProviderClient({
    model: {
      id: 'demo',
      aliases: ['d'],
      isDefault: false,
      context: undefined,
      sampling: {},
      maxTokens: undefined,
      upstream,
    },
    pingsAtStart: true,
    ping: (signal) => pingProvider({ upstream, environment }, 2_000, signal),
    environment,
    limits: { requestTimeoutMs: 20_000, backgroundTimeoutMs: 20_000 },
    logger,
    ...more,
  });
}

workerClientContract('ProviderClient', async () => {
  const provider = await PretendProvider.start();
  // Groq has no embeddings; whatever else is asked of the two is the same.
  const client = clientOf(provider, { preset: 'fireworks' });
  await client.heardOnce;
  return {
    client,
    running: () => provider.running,
    sent: () => provider.sent,
    close: async () => {
      await client.close();
      await provider.close();
    },
  };
});

describe('a provider', () => {
  let provider: PretendProvider;
  const clients: ProviderClient[] = [];
  beforeEach(async () => {
    lines.length = 0;
    provider = await PretendProvider.start();
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.close();
    await provider.close();
  });

  const open = (upstream: Partial<UpstreamEntry> = {}, more: Partial<ProviderClientOptions> = {}) => {
    const client = clientOf(provider, upstream, more);
    clients.push(client);
    return client;
  };
  const phaseOf = (client: ProviderClient) => client.state().phase;
  async function textOf(client: ProviderClient, play: Play): Promise<string> {
    let text = '';
    for await (const event of client.answer(attemptOf([play]), FOREVER))
      if (event.kind === 'tokens') text += event.text;
    return text;
  }

  it('is described from the models file before it has said a word, and then as it tells', async () => {
    const client = open();
    expect(client.address).toBe('provider:groq/demo');
    expect(client.heard).toBe(true);
    expect(client.models).toMatchObject([
      { id: 'demo', aliases: ['d'], contextLength: 0, provider: { name: 'groq', model: 'm' } },
    ]);
    await client.heardOnce;
    expect(client.models).toMatchObject([{ contextLength: 131_072 }]);
    expect(await textOf(client, 'say hello you')).toBe('hello you');
    expect(provider.calls[0]).toMatchObject({
      path: '/v1/chat/completions',
      authorization: `Bearer ${provider.key}`,
      body: { model: 'm', stream: true },
    });
  });

  it('whose key is refused is lost, says which variable, and is back once it takes the key', async () => {
    provider.mood = { status: 401 };
    const client = open();
    await client.heardOnce;
    expect(client.state()).toMatchObject({
      phase: 'lost',
      detail: expect.stringMatching(/refuses the key in GROQ_API_KEY/),
    });
    expect(() => client.answer(attemptOf(['say one']), FOREVER)).toThrow(
      expect.objectContaining({ code: 'worker_lost' }),
    );
    provider.mood = {};
    await expect.poll(() => phaseOf(client), { timeout: 5_000 }).toBe('ready');
    expect(await textOf(client, 'say one')).toBe('one');
    expect(inspect([lines, client.state()], { depth: 9 })).not.toContain(provider.key);
  });

  it('without its key is lost, and nobody is asked', async () => {
    const environment = {};
    const upstream = { preset: 'groq', url: provider.url } as UpstreamEntry;
    const client = open({}, { environment, ping: (signal) => pingProvider({ upstream, environment }, 500, signal) });
    await client.heardOnce;
    expect(client.state()).toMatchObject({ phase: 'lost', detail: expect.stringMatching(/GROQ_API_KEY/) });
    expect(provider.pings).toBe(0);
  });

  it('whose key is refused in the middle of the day is lost from the next ping on, and says so at once', async () => {
    const client = open();
    await client.heardOnce;
    const phases: string[] = [];
    client.watch(() => phases.push(phaseOf(client)));
    provider.mood = { status: 401 };
    await expect(textOf(client, 'say one')).rejects.toMatchObject({ code: 'upstream_unauthorized' });
    await expect.poll(() => phases, { timeout: 5_000 }).toContain('lost');
  });

  it('one of whose answers failed, but which is well, stays', async () => {
    const client = open();
    await client.heardOnce;
    provider.mood = { status: 401, modelsStatus: undefined };
    const failed = textOf(client, 'say one');
    await expect(failed).rejects.toMatchObject({ code: 'upstream_unauthorized' });
    provider.mood = {};
    await expect.poll(() => provider.pings, { timeout: 5_000 }).toBe(2);
    await sleep(20);
    expect(phaseOf(client)).toBe('ready');
  });

  it('that is gone is pinged no oftener than once a second, however many answers fail', async () => {
    const client = open();
    await client.heardOnce;
    provider.mood = { status: 0 };
    for (let time = 0; time < 50; time++) await textOf(client, 'say one').catch(() => {});
    expect(provider.pings).toBeLessThanOrEqual(3);
  });

  it('that has too much to do is asked all the same', async () => {
    provider.mood = { modelsStatus: 429 };
    const client = open();
    await client.heardOnce;
    expect(client.state()).toMatchObject({ phase: 'ready', detail: expect.stringMatching(/status 429/) });
    expect(await textOf(client, 'say one')).toBe('one');
  });

  it('that need not be asked is ready from the first', async () => {
    const client = open({}, { pingsAtStart: false });
    await client.heardOnce;
    expect(phaseOf(client)).toBe('ready');
    expect(provider.pings).toBe(0);
  });

  it('says of several prompts which one it refuses', async () => {
    const client = open({ preset: 'fireworks', capabilities: ['completion'] });
    await client.heardOnce;
    const long = (index: number, promptIndex: number) => ({
      index,
      prompt: { kind: 'text', text: 'x' } as const,
      promptIndex,
      seed: undefined,
      resume: undefined,
    });
    provider.mood = { status: 400 };
    const events = client.answer(attemptOf([], { sequences: [long(0, 0), long(1, 1)] }), FOREVER);
    await expect(events[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'invalid_request' });
  });

  it('sends each answer the seed of its own', async () => {
    const client = open();
    await client.heardOnce;
    const { sequences } = attemptOf(['say one', 'say two']);
    const seeded = sequences.map((sequence, seed) => ({ ...sequence, seed: 40 + seed }));
    for await (const _ of client.answer(attemptOf([], { sequences: seeded }), FOREVER));
    expect(provider.calls.map(({ body }) => body.seed).sort()).toEqual([40, 41]);
  });

  it('that is replaced finishes what it has, and takes nothing new', async () => {
    const client = open();
    await client.heardOnce;
    const events = client.answer(attemptOf(['endless']), FOREVER)[Symbol.asyncIterator]();
    await events.next();
    let retired = false;
    const retiring = client.retire().then(() => {
      retired = true;
    });
    expect(phaseOf(client)).toBe('draining');
    expect(() => client.answer(attemptOf(['say one']), FOREVER)).toThrow();
    expect((await events.next()).value).toMatchObject({ kind: 'tokens' });
    expect(retired).toBe(false);
    await events.return?.();
    await retiring;
    await expect.poll(() => provider.running).toBe(0);
  });
});
