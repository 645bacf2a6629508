import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from './stack.js';

const MESSAGES = [{ role: 'user', content: 'Hello!' }];

interface BadRequest {
  readonly what: string;
  readonly path?: string;
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly status: number;
  readonly code: string;
  readonly param?: string | null;
}

const CASES: readonly BadRequest[] = [
  { what: 'unreadable JSON', body: '{"messages": [', status: 400, code: 'invalid_request', param: null },
  { what: 'no body at all', body: '', status: 400, code: 'invalid_request' },
  { what: 'JSON that is no object', body: '[1,2]', status: 400, code: 'invalid_request' },
  {
    what: 'a message list of the wrong type',
    body: { messages: 'Hello' },
    status: 400,
    code: 'invalid_request',
    param: 'messages',
  },
  { what: 'no messages key', body: {}, status: 400, code: 'invalid_request', param: 'messages' },
  { what: 'an empty message list', body: { messages: [] }, status: 400, code: 'invalid_request', param: 'messages' },
  {
    what: 'an unknown role',
    body: { messages: [{ role: 'king', content: 'x' }] },
    status: 400,
    code: 'invalid_request',
    param: 'messages[0].role',
  },
  {
    what: 'content of the wrong type',
    body: { messages: [{ role: 'user', content: 5 }] },
    status: 400,
    code: 'invalid_request',
    param: 'messages[0].content',
  },
  {
    what: 'an image for a text model',
    body: { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:,' } }] }] },
    status: 400,
    code: 'unsupported_parameter',
    param: 'messages[0].content[0]',
  },
  {
    what: 'negative max_tokens',
    body: { messages: MESSAGES, max_tokens: -1 },
    status: 400,
    code: 'invalid_request',
    param: 'max_tokens',
  },
  {
    what: 'a temperature out of range',
    body: { messages: MESSAGES, temperature: 3 },
    status: 400,
    code: 'invalid_request',
    param: 'temperature',
  },
  {
    what: 'five stop texts',
    body: { messages: MESSAGES, stop: ['a', 'b', 'c', 'd', 'e'] },
    status: 400,
    code: 'invalid_request',
    param: 'stop',
  },
  {
    what: 'a misspelt parameter',
    body: { messages: MESSAGES, temprature: 1 },
    status: 400,
    code: 'unknown_parameter',
    param: 'temprature',
  },
  {
    what: 'a parameter not supported yet',
    body: { messages: MESSAGES, web_search_options: {} },
    status: 400,
    code: 'unsupported_parameter',
    param: 'web_search_options',
  },
  {
    what: 'an unknown model',
    body: { model: 'gpt-9', messages: MESSAGES },
    status: 404,
    code: 'model_not_found',
    param: 'model',
  },
  {
    what: 'a prompt longer than the context',
    body: { messages: [{ role: 'user', content: 'word '.repeat(20_000) }] },
    status: 400,
    code: 'context_length_exceeded',
    param: 'messages',
  },
  {
    what: 'a body over the limit',
    body: { messages: [{ role: 'user', content: 'x'.repeat(17 * 1024 * 1024) }] },
    status: 413,
    code: 'request_too_large',
  },
  {
    what: 'a lone surrogate',
    body: '{"messages":[{"role":"user","content":"\\ud800"}]}',
    status: 400,
    code: 'invalid_request',
    param: 'messages[0].content',
  },
  {
    what: 'a key named __proto__',
    body: '{"__proto__":{"x":1},"messages":[{"role":"user","content":"Hello!"}]}',
    status: 400,
    code: 'unknown_parameter',
  },
  {
    what: 'a body that is not JSON',
    body: 'Hello',
    headers: { 'content-type': 'text/plain' },
    status: 415,
    code: 'unsupported_media_type',
  },
  { what: 'an unknown path', path: '/v1/nonsense', body: {}, status: 404, code: 'unknown_url' },
  { what: 'an unknown method', method: 'DELETE', status: 405, code: 'method_not_allowed' },
  {
    what: 'an unknown model, looked up',
    path: '/v1/models/gpt-9',
    method: 'GET',
    status: 404,
    code: 'model_not_found',
    param: 'model',
  },
];

describe('bad input', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack();
  });
  afterAll(() => stack.stop());

  for (const { what, path = '/v1/chat/completions', method = 'POST', body, headers, status, code, param } of CASES) {
    it(`answers ${what} with ${status} ${code}`, async () => {
      const response = await fetch(stack.url + path, {
        method,
        headers: body === undefined ? {} : { 'content-type': 'application/json', ...headers },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      const { error } = JSON.parse(text) as {
        error: { message: string; type: string; param: string | null; code: string };
      };

      expect({ status: response.status, code: error.code }, text).toEqual({ status, code });
      if (param !== undefined) expect(error.param, text).toBe(param);
      expect(Object.keys(error).sort()).toEqual(['code', 'message', 'param', 'type']);
      expect(error.message).toMatch(/^[A-Z`].{8,}/s);
      expect(text, 'a stack trace').not.toMatch(/\bat .+:\d+:\d+/);
      expect(response.headers.get('x-request-id')).toBeTruthy();
    });
  }

  it('says both numbers when a prompt is too long', async () => {
    const response = await fetch(`${stack.url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'word '.repeat(20_000) }),
    });

    expect(((await response.json()) as { error: { message: string } }).error.message).toMatch(
      /4,096 tokens.*[\d,]{5,} tokens/,
    );
  });

  it('leaves the process as it was', async () => {
    expect(stack.serve.exitCode).toBeNull();
    const completion = await stack.client().chat.completions.create({
      model: 'millrace-demo',
      messages: [{ role: 'user', content: 'What is the capital of France?' }],
      temperature: 0,
    });
    expect(completion.choices[0]?.message.content).toContain('Paris');
  });
});
