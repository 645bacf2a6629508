import { promises as dns, type LookupAddress } from 'node:dns';
import { isIPv6 } from 'node:net';
import { ConfigurationError } from '@millrace/runtime';
import { KnownAddresses } from '../known-addresses.js';
import type { WorkerDiscovery } from '../worker-discovery.js';

export interface DnsDiscoveryOptions {
  /** `host:port`, whose addresses are the workers; or a name of SRV records. */
  readonly name: string;
  readonly intervalMs: number;
}

/** What asks; another in tests. */
export interface Names {
  /** All addresses, of either family: with the system's resolver, which knows search domains and the hosts file. */
  addresses(host: string): Promise<readonly LookupAddress[]>;
  services(name: string): Promise<readonly { readonly name: string; readonly port: number }[]>;
}

const SYSTEM: Names = {
  addresses: (host) => dns.lookup(host, { all: true, order: 'verbatim' }),
  services: (name) => dns.resolveSrv(name),
};

/** A name without records is how DNS says that nobody is there; so many times, since a server that restarts says it too. */
const EMPTY_LOOKS_MAX = 3;
const NO_RECORDS: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA', 'EAI_NODATA', 'EAI_NONAME']);

/** Workers as DNS tells of them, asked again and again: a headless Service, or SRV records. */
export class DnsDiscovery implements WorkerDiscovery {
  readonly #host: string;
  readonly #port: string | undefined;
  readonly #known: KnownAddresses;
  #timer: NodeJS.Timeout | undefined;
  #emptyLooks = 0;
  #closed = false;

  /** @throws ConfigurationError for a name that is none. */
  constructor(
    private readonly options: DnsDiscoveryOptions,
    private readonly names: Names = SYSTEM,
  ) {
    const { name } = options;
    const parts = /^(?<host>[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?)(?::(?<port>\d{1,5}))?$/.exec(name)?.groups;
    if (parts === undefined || Number(parts.port ?? 1) > 65_535) {
      throw new ConfigurationError([
        `\`workersDns\` is "${name}". Give a name and a port, such as millrace-worker.default.svc:8100, or the name of SRV records.`,
      ]);
    }
    this.#host = parts.host!;
    this.#port = parts.port;
    this.#known = new KnownAddresses(`DNS of ${name}`);
  }

  get trouble(): string | undefined {
    return this.#known.trouble;
  }

  start(listener: (addresses: readonly string[]) => void): void {
    this.#known.listen(listener);
    void this.#look();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** One look at a time: the system's resolver can't be interrupted, and takes a thread for as long as it waits. */
  async #look(): Promise<void> {
    try {
      const addresses = await this.#ask();
      if (this.#closed) return;
      this.#emptyLooks = 0;
      this.#known.learn(addresses);
    } catch (error) {
      if (this.#closed) return;
      this.#onFailure(error as NodeJS.ErrnoException);
    }
    this.#timer = setTimeout(() => void this.#look(), this.options.intervalMs);
    this.#timer.unref();
  }

  #onFailure({ code = '', message }: NodeJS.ErrnoException): void {
    if (!NO_RECORDS.has(code)) {
      this.#known.fail(message);
      return;
    }
    this.#emptyLooks++;
    if (this.#emptyLooks >= EMPTY_LOOKS_MAX || !this.#known.any) this.#known.learn([]);
    this.#known.doubt(
      `DNS has no records of ${this.options.name} (${code}): no worker runs, or \`workersDns\` is wrong.`,
    );
  }

  async #ask(): Promise<readonly string[]> {
    if (this.#port !== undefined) {
      const addresses = await this.names.addresses(this.#host);
      return addresses.map(({ address }) => `${isIPv6(address) ? `[${address}]` : address}:${this.#port}`);
    }
    const services = await this.names.services(this.#host);
    return services.map(({ name, port }) => `${name}:${port}`);
  }
}
