import { errorSchema } from '@millrace/contracts';
import { tlsFailure } from '@millrace/runtime';
import { CommandError } from './command.js';
import { fetchGateway, type GatewayRequest } from './fetch-gateway.js';

/** Somebody answers, and refuses. */
export class RefusedError extends CommandError {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/**
 * Asks a gateway. What goes wrong becomes a `CommandError` with a sentence: nobody answers there, or the gateway refuses.
 */
export async function askGateway(base: string, path: string, init: GatewayRequest = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetchGateway(`${base}${path}`, init);
  } catch (error) {
    if (init.signal?.aborted || error instanceof CommandError) throw error;
    throw new CommandError(nobodyAnswers(base, error));
  }
  if (!response.ok) {
    throw new RefusedError((await refusalText(response)) + keyHint(response, path, init), response.status);
  }
  return response;
}

/** A gateway that runs, or undefined when nobody listens there. */
export async function answersAt(
  base: string,
  path: string,
  headers: Record<string, string> = {},
  timeoutMs = 2_000,
): Promise<Response | undefined> {
  try {
    return await fetchGateway(`${base}${path}`, { headers, signal: AbortSignal.timeout(timeoutMs) });
  } catch {
    return undefined;
  }
}

function nobodyAnswers(base: string, error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const untrusted = notTrusted(cause);
  if (untrusted !== undefined) return `The gateway at ${base} is not believed: ${untrusted}.`;
  const code = (cause as NodeJS.ErrnoException).code ?? (error instanceof Error ? error.message : String(error));
  return `No gateway answers at ${base} (${code}). Start one with \`millrace serve\`, or say where it is with --url.`;
}

/** Why its certificate is refused, as the end of a sentence; undefined: that is not why. */
export function notTrusted(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error.message.startsWith('it shows another certificate')) return error.message;
  return tlsFailure(error.message, 'tls');
}

async function refusalText(response: Response): Promise<string> {
  const message = messageOf(await response.text()) ?? `The server answered ${response.status} ${response.statusText}.`;
  const retryAfter = response.headers.get('retry-after');
  return retryAfter === null || /\b(try|ask) again\b/i.test(message)
    ? message
    : `${message} Try again in ${retryAfter} s.`;
}

/** What the admin key opens; the refusal says which that is. */
const ADMIN_PATH = /^\/(admin\/|metrics$|health$)/;

/** What to do about a 401: the gateway speaks to all clients, and we know which one this is. */
function keyHint({ status }: Response, path: string, { headers }: GatewayRequest): string {
  if (status !== 401 || ADMIN_PATH.test(path)) return '';
  const given = new Headers(headers).has('authorization');
  return given
    ? ' It came from MILLRACE_API_KEY, or from the admin key of this folder.'
    : ' Put it into MILLRACE_API_KEY.';
}

/** The sentence of an OpenAI error body, if it is one. */
export function messageOf(body: string): string | undefined {
  try {
    return errorSchema.parse(JSON.parse(body)).error.message;
  } catch {
    return undefined;
  }
}
