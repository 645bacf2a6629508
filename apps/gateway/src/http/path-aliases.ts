import { InferenceError, PATH_ALIASES, PATHS_WITHOUT_V1, type PathAlias } from '@millrace/contracts';
import type { FastifyInstance } from 'fastify';

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
  for (const { from, to } of ALIASES) if (from.test(url)) return withoutApiVersion(url, url.replace(from, to));
  return isWithoutV1(url) ? `/v1${url}` : url;
}

/**
 * Where the path says which model is asked for, as Azure's clients have it: that is a deployment, and what the body names is what somebody
 * calls it. Call it behind what reads bodies.
 */
export function takeModelsOfPaths(fastify: FastifyInstance): void {
  fastify.addHook('preValidation', (request, _reply, done) => {
    const { body, originalUrl } = request;
    const [, model] = DEPLOYMENT.exec(withoutOrigin(originalUrl)) ?? [];
    if (model === undefined || !isRecord(body)) return done();
    const named = decoded(model);
    if (named === undefined) return done(undecodable(model));
    request.body = { ...body, model: named };
    done();
  });
}

/** What has been asked for by another name: a pattern, and what goes in the place of what fits. */
const ALIASES = PATH_ALIASES.map((alias) => ({ from: patternOf(alias), to: alias.to }));
const DEPLOYMENT = /^\/openai\/deployments\/([^/?#]+)\//;

function patternOf({ from, only }: PathAlias): RegExp {
  const behind = only === undefined ? '' : `(?=(?:${only.join('|')})(?:[/?]|$))`;
  return new RegExp(`^${from.replace('{model}', '[^/?#]+')}${behind}`);
}

/** Azure's clients send it with everything; there is one version here. */
function withoutApiVersion(asked: string, url: string): string {
  if (!asked.startsWith('/openai/')) return url;
  return url.replace(/([?&])api-version=[^&]*(&|$)/, (_, before: string, behind: string) => (behind ? before : ''));
}

function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

function undecodable(part: string): InferenceError {
  return new InferenceError(
    'invalid_request',
    `The deployment ${JSON.stringify(part.slice(0, 60))} is no encoded text. Encode the model's name as UTF-8, as encodeURIComponent does.`,
    { param: 'model' },
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
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
