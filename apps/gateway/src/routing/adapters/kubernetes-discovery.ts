import { isIPv6 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeConfig, V1EndpointSlice, Watch } from '@kubernetes/client-node';
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

/** Between two watches: doubled each time, from the first to the last, until one has lasted longer than that. */
const PAUSE_MS_MIN = 500;
const PAUSE_MS_MAX = 15_000;
const LIST_TIMEOUT_MS = 10_000;
/** Of what the API server says of itself, for /readyz. */
const WORDS_CHARACTERS_MAX = 300;
/** What it says where it has forgotten the version from which changes are wanted. */
const GONE = 410;

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

/** Of a slice, what is read here. It comes from elsewhere: nothing of it need be there. */
export type Slice = Partial<Pick<V1EndpointSlice, 'ports' | 'endpoints' | 'metadata'>>;

/**
 * The addresses behind a Service's slices, of those that are ready; one that loads its model is not yet. A pod that has an address of
 * either family is one worker, by its IPv4 address.
 */
export function addressesIn(slices: Iterable<Slice>, wanted: string): string[] {
  const found: { readonly address: string; readonly port: number; readonly pod: string | undefined }[] = [];
  for (const { ports, endpoints } of slices) {
    const port = ports?.find((one) => String(one?.port) === wanted || one?.name === wanted)?.port;
    if (port === undefined) continue;
    for (const endpoint of endpoints ?? []) {
      const address: unknown = endpoint?.addresses?.[0];
      // Absent means ready: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#ready.
      if (typeof address !== 'string' || endpoint.conditions?.ready === false) continue;
      found.push({ address, port, pod: endpoint.targetRef?.uid });
    }
  }
  const byIpv4 = new Set(found.filter(({ address }) => !isIPv6(address)).map(({ pod }) => pod));
  return found
    .filter(({ address, pod }) => pod === undefined || !isIPv6(address) || !byIpv4.has(pod))
    .map(({ address, port }) => `${isIPv6(address) ? `[${address}]` : address}:${port}`);
}

/**
 * Workers behind a Kubernetes Service, watched through its EndpointSlices. The pod's service account must be allowed to get, list and watch
 * `endpointslices` of `discovery.k8s.io` in the namespace.
 *
 * The client library is loaded here and only when it is used: it is large. Of it, the informer is not used: it begins anew without a
 * pause where a watch ends at once, and what it did not expect to read it throws where nobody can catch it.
 */
