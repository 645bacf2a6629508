import { setTimeout as sleep } from 'node:timers/promises';
import { countIn } from './counts.js';
import type { OpenAiEngineOptions } from './open-openai-engine.js';
import type { Preset } from './presets.js';
import type { UpstreamClient } from './upstream-client.js';
import { sentence, UpstreamFailure, type UpstreamSubject } from './upstream-failure.js';

export interface Greeting {
  readonly options: OpenAiEngineOptions;
  readonly client: UpstreamClient;
  readonly subject: UpstreamSubject;
  readonly upstreamModel: string;
  readonly preset: Preset;
}

/** What the upstream told of the model. */
export interface Greeted {
  readonly contextLength?: number | undefined;
}

interface ListedModel {
  readonly id: string;
  readonly contextLength: number | undefined;
}

type Pong =
  | { readonly kind: 'there'; readonly models: readonly ListedModel[] }
  | { readonly kind: 'refused' | 'loading' }
  | { readonly kind: 'away'; readonly why: string };

const PING_TIMEOUT_MS = 5_000;
const LOADING_POLL_MS = 500;
/** A server that loads for longer is opened all the same: it refuses by itself until it is ready. */
const LOADING_MS_MAX = 600_000;
const LIST_BYTES_MAX = 4 * 1024 * 1024;
const LISTED_MAX = 10;

/**
 * Asks the upstream for its models, which costs nothing, to see whether it is there and takes the key. One that is away may
 * come back, so that is only reported.
 *
 * @throws Error with a sentence for whoever runs it, when the key is refused; what `signal` was aborted with.
 */
export async function greetUpstream(greeting: Greeting, signal: AbortSignal): Promise<Greeted> {
  const { report } = greeting.options;
  const untilMs = performance.now() + LOADING_MS_MAX;
  let waited = false;
  for (;;) {
    const pong = await ping(greeting, signal);
    switch (pong.kind) {
      case 'refused':
        throw new Error(refusedKey(greeting));
      case 'loading':
        if (!waited) report(`${serverOf(greeting)} is loading its model; waiting for it.`);
        if (performance.now() > untilMs) return {};
        waited = true;
        await pause(signal);
        break;
      case 'away':
        report(`${serverOf(greeting)} is away: ${pong.why} It is asked again for every request.`);
        return {};
      case 'there':
        return lookedUp(greeting, pong.models);
    }
  }
}

async function ping({ client }: Greeting, signal: AbortSignal): Promise<Pong> {
  // Nothing of it may take long, not even byte by byte.
  const short = AbortSignal.any([signal, AbortSignal.timeout(PING_TIMEOUT_MS)]);
  try {
    const response = await client.send({ method: 'GET', url: client.urlOf('/models') }, short);
    try {
      return pongOf(response.status, await response.text(LIST_BYTES_MAX));
    } finally {
      response.close();
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (short.aborted)
      return { kind: 'away', why: `it said nothing for ${PING_TIMEOUT_MS.toLocaleString('en-US')} ms.` };
    if (error instanceof UpstreamFailure) return { kind: 'away', why: error.message };
    throw error;
  }
}

function pongOf(status: number, body: string): Pong {
  if (status === 401 || status === 403) return { kind: 'refused' };
  if (status === 503 && /loading/i.test(body)) return { kind: 'loading' };
  // A redirect is not followed: the key is for this address.
  if (status >= 500 || (status >= 300 && status < 400)) {
    return { kind: 'away', why: `it answers with status ${status}.` };
  }
  // A server without such a list is a server all the same.
  const models = status === 200 ? listedIn(body) : [];
  if (models !== undefined) return { kind: 'there', models };
  return { kind: 'away', why: 'it answers with something that is no JSON. Is `upstream.url` right?' };
}

function lookedUp(greeting: Greeting, models: readonly ListedModel[]): Greeted {
  const { upstreamModel, preset, options } = greeting;
  const only = preset.anyModel ? models[0] : undefined;
  const found = models.find(({ id }) => isSameModel(id, upstreamModel)) ?? only;
  if (found !== undefined) return { contextLength: found.contextLength };
  if (models.length > 0) {
    const listed = models.slice(0, LISTED_MAX).map(({ id }) => id);
    const named = sentence(listed.join(', '), greeting.subject.secret);
    const more = models.length > LISTED_MAX ? `, and ${models.length - LISTED_MAX} more` : '';
    options.report(`${serverOf(greeting)} lists no model "${upstreamModel}"; it has ${named}${more}.`);
  }
  return {};
}

/** Ollama adds a tag, and others leave the owner out. */
function isSameModel(listed: string, asked: string): boolean {
  return (
    listed === asked || listed === `${asked}:latest` || listed.endsWith(`/${asked}`) || asked.endsWith(`/${listed}`)
  );
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

function serverOf({ options: { model, upstream } }: Greeting): string {
  return `The server of ${model.id} (${upstream.preset})`;
}

function refusedKey(greeting: Greeting): string {
  const { options, preset, subject } = greeting;
  const variable = options.upstream.apiKeyEnv ?? preset.keyEnv;
  const place = variable === undefined ? 'a variable of the environment, and name it by `apiKeyEnv`' : variable;
  const what = subject.secret.exists ? 'refuses the key it was given' : 'wants a key, and there is none';
  return `${serverOf(greeting)} ${what}. Put a valid one into ${place}.`;
}

async function pause(signal: AbortSignal): Promise<void> {
  try {
    await sleep(LOADING_POLL_MS, undefined, { signal });
  } catch {
    throw signal.reason;
  }
}
