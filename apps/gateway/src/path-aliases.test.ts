import Anthropic from '@anthropic-ai/sdk';
import { PATHS_WITHOUT_V1 } from '@millrace/contracts';
import OpenAI, { AzureOpenAI } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rawExchange, TestBed } from './gateway.testing.js';
import { servedUrl } from './http/path-aliases.js';
import { KEY, startKeyedGateway } from './keyed-gateway.testing.js';

const chat = { model: 'demo', messages: [{ role: 'user' as const, content: 'one two' }] };
const message = { ...chat, max_tokens: 9 };

describe('a client whose base URL is another', () => {
  let bed: TestBed;
  beforeAll(async () => {
    bed = await TestBed.start({ corsOrigins: ['https://page.example'] });
  });
  afterAll(() => bed[Symbol.asyncDispose]());

  it.each(['/openai/v1', '', '/v1'])('is answered, if it is OpenAI’s: %j', async (base) => {
    const client = new OpenAI({ baseURL: bed.url + base, apiKey: 'any', maxRetries: 0 });
    expect((await client.chat.completions.create(chat)).choices[0]?.message.content).toBe('one two');
    expect((await client.completions.create({ model: 'demo', prompt: 'a b' })).choices[0]?.text).toBe('a b');
    expect((await client.models.list()).data.map(({ id }) => id)).toContain('demo');
    expect((await client.models.retrieve('demo')).id).toBe('demo');
    const stream = await client.chat.completions.create({ ...chat, stream: true });
    let text = '';
    for await (const { choices } of stream) text += choices[0]?.delta.content ?? '';
    expect(text).toBe('one two');
  });

  it('is answered, if it is Azure’s, which puts the model into the path and a version into the query', async () => {
    const azure = { endpoint: bed.url, apiKey: 'any', apiVersion: '2024-10-21', maxRetries: 0 };
    const client = new AzureOpenAI(azure);
    expect((await client.chat.completions.create(chat)).choices[0]?.message.content).toBe('one two');
    expect((await client.models.list()).data.map(({ id }) => id)).toContain('demo');
    const deployed = new AzureOpenAI({ ...azure, deployment: 'demo' });
    expect((await deployed.chat.completions.create({ ...chat, model: 'gpt-4o' })).model).toBe('demo');
    expect((await deployed.completions.create({ model: '', prompt: 'a b' })).choices[0]?.text).toBe('a b');
    const unknown = new AzureOpenAI({ ...azure, deployment: 'no/ne' }).chat.completions.create(chat);
    await expect(unknown).rejects.toMatchObject({ status: 404, message: expect.stringContaining('no/ne') });
    const direct = new AzureOpenAI({ ...azure, endpoint: undefined, baseURL: `${bed.url}/openai/v1` } as object);
    expect((await direct.models.list()).data.map(({ id }) => id)).toContain('demo');
  });

  it.each([
    ['/openai/deployments/demo/chat/completions', 200, undefined],
    ['/openai/deployments/demo/chat/completions?api-version=2024-10-21', 200, undefined],
    ['/openai/deployments/%zz/chat/completions', 400, 'model'],
    ['/openai/deployments/demo/files', 404, null],
    ['/openai/deployments//chat/completions', 404, null],
    ['/openai/admin/keys', 404, null],
  ])('may leave the model out of the body where the path has it: %s', async (path, status, param) => {
    const answer = await bed.post(path, { messages: chat.messages });
    expect(answer.status).toBe(status);
    if (param !== undefined) expect(await answer.json()).toMatchObject({ error: { param } });
  });

  it.each([
    ['/openai/files?api-version=1&limit=1', '/v1/files?limit=1'],
    ['/openai/files?limit=1&api-version=1', '/v1/files?limit=1'],
    ['/openai/v1/files?a=1&api-version=1&b=2', '/v1/files?a=1&b=2'],
    ['/openai/responses/resp_1?api-version=1', '/v1/responses/resp_1'],
    ['/openai/files?x-api-version=1', '/v1/files?x-api-version=1'],
    ['/v1/files?api-version=1', '/v1/files?api-version=1'],
    ['/files?api-version=1', '/v1/files?api-version=1'],
  ])('has Azure’s version, and no more, taken out of its query: %s', (asked, served) => {
    expect(servedUrl(asked)).toBe(served);
  });

  it.each(['/anthropic', ''])('is answered, if it is Anthropic’s: %j', async (base) => {
    const client = new Anthropic({ baseURL: bed.url + base, apiKey: 'any', maxRetries: 0 });
    expect((await client.messages.create(message)).content).toMatchObject([{ text: 'one two' }]);
    expect(await client.messages.stream(message).finalText()).toBe('one two');
    expect((await client.models.list()).data[0]).toMatchObject({ type: 'model', id: 'demo' });
    const unknown = client.messages.create({ ...message, model: 'none' });
    await expect(unknown).rejects.toMatchObject({ type: 'not_found_error' });
  });

  it.each(PATHS_WITHOUT_V1)('finds the same at the path without /v1 as with it: %s', async (path) => {
    const tried = path.endsWith('/') ? `${path}none?x=1` : path;
    const answerOf = async (url: string) => {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{}',
      });
      const body = await response.text();
      // Each has an id of its own, and names the path as it was sent.
      return [response.status, body.replace(/req_\w+/, 'req').replaceAll('/v1/', '/')];
    };
    expect(await answerOf(bed.url + tried)).toEqual(await answerOf(`${bed.url}/v1${tried}`));
  });

  it('is recorded under the one name of what it asked for', async () => {
    const before = bed.records().length;
    for (const path of ['/v1', '', '/openai/v1']) await bed.post(`${path}/chat/completions`, chat);
    const endpoints = bed.records().map(({ endpoint }) => endpoint);
    expect(endpoints.slice(before)).toEqual(['chat', 'chat', 'chat']);
  });

  it('still gets the answers of their own at GET /models and POST /chat', async () => {
    const models = await (await fetch(`${bed.url}/models?x=1`)).json();
    expect(models).toMatchObject({ data: [{ id: 'demo', provider: 'millrace', aliases: ['gpt-4o-mini'] }, {}] });
    expect(await (await bed.post('/chat', chat)).json()).toMatchObject({ text: 'one two', provider: 'millrace' });
  });

  it('finds it by the whole URL too, as clients of proxies send it', async () => {
    const body = JSON.stringify(message);
    const head = `host: ${new URL(bed.url).host}\r\ncontent-type: application/json\r\nconnection: close\r\n`;
    for (const path of ['/v1/messages', '/messages', '/openai/v1/chat/completions']) {
      const request = (method: string, text: string) =>
        `${method} ${bed.url}${path} HTTP/1.1\r\n${head}content-length: ${text.length}\r\n\r\n${text}`;
      expect(await rawExchange(bed.gateway.port, request('POST', body))).toMatch(/^HTTP\/1\.1 200 /);
      const refused = await rawExchange(bed.gateway.port, request('POST', '{}'));
      expect(refused.includes('"request_id":"req_')).toBe(path.endsWith('messages'));
    }
  });

  it('is told of a path or a method that there is none, by the path that it sent', async () => {
    const unknown = await fetch(`${bed.url}/openai/v1/nothing?x=1`);
    expect(unknown.status).toBe(404);
    expect(await unknown.json()).toMatchObject({
      error: { code: 'unknown_url', message: expect.stringContaining(' GET /openai/v1/nothing. ') },
    });
    const method = await fetch(`${bed.url}/completions`);
    expect([method.status, method.headers.get('allow')]).toEqual([405, 'POST']);
    expect(await method.json()).toMatchObject({ error: { message: 'GET is not allowed for /completions; use POST.' } });
  });

  it.each([
    ['POST', '/v1/messages/%zz', 400],
    ['POST', '/messages/%zz', 400],
    ['POST', '/anthropic/v1/messages/%zz', 400],
    ['GET', '/anthropic/v1/%E0%A4%A', 400],
    ['GET', '/anthropic/v1/models/%zz', 400],
    ['GET', '/anthropic/v1/nothing', 404],
    ['GET', '/anthropic/nothing', 404],
    ['POST', '/anthropic/v1/models/demo', 405],
  ])('is refused in Anthropic’s words, if that is whose it is: %s %s', async (method, path, status) => {
    const refused = await fetch(bed.url + path, { method });
    expect(refused.status).toBe(status);
    const body = await refused.json();
    expect(body).toMatchObject({ type: 'error', error: {}, request_id: refused.headers.get('request-id') });
  });

  it.each([
    '/v1/files',
    '/v1/complete',
    '/v1/chat/completions',
    '/v1/messages/batches',
    '/files',
    '/anthropic/v1/files',
  ])('is a 404 in Anthropic’s words where it asks in those for what is not Anthropic’s: %s', async (path) => {
    const headers = path.startsWith('/anthropic') ? {} : { 'anthropic-version': '2023-06-01' };
    const refused = await fetch(bed.url + path, { headers });
    expect([refused.status, await refused.json()]).toMatchObject([
      404,
      { type: 'error', error: { type: 'not_found_error', message: expect.stringContaining(path) } },
    ]);
  });

  it('is a 404 that Anthropic’s client knows, where it asks for files', async () => {
    const client = new Anthropic({ baseURL: bed.url, apiKey: 'any', maxRetries: 0 });
    await expect(client.beta.files.list()).rejects.toBeInstanceOf(Anthropic.NotFoundError);
  });

  it('is told of the models as Anthropic does, without a word of its header', async () => {
    const models = await (await fetch(`${bed.url}/anthropic/v1/models`)).json();
    expect(models).toMatchObject({ data: [{ type: 'model', id: 'demo' }], has_more: false });
  });

  it('is refused in OpenAI’s words, if that is whose it is', async () => {
    for (const path of ['/v1/models/%zz', '/openai/v1/%E0%A4%A', '/%zz', '/anthropics']) {
      const refused = await fetch(bed.url + path);
      expect(await refused.json(), path).toEqual({ error: expect.objectContaining({ param: null }) });
      expect(refused.headers.get('request-id'), path).toBeNull();
    }
  });

  it.each([
    '/openai/v1',
    '/openai',
    '/anthropic',
    '/openai/v2/models',
    '/openai/v1models',
    '/chat/completionsx',
    '/models/',
  ])('finds nothing at what only begins like one, or does not end: %s', async (path) => {
    const { status } = await fetch(bed.url + path, {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json' },
    });
    expect([404, 405]).toContain(status);
  });

  it('may ask from a page, as by the path itself', async () => {
    for (const path of ['/v1/chat/completions', '/openai/v1/chat/completions', '/messages']) {
      const origin = 'https://page.example';
      const preflight = await fetch(bed.url + path, {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-api-key' },
      });
      expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([204, origin]);
      const answer = await bed.post(path, message, { headers: { origin } });
      expect(answer.headers.get('access-control-allow-origin')).toBe(origin);
      expect(answer.headers.get('access-control-expose-headers')).toContain('request-id');
    }
  });
});

