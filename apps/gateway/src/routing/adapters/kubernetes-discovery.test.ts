import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { createLogger } from '@millrace/runtime';
import { describe, expect, it, vi } from 'vitest';
import { discoveryContract } from '../worker-discovery.contract.js';
import { addressesIn, KubernetesDiscovery, workersService } from './kubernetes-discovery.js';

const PATH = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });

type Slice = Record<string, unknown> & { metadata: { name: string; namespace: string; resourceVersion: string } };

/** An API server as far as a watch of EndpointSlices needs one: a list with a version, and from there on every change. */
class PretendApi {
  readonly requests: URL[] = [];
  #slices: Slice[] = [];
  #version = 1;
  readonly #watches = new Set<ServerResponse>();
  readonly #events: { readonly version: number; readonly line: string }[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  #port = 0;
  /** Watches of an older version are told that it is gone, as after a compaction. */
  forgetful = false;

  constructor() {
    this.#server = createServer((request, response) => this.#answer(request, response));
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  open(): KubernetesDiscovery {
    return discoveryAt(this.#port);
  }

  /** One slice for each family, as Kubernetes has them. */
  set(addresses: readonly string[]): void {
    const hosts = addresses.map((address) => address.replace(/:\d+$/, '').replace(/[[\]]/g, ''));
    const families = {
      v4: hosts.filter((host) => !host.includes(':')),
      v6: hosts.filter((host) => host.includes(':')),
    };
    const before = this.#slices;
    this.#slices = Object.entries(families)
      .filter(([, all]) => all.length > 0)
      .map(([family, all]) => slice(`workers-${family}`, all, ++this.#version));
    const gone = before.filter(({ metadata }) => !this.#slices.some((one) => one.metadata.name === metadata.name));
    for (const one of this.#slices) this.#tell('MODIFIED', one);
    for (const one of gone) {
      this.#tell('DELETED', { ...one, metadata: { ...one.metadata, resourceVersion: String(++this.#version) } });
    }
  }

  /** As an API server that restarts: the watches end. */
  cut(): void {
    for (const watch of this.#watches) watch.end();
    this.#watches.clear();
  }

  #tell(type: string, object: Slice): void {
    const line = `${JSON.stringify({ type, object })}\n`;
    this.#events.push({ version: Number(object.metadata.resourceVersion), line });
    for (const watch of this.#watches) watch.write(line);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url!, 'http://x');
    this.requests.push(url);
    if (url.pathname !== PATH || url.searchParams.get('labelSelector') !== 'kubernetes.io/service-name=workers') {
      response.writeHead(404).end('{}');
      return;
    }
    response.setHeader('content-type', 'application/json');
    if (url.searchParams.get('watch') !== 'true') {
      const list = { metadata: { resourceVersion: String(this.#version) }, items: this.#slices };
      response.end(JSON.stringify({ kind: 'EndpointSliceList', apiVersion: 'discovery.k8s.io/v1', ...list }));
      return;
    }
    if (this.forgetful && Number(url.searchParams.get('resourceVersion')) < this.#version) {
      const status = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' };
      response.end(`${JSON.stringify({ type: 'ERROR', object: status })}\n`);
      return;
    }
    response.flushHeaders();
    const from = Number(url.searchParams.get('resourceVersion'));
    for (const { version, line } of this.#events) if (version > from) response.write(line);
    this.#watches.add(response);
    response.on('close', () => this.#watches.delete(response));
  }
}

function slice(name: string, hosts: readonly string[], version: number): Slice {
  return {
    metadata: { name, namespace: 'default', resourceVersion: String(version) },
    addressType: 'IPv4',
    ports: [
      { name: 'metrics', port: 9100 },
      { name: 'grpc', port: 8100 },
    ],
    endpoints: hosts.map((host) => ({ addresses: [host], conditions: { ready: true } })),
  };
}

function discoveryAt(port: number): KubernetesDiscovery {
  return new KubernetesDiscovery('default/workers:grpc', logger, (config) =>
    config.loadFromOptions({
      // The library takes plain HTTP only with this; there is no certificate to verify.
      clusters: [{ name: 'c', server: `http://127.0.0.1:${port}`, skipTLSVerify: true }],
      users: [{ name: 'u' }],
      contexts: [{ name: 'x', cluster: 'c', user: 'u' }],
      currentContext: 'x',
    }),
  );
}

async function bedOf(api: PretendApi, addresses: readonly string[]) {
  await api.listen();
  api.set(addresses);
  const discovery = api.open();
  return {
    discovery,
    set: async (all: readonly string[]) => api.set(all),
    breakDown: () => api.stop(),
    recover: () => api.listen(),
    end: async () => {
      await discovery.close();
      await api.stop();
    },
  };
}

discoveryContract((addresses) => bedOf(new PretendApi(), addresses));

/** What has the place of an API server, and answers lists and watches as the test says. Resolves with the told addresses and the trouble. */
async function asking(
  list: Answer,
  watch: Answer,
): Promise<{ told: (readonly string[])[]; trouble: () => string; asked: () => number; end(): Promise<void> }> {
  let asked = 0;
  const server = createServer((request, response) => {
    asked++;
    const [status, type, body] = request.url!.includes('watch=true') ? watch : list;
    response.writeHead(status, { 'content-type': type }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const discovery = discoveryAt((server.address() as AddressInfo).port);
  const told: (readonly string[])[] = [];
  discovery.start((addresses) => told.push(addresses));
  return {
    told,
    trouble: () => discovery.trouble ?? '',
    asked: () => asked,
    end: async () => {
      await discovery.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

type Answer = readonly [status: number, type: string, body: string];
const JSON_TYPE = 'application/json';
const listOf = (...items: unknown[]): Answer => [
  200,
  JSON_TYPE,
  JSON.stringify({ kind: 'EndpointSliceList', metadata: { resourceVersion: '5' }, items }),
];
const GOOD = listOf(slice('a', ['10.0.0.1'], 5));
const QUIET: Answer = [200, JSON_TYPE, ''];

describe('what is no good API server', () => {
  it.each<[string, Answer, Answer, string]>([
    [
      'forbids to list',
      [403, JSON_TYPE, '{"message":"no"}'],
      QUIET,
      '403: the service account may get, list and watch endpointslices',
    ],
    ['forbids to watch', GOOD, [403, JSON_TYPE, '{}'], 'in the namespace default only once a Role says so'],
    ['takes no token', [401, JSON_TYPE, '{}'], QUIET, '401: it does not accept the token'],
    ['is a page', [200, 'text/html', '<html>Sign in</html>'], QUIET, 'no list of EndpointSlices'],
    ['says nothing', [200, JSON_TYPE, '{}'], QUIET, 'no list of EndpointSlices'],
    ['stops in mid-word', [200, JSON_TYPE, '{"items":[{"a":'], QUIET, 'JSON'],
    ['is away behind its proxy', [502, 'text/html', '<html>'], QUIET, 'it answers HTTP 502'],
    [
      'ends the watch with an error',
      GOOD,
      [200, JSON_TYPE, '{"type":"ERROR","object":{"code":500,"message":"etcd"}}\n'],
      '500: etcd',
    ],
    ['ends it without a word', GOOD, [200, JSON_TYPE, '{"type":"ERROR"}\n'], 'the watch failed'],
  ])('%s: says so, and asks again with pauses', async (_what, list, watch, why) => {
    const bed = await asking(list, watch);
    await vi.waitFor(() => expect(bed.trouble()).toContain(why), { timeout: 5_000 });
    expect(bed.told).toHaveLength(1);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(bed.asked()).toBeLessThanOrEqual(4);
    await bed.end();
  });

  it.each<[string, Answer, Answer]>([
    [
      'slices with holes',
      listOf(
        slice('a', ['10.0.0.1'], 5),
        null,
        {},
        { ...slice('b', [], 5), endpoints: [{}, null, { addresses: null }, { addresses: [5] }] },
      ),
      QUIET,
    ],
    [
      'events with holes',
      GOOD,
      [
        200,
        JSON_TYPE,
        '{"kind":"Status"}\nnull\n{"type":"ADDED"}\n{"type":"ADDED","object":{"metadata":{}}}\n{"type":"DELETED","object":{}}\n<html>\n',
      ],
    ],
    ['a version that is gone, always', GOOD, [410, JSON_TYPE, '{}']],
  ])('has %s: the workers stay, and it is asked again with pauses', async (_what, list, watch) => {
    const bed = await asking(list, watch);
    await vi.waitFor(() => expect(bed.asked()).toBeGreaterThanOrEqual(2), { timeout: 5_000 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(bed.asked()).toBeLessThanOrEqual(4);
    expect(bed.told).toEqual([['10.0.0.1:8100']]);
    expect(bed.trouble()).toBe('');
    await bed.end();
  });
});

describe('workers behind a Kubernetes Service', () => {
  it('goes on when the API server ends a watch, and when it has forgotten the version', async () => {
    const api = new PretendApi();
    const bed = await bedOf(api, ['10.0.0.1:8100']);
    const told: (readonly string[])[] = [];
    bed.discovery.start((all) => told.push(all));
    await vi.waitFor(() => expect(told.length).toBe(1), { timeout: 5_000 });
    api.forgetful = true;
    await vi.waitFor(() => expect(api.requests.filter((url) => url.searchParams.has('watch')).length).toBe(1));
    api.cut();
    api.set(['10.0.0.1:8100', '10.0.0.9:8100']);
    await vi.waitFor(() => expect(told.at(-1)).toEqual(['10.0.0.1:8100', '10.0.0.9:8100']), { timeout: 8_000 });
    await bed.end();
  });

  it('takes the port by its name or number, those that are ready, and no slice without that port', () => {
    const endpoints = [
      { addresses: ['10.0.0.1'], conditions: { ready: true } },
      { addresses: ['10.0.0.2'], conditions: {} },
      { addresses: ['10.0.0.3'], conditions: { ready: false, serving: true, terminating: true } },
      { addresses: ['fd00::4'] },
    ];
    const slices = [{ addressType: 'IPv4', endpoints, ports: [{ name: 'grpc', port: 8100 }] }];
    const ready = ['10.0.0.1:8100', '10.0.0.2:8100', '[fd00::4]:8100'];
    expect(addressesIn(slices, 'grpc')).toEqual(ready);
    expect(addressesIn(slices, '8100')).toEqual(ready);
    expect(addressesIn(slices, 'http')).toEqual([]);
  });

  it('counts a pod with addresses of both families once', () => {
    const endpoint = (address: string, uid: string) => ({ addresses: [address], targetRef: { uid } });
    const slices = [
      { endpoints: [endpoint('fd00::1', 'a'), endpoint('fd00::2', 'b')], ports: [{ name: 'grpc', port: 8100 }] },
      { endpoints: [endpoint('10.0.0.1', 'a')], ports: [{ name: 'grpc', port: 8100 }] },
    ];
    expect(addressesIn(slices, 'grpc')).toEqual(['[fd00::2]:8100', '10.0.0.1:8100']);
  });

  it.each(['workers:8100', 'default/workers', 'default/workers:', 'Default/workers:1', ''])(
    'refuses "%s" as a Service',
    (text) => expect(() => workersService(text)).toThrow('`workersService` is'),
  );
});
