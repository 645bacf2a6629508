import { PATH_ALIASES, PATHS_WITHOUT_V1 } from '@millrace/contracts';

/** What clients put before the path that take this server for a proxy; RFC 9112 has every server read it. */
const ORIGIN = /^https?:\/\/[^/?#]*(?=\/)/i;

/**
 * The URL under which a request is served: its own, or the one that its path stands for. It is put in the place of its own before any
 * route is looked for, so that keys, limits, metrics and CORS can't be other for one name of a path than for another.
 */
export function servedUrl(asked: string): string {
  if (asked.startsWith('/v1/')) return asked;
  const url = withoutOrigin(asked);
  if (url.startsWith('/v1/')) return url;
  for (const { from, to } of PATH_ALIASES) if (url.startsWith(from)) return to + url.slice(from.length);
  return isWithoutV1(url) ? `/v1${url}` : url;
}

export function withoutOrigin(url: string): string {
  return url.replace(ORIGIN, '');
}

function isWithoutV1(url: string): boolean {
  return PATHS_WITHOUT_V1.some((path) => {
    if (!url.startsWith(path)) return false;
    const next = url[path.length];
    return path.endsWith('/') ? next !== undefined && next !== '?' : next === undefined || next === '/' || next === '?';
  });
}
