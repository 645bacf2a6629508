import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { healthCommand } from './health-command.js';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function ask(...args: string[]): Promise<{ status: number; said: string }> {
  let said = '';
  const write = (text: string) => {
    said += text;
  };
  // Nobody else's settings: /tmp has no .env and no configs/.
  const context = {
    args,
    environment: { MILLRACE_ADMIN_KEY: 'an-admin-key-of-the-test' },
    workingFolder: '/tmp',
    write,
  };
  const status = await healthCommand.run({ ...context, isTerminal: false });
  return { status, said };
}

async function gatewayThatSays(status: number, body: object): Promise<string> {
  const server: Server = createServer((request, response) => {
    response.writeHead(request.url === '/readyz' ? status : 404).end(JSON.stringify(body));
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  closing.push(() => server.close());
  return String((server.address() as AddressInfo).port);
}

/** The standard health service, as far as it is asked here. */
async function workerThatSays(state: number): Promise<string> {
  const server = new GrpcServer();
  const bytes = (value: Buffer) => value;
  const path = '/grpc.health.v1.Health/Check';
  const shape = { requestStream: false, responseStream: false, requestSerialize: bytes, requestDeserialize: bytes };
  server.addService(
    { check: { ...shape, path, responseSerialize: bytes, responseDeserialize: bytes } },
    { check: (_call: unknown, done: (error: null, answer: Buffer) => void) => done(null, Buffer.from([8, state])) },
  );
  const port = await new Promise<number>((bound, failed) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, got) =>
      error ? failed(error) : bound(got),
    ),
  );
  closing.push(() => server.forceShutdown());
  return String(port);
}

describe('millrace health', () => {
  it('says of a gateway whether it is ready, and why it is not', async () => {
    const ready = await gatewayThatSays(200, { status: 'ready', capabilities: {} });
    expect(await ask('--port', ready)).toEqual({ status: 0, said: 'The gateway is ready.\n' });
    const loading = await gatewayThatSays(503, { status: 'not ready', reason: 'No worker is ready.' });
    expect(await ask('--port', loading)).toEqual({
      status: 1,
      said: 'The gateway is not ready: No worker is ready.\n',
    });
  });

  it('takes nothing else for a gateway', async () => {
    const other = await gatewayThatSays(200, { hello: 'world' });
    expect(await ask('--port', other)).toEqual({
      status: 1,
      said: `No gateway of Millrace answers at http://127.0.0.1:${other}.\n`,
    });
    expect((await ask('--port', '1')).status).toBe(1);
  });

  it('asks a worker where it listens, also one that listens on all addresses', async () => {
    const serving = await workerThatSays(1);
    expect(await ask('--worker', '--worker-host', '0.0.0.0', '--worker-port', serving)).toEqual({
      status: 0,
      said: 'The worker is ready.\n',
    });
    const loading = await workerThatSays(2);
    expect(await ask('--worker', '--worker-port', loading)).toEqual({
      status: 1,
      said: 'The worker is not ready: its health is not serving.\n',
    });
    const { status, said } = await ask('--worker', '--worker-port', '1');
    expect(status).toBe(1);
    expect(said).toContain('No worker of Millrace answers at 127.0.0.1:1:');
  });
});
