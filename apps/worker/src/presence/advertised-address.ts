import { isIPv6 } from 'node:net';
import { ConfigurationError } from '@millrace/runtime';

/** Addresses that mean "all of this machine's": nobody can be sent there. */
const ANY: ReadonlySet<string> = new Set(['0.0.0.0', '::', '[::]']);

/**
 * Where gateways reach this worker.
 *
 * @throws ConfigurationError where it listens on all addresses and was not told which of them is known to others, or was told what is no address.
 */
export function advertisedAddress(
  { workerAdvertise, workerHost }: { readonly workerAdvertise?: string | undefined; readonly workerHost: string },
  port: number,
): string {
  if (workerAdvertise !== undefined) return completed(workerAdvertise, port);
  if (ANY.has(workerHost)) {
    throw new ConfigurationError([
      `\`workerHost\` is ${workerHost}, which is no address that a gateway could be sent to. Say by \`workerAdvertise\` where this worker is reached, such as 10.0.0.7:${port}; in Kubernetes, the pod's own address.`,
    ]);
  }
  return `${bracketed(workerHost)}:${port}`;
}

/** With the port that it listens on, where none is given. */
function completed(text: string, listening: number): string {
  const { host, port = String(listening) } = isIPv6(text)
    ? { host: bracketed(text) }
    : (/^(?<host>\[[\da-f:.]+\]|[\w.-]+)(?::(?<port>\d{1,5}))?$/i.exec(text)?.groups ?? {});
  if (host === undefined || ANY.has(host) || Number(port) < 1 || Number(port) > 65_535) {
    throw new ConfigurationError([
      `\`workerAdvertise\` is "${text}", which is no address that a gateway could be sent to. Write host:port, such as 10.0.0.7:${listening}.`,
    ]);
  }
  return `${host}:${port}`;
}

function bracketed(host: string): string {
  return isIPv6(host) ? `[${host}]` : host;
}
