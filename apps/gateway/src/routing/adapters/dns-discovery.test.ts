import { describe, expect, it, vi } from 'vitest';
import { discoveryContract } from '../worker-discovery.contract.js';
import { DnsDiscovery, type Names } from './dns-discovery.js';

/** Names as a server has them that may be away. */
class PretendNames implements Names {
  asked = 0;
  away = false;

  constructor(public hosts: readonly string[]) {}

  async addresses() {
    this.#ask();
    return this.hosts.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  }

  async services() {
    this.#ask();
    return this.hosts.map((name, index) => ({ name, port: 9_000 + index }));
  }

  #ask(): void {
    this.asked++;
    if (this.away) throw Object.assign(new Error('queryA ESERVFAIL'), { code: 'ESERVFAIL' });
    if (this.hosts.length === 0) throw Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' });
  }
}

const hostOf = (address: string) => address.replace(/:\d+$/, '').replace(/[[\]]/g, '');

discoveryContract(async (addresses) => {
  const names = new PretendNames(addresses.map(hostOf));
  const discovery = new DnsDiscovery({ name: 'workers.default.svc:8100', intervalMs: 10 }, names);
  return {
    discovery,
    set: async (all) => {
      names.hosts = all.map(hostOf);
    },
    breakDown: async () => {
      names.away = true;
    },
    recover: async () => {
      names.away = false;
    },
    end: () => discovery.close(),
  };
});

describe('workers by DNS', () => {
  it("asks the system's own resolver", async () => {
    const discovery = new DnsDiscovery({ name: 'localhost:8100', intervalMs: 10 });
    const told: string[][] = [];
    discovery.start((all) => told.push([...all]));
    await vi.waitFor(() => expect(told.length).toBe(1), { timeout: 5_000 });
    expect(told[0]!.every((address) => ['127.0.0.1:8100', '[::1]:8100'].includes(address))).toBe(true);
    expect(told[0]).not.toEqual([]);
    await discovery.close();
  });

  it('takes host and port of SRV records where no port is given', async () => {
    const discovery = new DnsDiscovery({ name: '_grpc._tcp.workers', intervalMs: 10 }, new PretendNames(['a', 'b']));
    const told: string[][] = [];
    discovery.start((all) => told.push([...all]));
    await vi.waitFor(() => expect(told).toEqual([['a:9000', 'b:9001']]));
    await discovery.close();
  });

  it('believes in an empty answer only when it is given several times, and says what may be wrong', async () => {
    const names = new PretendNames(['10.0.0.1']);
    const discovery = new DnsDiscovery({ name: 'workers:8100', intervalMs: 5 }, names);
    const told: (readonly string[])[] = [];
    const askedAt: number[] = [];
    discovery.start((all) => {
      told.push(all);
      askedAt.push(names.asked);
    });
    await vi.waitFor(() => expect(told.length).toBe(1));
    const before = names.asked;
    names.hosts = [];
    await vi.waitFor(() => expect(told.at(-1)).toEqual([]));
    expect(askedAt[1]! - before).toBeGreaterThanOrEqual(3);
    expect(discovery.trouble).toContain('`workersDns` is wrong');
    await discovery.close();
  });

  it.each(['', 'workers:http', 'http://workers:8100', 'workers:70000', '[::1]:8100', 'a b:1'])(
    'refuses "%s" as a name',
    (name) => {
      expect(() => new DnsDiscovery({ name, intervalMs: 10 }, new PretendNames([]))).toThrow('`workersDns` is');
    },
  );
});
