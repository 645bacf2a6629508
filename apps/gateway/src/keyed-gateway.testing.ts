import 'reflect-metadata';
import type { AddressInfo } from 'node:net';
import { InferenceError, type Settings } from '@millrace/contracts';
import { createLogger, startMetrics } from '@millrace/runtime';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { FakeWorker, type FakeWorkerOptions } from './dispatch/fake-worker.testing.js';
import { gatewayModule } from './gateway.module.js';
import { settingsWith } from './gateway.testing.js';
import { createHttpServer } from './http/fastify.js';
import { type Authenticator, EVERYBODY } from './keys/authenticator.js';
import { ANYONE } from './vocabulary.js';
import { wire } from './wiring.js';

/** The one key that is known. */
export const KEY = 'sk-mr-known-key';

/** Knows one key, by heart: what is tried here is what HTTP does with whoever has none. */
const oneKey: Authenticator = {
  ...EVERYBODY,
  authenticate: (presented) => {
    if (presented === KEY) return { ...ANYONE, keyId: 'known', keyName: 'the known one' };
    throw new InferenceError('invalid_api_key', 'The API key is unknown. Send a valid one.');
  },
};

/** The real gateway, all of it but for its keys, with a worker that only pretends to think. */
export async function startKeyedGateway(changes: Partial<Settings> = {}, options: FakeWorkerOptions = {}) {
  const worker = await FakeWorker.start(options);
  const log: Record<string, unknown>[] = [];
  const write = (line: string) => void log.push(JSON.parse(line));
  const logger = createLogger({ name: 'gateway', level: 'info', format: 'json' }, { write });
  const settings = settingsWith({ workers: [worker.address], ...changes });
  const metrics = startMetrics({ serviceName: 'millrace-gateway', serviceVersion: 'test' });
  const walks = { ...(await wire(settings, logger)), authenticator: oneKey };
  const { adapter } = await createHttpServer(settings, walks, logger);
  const app = await NestFactory.create<NestFastifyApplication>(gatewayModule(walks, metrics, settings), adapter, {
    logger: false,
    bodyParser: false,
    abortOnError: false,
  });
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  while ((await fetch(`${url}/readyz`)).status !== 200) await new Promise((resolve) => setTimeout(resolve, 10));
  return {
    port,
    url,
    worker,
    log,
    records: () => log.filter(({ msg }) => msg === 'request'),
    [Symbol.asyncDispose]: async () => {
      app.getHttpServer().closeAllConnections();
      await app.close();
      await walks.close();
      await metrics.close();
      worker.die();
    },
  };
}
