import type { UpstreamEntry } from '@millrace/contracts';
import { countIn } from './counts.js';
import { PRESETS } from './presets.js';
import { proxyOf, UnusableUpstream, upstreamAddress, upstreamSecret } from './upstream-access.js';
import { BROKEN_CERTIFICATE, UpstreamClient } from './upstream-client.js';
import { UpstreamFailure } from './upstream-failure.js';

export interface ListedModel {
  readonly id: string;
  readonly contextLength: number | undefined;
}

/** What a server says when it is asked for its models, which costs nothing. */
export type Ping =
  | { readonly kind: 'there'; readonly models: readonly ListedModel[] }
  /** It refuses the key, or wants one. */
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'loading' }
  /** It is there and has trouble, or too much to do: whether it takes the key is not known. */
  | { readonly kind: 'unwell'; readonly why: string }
  | { readonly kind: 'away'; readonly why: string };

/** What a ping of a provider comes to, for whoever runs the gateway. `name`: `groq at https://api.groq.com/openai/v1`. */
export type ProviderPing =
  | { readonly verdict: 'fine'; readonly name: string; readonly ping: Ping }
  /** It may answer all the same. */
  | { readonly verdict: 'doubtful'; readonly name: string; readonly ping: Ping; readonly sentence: string }
  | { readonly verdict: 'wrong'; readonly name: string; readonly sentence: string };

export interface ProviderAccess {
  readonly upstream: UpstreamEntry;
  /** Where the key is, and a proxy for HTTPS. */
  readonly environment: NodeJS.ProcessEnv;
}

export const PING_TIMEOUT_MS = 5_000;
const LIST_BYTES_MAX = 4 * 1024 * 1024;

/** Two entries of one provider have the same, and need one ping. Not the key: it is where its variable is. */
export function providerKey({ preset, url, apiKeyEnv }: UpstreamEntry): string {
  return JSON.stringify([
    preset,
    (url ?? PRESETS[preset].url)?.replace(/\/+$/, ''),
    apiKeyEnv ?? PRESETS[preset].keyEnv,
  ]);
}

/**
 * Whether a provider can be used: its key is there, it can be reached, and it takes the key.
 *
 * `wrong` is what a person has to mend, or a network: no key, a key that is refused (401, 403), an account without
 * credit (402), an address that leads nowhere or elsewhere (404, redirects, pages of HTML). A provider that has too much
 * to do (429) or trouble of its own (5xx) is `doubtful`: it was reached, such things pass, and its answers may work though
 * its list of models does not.
 *
 * @throws what `signal` was aborted with; nothing else.
 */
