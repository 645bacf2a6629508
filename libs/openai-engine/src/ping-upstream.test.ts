import { once } from 'node:events';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer } from 'node:net';
import { inspect } from 'node:util';
import type { UpstreamEntry } from '@millrace/contracts';
import { afterEach, describe, expect, it } from 'vitest';
import { TestAuthority } from '../../runtime/src/certificates.testing.js';
import { pingProvider, providerKey } from './ping-upstream.js';
import { FOREVER, json, type Play, page, startUpstream, until } from './upstream.testing.js';

const KEY = 'gsk_Zx81kQ0aPw7TtE5rLm29';

const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0)) await close();
});

const entry = (more: Partial<UpstreamEntry>): UpstreamEntry => ({
  preset: 'groq',
  maxConcurrent: 4,
  connectTimeoutMs: 2_000,
  silenceMsMax: 5_000,
  retriesMax: 0,
  ...more,
});

async function pinged(onModels: Play, more: Partial<UpstreamEntry> = {}, environment = { GROQ_API_KEY: KEY }) {
  const upstream = await startUpstream([], onModels);
  opened.push(() => upstream.close());
  const told = await pingProvider({ upstream: entry({ url: upstream.url, ...more }), environment }, 300, FOREVER);
  await until(() => upstream.sockets === 0);
  return { told, url: upstream.url };
}

const sentenceOf = (told: object) => ('sentence' in told ? told.sentence : undefined);

describe('a ping of a provider', () => {
  it('is fine where it lists its models, and knows their contexts', async () => {
    const { told, url } = await pinged(json(200, { data: [{ id: 'llama', context_window: 131_072 }] }));
    expect(told).toEqual({
      verdict: 'fine',
      name: `groq at ${url}`,
      ping: { kind: 'there', models: [{ id: 'llama', contextLength: 131_072 }] },
    });
  });

  it.each([401, 403])('names the variable of a key that is refused: %i', async (status) => {
    const { told, url } = await pinged(json(status, { error: { message: `Invalid API Key: ${KEY}` } }));
    expect(told.verdict).toBe('wrong');
    expect(sentenceOf(told)).toBe(
      `The provider groq at ${url} refuses the key in GROQ_API_KEY: it answers with status ${status}. Put a valid one into GROQ_API_KEY.`,
    );
    expect(inspect(told, { depth: 9 })).not.toContain(KEY);
  });

  it('names the variable of a key that is missing, and asks nobody', async () => {
    let asked = 0;
    const { told } = await pinged(() => void asked++, {}, {} as never);
    expect(told.verdict).toBe('wrong');
    expect(sentenceOf(told)).toMatch(
      /needs a key for its server \(groq\): put it into the environment variable GROQ_API_KEY/,
    );
    expect(asked).toBe(0);
  });

  it.each([
    ['an address that has no such path', json(404, {}), /status 404/],
    ['an account without credit', json(402, {}), /status 402/],
    ['a redirect, which is not followed', json(302, {}, { location: 'http://127.0.0.1:9/' }), /status 302/],
    ['a page of HTML', page(200, '<html>'), /no JSON/],
    ['silence', () => {}, /said nothing for 300 ms/],
    ['a connection that breaks', (response) => void response.destroy(), /broke the connection off/],
  ] as [string, Play, RegExp][])('is wrong for %s', async (_what, play, why) => {
    const { told, url } = await pinged(play);
    expect(told.verdict).toBe('wrong');
    expect(sentenceOf(told)).toMatch(why);
    expect(sentenceOf(told)).toContain(`The provider groq at ${url} does not answer: it `);
  });

  it('is wrong where nobody listens', async () => {
    const upstream = entry({ url: 'http://127.0.0.1:9/v1' });
    const told = await pingProvider({ upstream, environment: { GROQ_API_KEY: KEY } }, 1_000, FOREVER);
    expect(sentenceOf(told)).toMatch(/does not answer: it can't be reached \(ECONNREFUSED\)/);
  });

  it.each([
    ['for the ping', 200, 60_000, /it said nothing for 200 ms/],
    ['for a connection', 60_000, 200, /it can't be reached \(ETIMEDOUT\)/],
  ])('waits for a proxy that says nothing no longer than %s', async (_what, timeoutMs, connectTimeoutMs, why) => {
    const proxy = createServer().listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    opened.push(async () => proxy.close());
    const environment = { GROQ_API_KEY: KEY, HTTPS_PROXY: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` };
    const upstream = entry({ url: 'https://provider.test/v1', connectTimeoutMs });
    expect(sentenceOf(await pingProvider({ upstream, environment }, timeoutMs, FOREVER))).toMatch(why);
  });

  it('says what is to be done where its certificate is not trusted', async () => {
    const server = createHttpsServer(await (await TestAuthority.make()).sign('provider')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    opened.push(async () => server.close());
    const upstream = entry({ url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/v1` });
    const told = await pingProvider({ upstream, environment: { GROQ_API_KEY: KEY } }, 2_000, FOREVER);
    expect(sentenceOf(told)).toMatch(/can't be reached \([A-Z_]+\)\. Is its certificate .* NODE_EXTRA_CA_CERTS/);
  });

  it.each([429, 500, 503])('is doubtful where it has trouble that passes: %i', async (status) => {
    const { told } = await pinged(json(status, {}));
    expect(told.verdict).toBe('doubtful');
    expect(sentenceOf(told)).toContain(`status ${status}`);
  });

  it('asks no list of a server that is no provider', async () => {
    const { told } = await pinged(json(404, {}), { preset: 'generic' });
    expect(told.verdict).toBe('fine');
  });

  it('ends when it is no longer wanted', async () => {
    const stop = new AbortController();
    const upstream = await startUpstream([], () => stop.abort(new Error('stopped')));
    opened.push(() => upstream.close());
    const access = { upstream: entry({ url: upstream.url }), environment: { GROQ_API_KEY: KEY } };
    await expect(pingProvider(access, 5_000, stop.signal)).rejects.toThrow('stopped');
  });
});

describe('entries of one provider', () => {
  it('have one key, be the address written out or not', () => {
    const key = providerKey(entry({}));
    expect(providerKey(entry({ url: 'https://api.groq.com/openai/v1/', model: 'other', maxConcurrent: 1 }))).toBe(key);
    expect(providerKey(entry({ apiKeyEnv: 'OTHER' }))).not.toBe(key);
    expect(providerKey(entry({ preset: 'fireworks' }))).not.toBe(key);
  });
});
