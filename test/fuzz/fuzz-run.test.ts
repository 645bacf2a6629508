import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { agent } from './exchange.ts';
import { FuzzRun } from './fuzz-run.ts';
import type { OpenApiDocument } from './open-api.ts';

const error = {
  type: 'object',
  properties: { error: { type: 'object' } },
  required: ['error'],
};
const document: OpenApiDocument = {
  paths: {
    '/v1/things': {
      post: {
        requestBody: {
          required: true,
          content: {
            'application/json': {
              schema: {
                type: 'object',
                properties: { name: { type: 'string', minLength: 1 }, count: { type: 'integer', minimum: 0 } },
                required: ['name'],
              },
            },
          },
        },
        responses: {
          200: {
            content: {
              'application/json': { schema: { $ref: '#/components/schemas/Thing' } },
              'text/event-stream': { schema: { $ref: '#/components/schemas/Thing' } },
            },
          },
          400: { content: { 'application/json': { schema: error } } },
        },
      },
    },
  },
  components: {
    schemas: {
      Thing: {
        type: 'object',
        properties: { id: { type: 'string' }, name: { type: 'string' } },
        required: ['id', 'name'],
      },
    },
  },
};

const refusal = {
  error: { message: 'That is not it.', type: 'invalid_request_error', param: null, code: 'invalid_request' },
};
const thing = { id: 'thing-1', name: 'a' };

interface Answer {
  readonly status?: number;
  readonly type?: string;
  readonly body: string;
}

/** What a server answers that takes every request for one of two kinds. */
async function faultsOf(answer: (body: string) => Answer | undefined, requests = 60): Promise<string[]> {
  const server = await listening(async (request, response) => {
    const told = answer(await textOf(request));
    if (told === undefined) return;
    const { status = 200, type = 'application/json', body } = told;
    response.writeHead(status, { 'content-type': type, 'x-request-id': 'req_1' }).end(body);
  });
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const run = new FuzzRun({ url, document, requests, seed: 5, clients: 4, deadlineMs: 500, faultsMax: 1 });
    const { faults } = await run.run();
    return faults.flatMap(({ complaints }) => complaints);
  } finally {
    agent.destroy();
    server.closeAllConnections();
    server.close();
  }
}

function listening(listener: RequestListener): Promise<Server> {
  const server = createServer(listener);
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

async function textOf(request: IncomingMessage): Promise<string> {
  const read: Buffer[] = [];
  for await (const data of request) read.push(data as Buffer);
  return Buffer.concat(read).toString();
}

/** As a good server would. */
function honest(body: string): Answer {
  try {
    const { name } = JSON.parse(body) as { name?: unknown };
    if (typeof name === 'string' && name !== '') return { body: JSON.stringify({ id: 'thing-1', name }) };
  } catch {
    // It is told so below.
  }
  return { status: 400, body: JSON.stringify(refusal) };
}

it('finds nothing wrong with a server that keeps its promises, and has sent it both kinds', async () => {
  const seen = new Set<number>();
  const faults = await faultsOf((body) => {
    const answer = honest(body);
    seen.add(answer.status ?? 200);
    return answer;
  }, 300);
  expect(faults).toEqual([]);
  expect([...seen].sort()).toEqual([200, 400]);
});

it('sends the same for the same seed', async () => {
  const bodies = async () => {
    const seen: string[] = [];
    await faultsOf((body) => {
      seen.push(body);
      return honest(body);
    });
    return seen.sort();
  };
  expect(await bodies()).toEqual(await bodies());
});

it.each<[string, (body: string) => Answer | undefined, RegExp]>([
  ['a server that fails', () => ({ status: 500, body: JSON.stringify(refusal) }), /a 500 that nobody promised/],
  [
    'an error without a code',
    () => ({ status: 400, body: '{"error":{"message":"That is not it."}}' }),
    /not of OpenAI's shape/,
  ],
  ['an error that is a page', () => ({ status: 400, type: 'text/html', body: '<h1>Bad</h1>' }), /no JSON/],
  [
    'a status that nobody declared',
    () => ({ status: 418, body: JSON.stringify(refusal) }),
    /418 is none of the declared/,
  ],
  ['a success that is not what it says', () => ({ body: '{"id":1}' }), /the answer is not valid/],
  ['a success of another type', () => ({ type: 'text/plain', body: 'ok' }), /text\/plain is none of the declared/],
  [
    'a stack trace',
    () => ({ body: JSON.stringify({ ...thing, name: 'Error\n    at run (/srv/a.js:1:2)\n' }) }),
    /a stack trace/,
  ],
  [
    'a chunk that is not valid',
    () => ({ type: 'text/event-stream', body: 'data: {"id":1}\n\ndata: [DONE]\n\n' }),
    /event 0 is not valid/,
  ],
  [
    'a stream that only stops',
    () => ({ type: 'text/event-stream', body: `data: ${JSON.stringify(thing)}\n\n` }),
    /a stream without an end/,
  ],
  ['a request that hangs', () => undefined, /no answer within 500 ms/],
])('finds %s', async (_what, answer, complaint) => {
  expect((await faultsOf(answer)).join('\n')).toMatch(complaint);
});

it('tells how to repeat what it found, made as small as it still shows', async () => {
  const server = await listening(async (request, response) => {
    const body = await textOf(request);
    const status = /"count":/.test(body) ? 500 : 400;
    response.writeHead(status, { 'x-request-id': 'a' }).end(JSON.stringify(refusal));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { faults } = await new FuzzRun({
    url,
    document,
    requests: 60,
    seed: 5,
    clients: 1,
    deadlineMs: 500,
    faultsMax: 1,
  }).run();
  agent.destroy();
  server.close();
  expect(faults).toHaveLength(1);
  expect(faults[0]!.curl).toMatch(/^curl -sS -i --path-as-is -X POST .*"count":/);
  expect(faults[0]!.curl.length).toBeLessThan(200);
});