export class KubernetesDiscovery implements WorkerDiscovery {
  readonly #service: WorkersService;
  readonly #known: KnownAddresses;
  readonly #slices = new Map<string, Slice>();
  /** From which changes are wanted; undefined: all of them have to be listed first. */
  #version: string | undefined;
  #lastTold = '';
  #pauseMs = PAUSE_MS_MIN;
  readonly #closing = new AbortController();

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
    void this.#run();
  }

  async close(): Promise<void> {
    this.#closing.abort();
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const beganMs = performance.now();
      await this.#listAndWatch().catch((error: unknown) => this.#onError(error));
      if (performance.now() - beganMs > PAUSE_MS_MAX) this.#pauseMs = PAUSE_MS_MIN;
      await sleep(this.#pauseMs, undefined, { ref: false, signal }).catch(() => {});
      this.#pauseMs = Math.min(PAUSE_MS_MAX, this.#pauseMs * 2);
    }
  }

  /** Resolves when the watch has ended as watches do, after some minutes or when nothing has changed for long. */
  async #listAndWatch(): Promise<void> {
    const client = await import('@kubernetes/client-node');
    const config = new client.KubeConfig();
    this.configure(config);
    if (this.#version === undefined) await this.#list(client, config);
    if (!this.#closing.signal.aborted) await this.#watch(new client.Watch(config));
  }

  get #labelSelector(): string {
    return `kubernetes.io/service-name=${this.#service.name}`;
  }

  async #list(client: typeof import('@kubernetes/client-node'), config: KubeConfig): Promise<void> {
    const { namespace } = this.#service;
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(LIST_TIMEOUT_MS)]);
    // As `makeApiClient` does it, with a signal: by itself a list may take five minutes.
    const api = new client.DiscoveryV1Api(
      client.createConfiguration({
        baseServer: new client.ServerConfiguration(config.getCurrentCluster()?.server ?? '', {}),
        authMethods: { default: config },
        promiseMiddleware: [
          {
            pre: async (request) => {
              request.setSignal(signal);
              return request;
            },
            post: async (response) => response,
          },
        ],
      }),
    );
    const labelSelector = this.#labelSelector;
    const { items, metadata } = await api.listNamespacedEndpointSlice({ namespace, labelSelector });
    // What has the place of the API server, such as a proxy's page, is read as a list without anything.
    if (!Array.isArray(items)) throw new Error('what it answers is no list of EndpointSlices');
    this.#slices.clear();
    for (const slice of items) this.#note(slice);
    this.#version = metadata?.resourceVersion;
    this.#learn();
  }

  async #watch(watch: Watch): Promise<void> {
    const path = `/apis/discovery.k8s.io/v1/namespaces/${this.#service.namespace}/endpointslices`;
    const query = { resourceVersion: this.#version ?? '', labelSelector: this.#labelSelector };
    const ended = Promise.withResolvers<void>();
    const onEvent = (type: unknown, object: unknown) => {
      const error = this.#onEvent(type, (object ?? {}) as Slice & ApiStatus);
      if (error !== undefined) ended.reject(error);
    };
    const onEnd = (error: unknown) => {
      if (error && (error as Error).name !== 'TimeoutError') ended.reject(error);
      else ended.resolve();
    };
    const { signal } = this.#closing;
    const request = watch.watch(path, query, onEvent, onEnd);
    request.catch(ended.reject);
    signal.addEventListener('abort', () => ended.resolve(), { once: true });
    try {
      await ended.promise;
    } finally {
      request.then(
        (controller) => controller.abort(),
        () => {},
      );
    }
  }

  /** Returns why the watch is of no use any more, if it is not. */
  #onEvent(type: unknown, object: Slice & ApiStatus): Error | undefined {
    if (type === 'ERROR') return Object.assign(new Error(object.message ?? 'the watch failed'), { code: object.code });
    if (object.metadata?.resourceVersion !== undefined) this.#version = object.metadata.resourceVersion;
    if (type === 'ADDED' || type === 'MODIFIED') this.#note(object);
    else if (type === 'DELETED') this.#slices.delete(object.metadata?.name ?? '');
    else return undefined;
    this.#learn();
    return undefined;
  }

  #note(slice: Slice | null | undefined): void {
    if (slice?.metadata?.name !== undefined) this.#slices.set(slice.metadata.name, slice);
  }

  #learn(): void {
    if (!this.#closing.signal.aborted) this.#known.learn(addressesIn(this.#slices.values(), this.#service.port));
  }

  /** Whatever it was: all of them are listed anew. */
  #onError(error: unknown): void {
    this.#version = undefined;
    const { status, why } = reasonOf(error, this.#service.namespace);
    if (this.#closing.signal.aborted || status === GONE) return;
    if (why !== this.#lastTold) this.logger.warn(`The endpoints of workers can't be watched: ${why}.`);
    this.#lastTold = why;
    this.#known.fail(why);
  }
}

/** What the API server says instead of what was asked for. */
interface ApiStatus {
  readonly code?: number;
  readonly message?: string;
}

const REMEDIES: Readonly<Record<number, (namespace: string) => string>> = {
  401: () => '401: it does not accept the token of this service account',
  403: (namespace) =>
    `403: the service account may get, list and watch endpointslices of discovery.k8s.io in the namespace ${namespace} only once a Role says so; docs/concepts/routing.md has it`,
};

function reasonOf(error: unknown, namespace: string): { readonly status: number | undefined; readonly why: string } {
  const { statusCode, code, body, message, cause } = (error ?? {}) as Error & {
    readonly statusCode?: number;
    readonly code?: number | string;
    readonly body?: ApiStatus | string;
  };
  // Aborted calls have numbers too, small ones.
  const status = [statusCode, code].find((one) => typeof one === 'number' && one >= 100) as number | undefined;
  const remedy = status === undefined ? undefined : REMEDIES[status]?.(namespace);
  if (remedy !== undefined) return { status, why: remedy };
  const said = (typeof body === 'object' ? body?.message : undefined) ?? (cause as Error | undefined)?.message;
  const words = (said || message || String(error)).split('\n')[0]!.slice(0, WORDS_CHARACTERS_MAX);
  if (status === undefined) return { status, why: words };
  return { status, why: words.includes(String(status)) ? `it answers HTTP ${status}` : `${status}: ${words}` };
}
