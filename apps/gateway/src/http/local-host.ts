import { isIP } from 'node:net';
import { hostname } from 'node:os';

/** Beneath these nobody on the Internet can have a name. */
const LOCAL_NAMES = ['localhost', 'local', 'internal', 'home.arpa'];

/**
 * Whether a `Host` header can come from somebody who means this machine. A web page can have a name of its own lead to 127.0.0.1, and
 * is then of one origin with what listens here; but its name stands in the header. An address is never such a name: a browser that was
 * given one goes nowhere else. Nor is a word without a dot.
 *
 * Absent, as HTTP/1.0 has it: no browser leaves it out.
 */
export function meansThisMachine(host: string | undefined): boolean {
  if (host === undefined) return true;
  const [, address, name] = /^(?:\[([^\]]*)\]|([a-z0-9._-]+?)\.?)(?::\d*)?$/i.exec(host) ?? [];
  if (address !== undefined) return isIP(address) === 6;
  if (name === undefined || name.startsWith('.')) return false;
  const lower = name.toLowerCase();
  if (isIP(lower) === 4 || !lower.includes('.') || lower === hostname().toLowerCase()) return true;
  return LOCAL_NAMES.some((local) => lower.endsWith(`.${local}`));
}
