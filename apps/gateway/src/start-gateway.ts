import 'reflect-metadata';
import type { AddressInfo } from 'node:net';
import { InferenceError, type Settings, VERSION } from '@millrace/contracts';
import { type Logger, startTelemetry } from '@millrace/runtime';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { gatewayModule } from './gateway.module.js';
import { createHttpServer } from './http/fastify.js';
import { openParts } from './open-parts.js';
import { openTls } from './open-tls.js';
import { wire } from './wiring.js';

/** For errors to reach those who waited to the end. */
const LAST_WORDS_MS = 1_000;

export interface Gateway {
  readonly port: number;
  /** Never resolves. @throws ConfigurationError when it can go on only after a person has mended something. */
  readonly broken: Promise<never>;
  /**
   * Says that it is not ready, and goes on for `drainDelayMs`. Then it takes no new connections, lets running answers finish and waiting
   * requests have their turn, up to `drainTimeoutMs`, and ends the rest with an error that says so.
   */
  drain(): Promise<void>;
}

/** `[::1]`, as it stands in a URL, is `::1` to the system. */
function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}

/**
 * Builds the gateway and listens. All that main.ts adds is the process around it.
 *
 * @param environment where the keys of providers and of the hub are.
 * @param open for tests, which have other stores.
 */
export async function startGateway(
  settings: Settings,
  logger: Logger,
  environment: NodeJS.ProcessEnv = {},
  open = openParts,
): Promise<Gateway> {
  const tls = await openTls(settings, logger);
  const metrics = await startTelemetry({
    serviceName: 'millrace-gateway',
    serviceVersion: VERSION,
    environment,
    logger,
  });
  const walks = wire(settings, logger, await open(settings, logger, tls, environment), tls, environment);
  const { adapter, openCalls, drain } = await createHttpServer(settings, walks, logger, tls.gateway);
  const app = await NestFactory.create<NestFastifyApplication>(
    gatewayModule(walks, metrics, settings),
    adapter,
    // Nest's own log would tell of its modules; ours tells of the gateway. Bodies are read by http/json-body.ts.
    { logger: false, bodyParser: false, abortOnError: false },
  );
  walks.broken.catch(() => undefined); // Whoever runs the gateway listens too; a test need not.
  const release = async () => {
    await app.close();
    await walks.close();
    tls.close();
    await metrics.close();
  };
  try {
    await walks.checkProviders();
    await app.listen(settings.port, withoutBrackets(settings.host));
  } catch (error) {
    await release();
    throw error;
  }
  const server = app.getHttpServer();

  return {
    port: (server.address() as AddressInfo).port,
    broken: walks.broken,
    // By hand, since app.close() alone waits for every open socket, even one that never sent a request.
    drain: async () => {
      walks.readiness.startDraining();
      // Lines of batches, and responses in the background, that run may end as answers may; nobody else waits for them.
      await Promise.all([
        drain.run(settings),
        walks.batchJobs.stop(settings.drainTimeoutMs),
        walks.backgroundResponses.stop(settings.drainTimeoutMs),
      ]);
      walks.stopWaiting(); // First: those who had no turn are told so, and the others that they were not finished.
      openCalls.endAll(unfinished());
      await openCalls.finished(LAST_WORDS_MS);
      drain.closeAll();
      await release();
    },
  };
}

function unfinished(): InferenceError {
  return new InferenceError(
    'shutting_down',
    'This server stopped before the answer was complete. Send the request again.',
  );
}
