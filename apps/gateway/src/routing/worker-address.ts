import { isIPv6 } from 'node:net';

/** The longest name that DNS has is shorter. */
const CHARACTERS_MAX = 300;

/**
 * Whether it is `host:port`, with brackets around a host that is an IPv6 address. What others tell of workers is only that: gRPC would
 * take `unix:/run/some.sock` and the like for an address, too.
 */
export function isWorkerAddress(text: string): boolean {
  if (text.length > CHARACTERS_MAX) return false;
  const parts =
    /^(?:\[(?<v6>[^\]]+)\]|(?<name>[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?)):(?<port>\d{1,5})$/.exec(text);
  const { v6, port } = parts?.groups ?? {};
  if (parts === null || (v6 !== undefined && !isIPv6(v6))) return false;
  return Number(port) >= 1 && Number(port) <= 65_535;
}
