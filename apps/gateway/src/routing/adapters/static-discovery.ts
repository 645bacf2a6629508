import { ConfigurationError } from '@millrace/runtime';
import { isWorkerAddress } from '../worker-address.js';
import type { WorkerDiscovery } from '../worker-discovery.js';

/** Workers as they were named. */
export class StaticDiscovery implements WorkerDiscovery {
  readonly trouble = undefined;

  /** @throws ConfigurationError for an address that is none. */
  constructor(private readonly addresses: readonly string[]) {
    const wrong = addresses.find((address) => !isWorkerAddress(address));
    if (wrong === undefined) return;
    throw new ConfigurationError([
      `\`workers\` names "${wrong}". Write host:port, such as 10.0.0.7:8100 or [fd00::7]:8100.`,
    ]);
  }

  start(listener: (addresses: readonly string[]) => void): void {
    listener(this.addresses);
  }

  async close(): Promise<void> {}
}
