import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger, type LoadedSettings, terminationRequested } from '@millrace/runtime';
import { CommandError } from '../command.js';
import { trustGateway } from '../fetch-gateway.js';
import { urlOfGateway } from '../gateway-address.js';
import { Service } from '../serve/service.js';
import { residentMib } from './machine.js';

/** A process that has just started still grows and collects; its idle memory is what remains after this. */
const IDLE_AFTER_MS = 3_000;

/** What is measured: a gateway that runs, or one of our own. */
export interface Subject extends AsyncDisposable {
  readonly url: string;
  readonly idleMemoryMib: () => Promise<number | undefined>;
  readonly gatewayPid: () => number | undefined;
  readonly workerPid: () => number | undefined;
  /** Rejects when the user wants no more. */
  readonly interrupted: Promise<never>;
}

type StartSettings = Pick<LoadedSettings, 'settings' | 'sources' | 'flagsFor' | 'secretsFromFlags'>;

/** @param named the address of one that runs. */
export async function openSubject(loaded: StartSettings, named: string | undefined): Promise<Subject> {
  trustGateway(loaded.settings);
  const interrupted = terminationRequested().then(() => {
    throw new CommandError('Stopped.');
  });
  interrupted.catch(() => undefined);
  if (named !== undefined) {
    return {
      url: urlOfGateway(named),
      idleMemoryMib: async () => undefined,
      gatewayPid: () => undefined,
      workerPid: () => undefined,
      interrupted,
      [Symbol.asyncDispose]: async () => undefined,
    };
  }
  const logger = createLogger({ name: 'bench', level: 'warn', format: 'text' });
  const service = new Service({ loaded, logger, quiet: true });
  process.once('exit', () => service.kill());
  try {
    const { url } = await Promise.race([service.start(), interrupted]);
    return {
      url,
      gatewayPid: () => service.gatewayPid,
      workerPid: () => service.workerPid,
      idleMemoryMib: async () => {
        await sleep(IDLE_AFTER_MS);
        return service.gatewayPid === undefined ? undefined : residentMib(service.gatewayPid);
      },
      interrupted,
      [Symbol.asyncDispose]: () => service.stop(),
    };
  } catch (error) {
    await service.stop();
    throw error;
  }
}

export function temporaryFolder(): AsyncDisposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) };
}