describe('a stranger', () => {
  let bed: Awaited<ReturnType<typeof startKeyedGateway>>;
  beforeAll(async () => {
    bed = await startKeyedGateway();
  });
  afterAll(() => bed[Symbol.asyncDispose]());

  it.each([
    ...['/openai/v1/models', '/openai/v1/models/demo', '/models/demo', '/anthropic/v1/models', '/%6fpenai/v1/models'],
    ...['/openai/v1/../healthz/../v1/models', '/openai/v1//models', '/openai/v1/%2e%2e/models', '//openai/v1/models'],
    ...[
      '/openai/v1/../../healthz',
      '/files',
      '/messages',
      '/openai/v1/../admin/keys',
      '/anthropic/v1/../../admin/keys',
    ],
  ])('reads nothing by another name of a path: %s', async (path) => {
    const answer = await rawExchange(bed.port, `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 40[0145] /);
    expect(answer).not.toMatch(/"data":|"id":"demo"/);
  });

  it('is told so in Anthropic’s words where those are spoken, and has no more of its body read', async () => {
    for (const path of ['/v1/messages', '/anthropic/v1/messages', '/messages/count_tokens']) {
      const response = await bed.post(path, 'no JSON at all');
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe('Bearer');
      const requestId = response.headers.get('request-id');
      expect(await response.json()).toMatchObject({
        type: 'error',
        error: { type: 'authentication_error', details: { error_code: 'invalid_api_key' } },
        request_id: requestId,
      });
    }
  });

  it('who has a key is let in by every header that carries one', async () => {
    for (const headers of [{ 'x-api-key': KEY }, { 'api-key': KEY }, { authorization: `Bearer ${KEY}` }] as Record<
      string,
      string
    >[]) {
      expect((await bed.post('/anthropic/v1/messages', message, { headers })).status).toBe(200);
      expect((await bed.post('/chat/completions', chat, { headers })).status).toBe(200);
    }
  });
});

describe('a request that is refused before it is one', () => {
  const head = 'host: x\r\ncontent-type: application/json\r\n';

  it('is refused in the words of the path that it began with', async () => {
    await using bed = await TestBed.start({ bodyTimeoutMs: 300 });
    const { port } = bed.gateway;
    const expectation = await rawExchange(
      port,
      `POST /anthropic/v1/messages HTTP/1.1\r\n${head}connection: close\r\nexpect: tea\r\ncontent-length: 2\r\n\r\n{}`,
    );
    const slow = await rawExchange(port, `POST /v1/messages HTTP/1.1\r\n${head}content-length: 90\r\n\r\n{"max`);
    for (const [answer, status, type] of [
      [expectation, 417, 'invalid_request_error'],
      [slow, 408, 'timeout_error'],
    ] as const) {
      expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
      const id = /^request-id: (\S+)\r$/im.exec(answer)?.[1];
      expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4))).toMatchObject({
        error: { type },
        request_id: id,
      });
    }
    const other = await rawExchange(port, `POST /v1/chat/completions HTTP/1.1\r\n${head}content-length: 90\r\n\r\n{`);
    expect(other).toContain('"code":"request_timeout"');
    expect(other).not.toMatch(/^request-id/im);
  });
});

describe('GET /', () => {
  it('is a page to a browser, which loads nothing from elsewhere, and JSON to everybody else', async () => {
    await using bed = await startKeyedGateway();
    const accept = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';
    const page = await fetch(`${bed.url}/`, { headers: { accept } });
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(page.headers.get('vary')).toContain('accept');
    const html = await page.text();
    const links = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]!);
    expect(links).toEqual(expect.arrayContaining(['/docs', '/openapi.json', '/readyz']));
    for (const link of links) expect((await fetch(bed.url + link)).status, link).toBe(200);
    for (const headers of [{}, { accept: '*/*' }, { accept: 'application/json' }] as Record<string, string>[]) {
      const told = await fetch(`${bed.url}/`, { headers });
      expect(await told.json()).toMatchObject({ name: 'millrace', api: '/v1', docs: '/docs' });
    }
    expect(html).not.toContain('demo');
    // Some clients look whether anybody is here.
    expect((await fetch(`${bed.url}/`, { method: 'HEAD' })).status).toBe(200);
  });
});