export async function pingProvider(
  { upstream, environment }: ProviderAccess,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ProviderPing> {
  const preset = PRESETS[upstream.preset];
  let name: string = upstream.preset;
  let client: UpstreamClient | undefined;
  try {
    const baseUrl = upstreamAddress(upstream, preset);
    name = `${upstream.preset} at ${baseUrl.href.replace(/\/$/, '')}`;
    const secret = upstreamSecret(upstream, preset, environment);
    client = new UpstreamClient({
      baseUrl,
      subject: { model: upstream.model ?? '', preset: upstream.preset, secret },
      socketsMax: 1,
      proxy: proxyOf(environment),
      connectTimeoutMs: Math.min(upstream.connectTimeoutMs, timeoutMs),
      silenceMsMax: timeoutMs,
    });
    const ping = inShort(await pingOver(client, timeoutMs, signal, preset.needsKey === true));
    const variable = upstream.apiKeyEnv ?? preset.keyEnv;
    return judged(name, ping, { variable, hasKey: secret.exists });
  } catch (error) {
    if (!(error instanceof UnusableUpstream)) throw error;
    return { verdict: 'wrong', name, sentence: `The provider ${name} ${error.message}` };
  } finally {
    client?.close();
  }
}

function judged(
  name: string,
  ping: Ping,
  { variable, hasKey }: { readonly variable: string | undefined; readonly hasKey: boolean },
): ProviderPing {
  const who = `The provider ${name}`;
  switch (ping.kind) {
    case 'there':
      return { verdict: 'fine', name, ping };
    case 'loading':
      return { verdict: 'doubtful', name, ping, sentence: `${who} is loading its model.` };
    case 'unwell':
      return { verdict: 'doubtful', name, ping, sentence: `${who} is not well: ${ping.why} It is asked all the same.` };
    case 'refused': {
      const place = variable ?? 'a variable of the environment, and name it by `apiKeyEnv`';
      const what = hasKey ? `refuses the key in ${variable}` : 'wants a key, and there is none';
      return { verdict: 'wrong', name, sentence: `${who} ${what}: ${ping.why} Put a valid one into ${place}.` };
    }
    case 'away': {
      const remedy = BROKEN_CERTIFICATE.test(ping.why)
        ? 'Is its certificate in order? One of an authority of your own has to be in the file that NODE_EXTRA_CA_CERTS names.'
        : 'Is the network there, and `upstream.url` in the models file right?';
      return { verdict: 'wrong', name, sentence: `${who} does not answer: ${ping.why} ${remedy}` };
    }
  }
}

/** Who it is about is said before. */
function inShort(ping: Ping): Ping {
  return ping.kind === 'away' ? { ...ping, why: ping.why.replace(/^The server of `[^`]*` \([^)]*\)/, 'it') } : ping;
}

/**
 * @param listsModels whether there must be a list: a server without one is a server all the same, a provider without one is
 *   another address.
 * @throws what `signal` was aborted with.
 */
export async function pingOver(
  client: UpstreamClient,
  timeoutMs: number,
  signal: AbortSignal,
  listsModels = false,
): Promise<Ping> {
  // Nothing of it may take long, not even byte by byte.
  const timeUp = AbortSignal.timeout(timeoutMs);
  const short = AbortSignal.any([signal, timeUp]);
  try {
    const response = await client.send({ method: 'GET', url: client.urlOf('/models') }, short);
    try {
      return pingIn(response.status, await response.text(LIST_BYTES_MAX), listsModels);
    } finally {
      response.close();
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (timeUp.aborted) return { kind: 'away', why: `it said nothing for ${timeoutMs.toLocaleString('en-US')} ms.` };
    if (error instanceof UpstreamFailure) return { kind: 'away', why: error.message };
    throw error;
  }
}

function pingIn(status: number, body: string, listsModels: boolean): Ping {
  const why = `it answers with status ${status}.`;
  if (status === 401 || status === 403) return { kind: 'refused', why };
  if (status === 503 && /loading/i.test(body)) return { kind: 'loading' };
  if (status === 429 || status >= 500) return { kind: 'unwell', why };
  // A redirect is not followed: the key is for this address.
  if (status === 402 || (status >= 300 && status < 400) || (listsModels && status === 404))
    return { kind: 'away', why };
  const models = status === 200 ? listedIn(body) : [];
  if (models !== undefined) return { kind: 'there', models };
  return { kind: 'away', why: 'it answers with something that is no JSON. Is `upstream.url` right?' };
}

/** Undefined where it is no JSON. */
function listedIn(body: string): ListedModel[] | undefined {
  try {
    const { data } = JSON.parse(body) as { data?: unknown };
    return Array.isArray(data) ? data.flatMap((model) => listedModel(model) ?? []) : [];
  } catch {
    return undefined;
  }
}

/** The names of vLLM and MAX, Groq, Fireworks, and llama-server. */
function listedModel(model: unknown): ListedModel | undefined {
  const {
    id,
    max_model_len: vllm,
    context_window: groq,
    context_length: fireworks,
    meta,
  } = (model ?? {}) as Record<string, unknown>;
  if (typeof id !== 'string') return undefined;
  const llamaServer = (meta as { n_ctx?: unknown } | undefined)?.n_ctx;
  return { id, contextLength: [vllm, groq, fireworks, llamaServer].map(countIn).find((told) => told) };
}
