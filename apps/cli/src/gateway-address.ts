import type { Settings } from '@millrace/contracts';
import { CommandError } from './command.js';

/** Where a gateway that listens on these settings is reached from this machine, without a path. */
export function gatewayUrl(
  settings: Pick<Settings, 'host' | 'port'> & Partial<Pick<Settings, 'tls.certFile'>>,
): string {
  const scheme = settings['tls.certFile'] === undefined ? 'http' : 'https';
  return `${scheme}://${hostAndPort(settings.host, settings.port)}`;
}

/** `host:port` to connect to, for something that listens on `host`. */
export function hostAndPort(host: string, port: number): string {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  // All addresses is where one listens, not where one connects to.
  const reachable = bare === '0.0.0.0' ? '127.0.0.1' : bare === '::' ? '::1' : bare;
  return reachable.includes(':') ? `[${reachable}]:${port}` : `${reachable}:${port}`;
}

/** A user's `--url`, with or without `/v1` or a slash behind it, as `gatewayUrl` would write it. */
export function urlOfGateway(url: string): string {
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? '')) {
    throw new CommandError(
      `--url is ${JSON.stringify(url)}, which is no address of a server. Write one such as http://127.0.0.1:8000.`,
    );
  }
  return url.replace(/\/+$/, '').replace(/\/v1$/, '');
}
