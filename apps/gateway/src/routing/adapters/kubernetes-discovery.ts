import { isIPv6 } from 'node:net';
import type { Informer, KubeConfig, ObjectCache, V1EndpointSlice } from '@kubernetes/client-node';
import { ConfigurationError, type Logger } from '@millrace/runtime';
import { KnownAddresses } from '../known-addresses.js';
import type { WorkerDiscovery } from '../worker-discovery.js';

/** A Service, and which of its ports. */
export interface WorkersService {
  readonly namespace: string;
  readonly name: string;
  /** A number, or a name of the Service's. */
  readonly port: string;
}

/** After a failure of the API server: doubled each time, from the first to the last. */
const RESTART_MS_MIN = 500;
const RESTART_MS_MAX = 15_000;

/** `namespace/name:port`. @throws ConfigurationError */
export function workersService(text: string): WorkersService {
  const parts = /^(?<namespace>[a-z0-9-]+)\/(?<name>[a-z0-9.-]+):(?<port>[a-z0-9-]+)$/.exec(text)?.groups;
  if (parts === undefined) {
    throw new ConfigurationError([
      `\`workersService\` is "${text}". Write namespace/name:port, such as default/millrace-worker:8100 or default/millrace-worker:grpc.`,
    ]);
  }
  return { namespace: parts.namespace!, name: parts.name!, port: parts.port! };
}

/** The addresses behind a Service's slices, of those that are ready; one that loads its model is not yet. */
export function addressesIn(slices: Iterable<V1EndpointSlice>, wanted: string): string[] {
  const found: string[] = [];
  for (const { ports, endpoints } of slices) {
    const port = ports?.find(({ port, name }) => String(port) === wanted || name === wanted)?.port;
    if (port === undefined) continue;
    for (const { addresses, conditions } of endpoints ?? []) {
      const [address] = addresses;
      // Absent means ready: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#ready.
      if (address === undefined || conditions?.ready === false) continue;
      found.push(`${isIPv6(address) ? `[${address}]` : address}:${port}`);
    }
  }
  return found;
}

/**
 * Workers behind a Kubernetes Service, watched through its EndpointSlices. The pod's service account must be allowed to get, list and watch
 * `endpointslices` of `discovery.k8s.io` in the namespace.
 *
 * The client library is loaded here and only when it is used: it is large.
 */
export class KubernetesDiscovery implements WorkerDiscovery {
  readonly #service: WorkersService;
  readonly #known: KnownAddresses;
  #informer: (Informer<V1EndpointSlice> & ObjectCache<V1EndpointSlice>) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #delayMs = RESTART_MS_MIN;
  #closed = false;

  /** @param configure another cluster than the one this runs in, for tests. */
  constructor(
    service: string,
    private readonly logger: Logger,
    private readonly configure: (config: KubeConfig) => void = (config) => config.loadFromDefault(),
  ) {
    this.#service = workersService(service);
    this.#known = new KnownAddresses(`Kubernetes (${service})`);
  }

  get trouble(): string | undefined {
    return this.#known.trouble;
  }

  start(listener: (addresses: readonly string[]) => void): void {
    this.#known.listen(listener);
    this.#watch().catch((error: unknown) => this.#onError(error));
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#informer?.stop();
  }

  async #watch(): Promise<void> {
    const { KubeConfig, DiscoveryV1Api, makeInformer } = await import('@kubernetes/client-node');
    if (this.#closed) return;
    const config = new KubeConfig();
    this.configure(config);
    const api = config.makeApiClient(DiscoveryV1Api);
    const { namespace, name } = this.#service;
    const labelSelector = `kubernetes.io/service-name=${name}`;
    const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`;
    const list = async () => {
      const slices = await api.listNamespacedEndpointSlice({ namespace, labelSelector });
      // The first of each list is told even where nobody is there: whoever starts waits for it.
      queueMicrotask(() => this.#learn(slices.items));
      return slices;
    };
    const informer = makeInformer(config, path, list, labelSelector);
    this.#informer = informer;
    informer.on('change', () => this.#learn(informer.list()));
    informer.on('error', (error: unknown) => this.#onError(error));
    await informer.start();
  }

  #learn(slices: readonly V1EndpointSlice[]): void {
    if (this.#closed) return;
    this.#delayMs = RESTART_MS_MIN;
    this.#known.learn(addressesIn(slices, this.#service.port));
  }

  /** The library tells of an error and does nothing more. */
  #onError(error: unknown): void {
    if (this.#closed) return;
    const why = sentenceOf(error);
    if (this.#known.trouble === undefined) this.logger.warn(`The endpoints of workers can't be watched: ${why}.`);
    this.#known.fail(why);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#restart(), this.#delayMs);
    this.#timer.unref();
    this.#delayMs = Math.min(RESTART_MS_MAX, this.#delayMs * 2);
  }

  #restart(): void {
    const begin = this.#informer === undefined ? this.#watch() : this.#informer.start();
    begin.catch((error: unknown) => this.#onError(error));
  }
}

function sentenceOf(error: unknown): string {
  const {
    statusCode,
    code,
    message = String(error),
  } = (error ?? {}) as Error & {
    readonly statusCode?: number;
    readonly code?: number | string;
  };
  const status = statusCode ?? code;
  const [first = ''] = message.split('\n');
  return status === undefined || first.includes(String(status)) ? first : `${first} (${status})`;
}
