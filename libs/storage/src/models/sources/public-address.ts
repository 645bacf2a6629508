import type { LookupAddress, LookupOptions } from 'node:dns';
import { lookup } from 'node:dns';
import { BlockList, isIP, isIPv6 } from 'node:net';
import { ModelProblem } from '../model-problem.js';

/** Of this machine, of its network, of whoever runs it (169.254.169.254 tells a cloud's secrets), or of nobody. */
const NOT_PUBLIC_V4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
];
/**
 * Only 2000::/3 is public at all, so that loopback, fd00::/8, fe80::/10, IPv4 in IPv6 and NAT64 need no line. Within it are those that carry
 * an IPv4 address, and those for documents.
 */
const PUBLIC_V6 = ['2000::', 3] as const;
const NOT_PUBLIC_V6: readonly (readonly [string, number])[] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
];

const refused = new BlockList();
for (const [network, prefix] of NOT_PUBLIC_V4) refused.addSubnet(network, prefix, 'ipv4');
for (const [network, prefix] of NOT_PUBLIC_V6) refused.addSubnet(network, prefix, 'ipv6');
const publicV6 = new BlockList();
publicV6.addSubnet(...PUBLIC_V6, 'ipv6');

/** Whether a numeric address is one of the internet's. */
export function isPublicAddress(address: string): boolean {
  const bare = address.replace(/%.*$/, '');
  if (isIPv6(bare)) return publicV6.check(bare, 'ipv6') && !refused.check(bare, 'ipv6');
  return isIP(bare) === 4 && !refused.check(bare, 'ipv4');
}

/** Which addresses may be connected to. */
export type AddressRule = (address: string) => boolean;

/** @throws ModelProblem for a host that is itself an address that may not be asked: such are never looked up. */
export function checkLiteralHost(hostname: string, mayAsk: AddressRule): void {
  const bare = hostname.replace(/^\[(.*)\]$/, '$1');
  if (isIP(bare) !== 0 && !mayAsk(bare)) throw refusedAddress(hostname, bare);
}

type LookupCallback = (error: Error | null, address: string | LookupAddress[], family?: number) => void;

/**
 * As a socket looks up a name. All addresses of it are checked, and it connects to one of these very addresses: a name that means another
 * the next time that it is asked for leads nowhere.
 */
export function guardedLookup(mayAsk: AddressRule, resolve: typeof lookup = lookup) {
  return (hostname: string, options: LookupOptions, callback: LookupCallback): void => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, []);
      const bad = addresses.find(({ address }) => !mayAsk(address));
      if (bad !== undefined) return callback(refusedAddress(hostname, bad.address), []);
      if (options.all) return callback(null, addresses);
      const first = addresses[0]!;
      callback(null, first.address, first.family);
    });
  };
}

function refusedAddress(host: string, address: string): ModelProblem {
  const which = host.replace(/^\[(.*)\]$/, '$1') === address ? address : `${host} (${address})`;
  return new ModelProblem(
    'source',
    `${which} is an address of this machine or of a private network, which models are not fetched from. Where that is meant, give --allow-private, or the setting modelSourcesPrivate for a gateway.`,
  );
}
