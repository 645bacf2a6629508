import { setTimeout as sleep } from 'node:timers/promises';
import type { ModelDescription, UpstreamEntry } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { OpenAiEngine } from './openai-engine.js';
import { PRESETS, type Preset } from './presets.js';
import { unheardDefaults } from './sampling-fields.js';
import { Secret } from './secret.js';
import { UpstreamClient } from './upstream-client.js';
import { sentence, UpstreamFailure, type UpstreamSubject } from './upstream-failure.js';

export interface OpenAiEngineOptions {
  readonly model: Omit<ModelDescription, 'engine'>;
  readonly upstream: UpstreamEntry;
  /** Where the key is; nothing else is read from it. */
  readonly environment: NodeJS.ProcessEnv;
  readonly limits: {
    /** Answers that may wait for one of `maxConcurrent` places. */
    readonly queueMax: number;
    readonly requestTimeoutMs: number;
  };
  readonly logger: Logger;
  /** Told what is worth knowing while it opens, a sentence each. */
  report(sentence: string): void;
}

const PING_TIMEOUT_MS = 5_000;
const LOADING_POLL_MS = 500;
/** A server that loads for longer is opened all the same: it refuses by itself until it is ready. */
const LOADING_MS_MAX = 600_000;
const MODELS_BYTES_MAX = 4 * 1024 * 1024;
/** Connections beside those of answers: for tokens, and for the ping. */
const SIDE_SOCKETS = 8;
const LISTED_MAX = 10;

/**
 * Opens an engine on another server: its key is there and is taken, and it can be reached or will be.
 *
 * @throws Error with a sentence for whoever runs it, when it can't work: no key, a wrong key, no address.
 */
export async function openOpenAiEngine(options: OpenAiEngineOptions, signal: AbortSignal): Promise<OpenAiEngine> {
  const { upstream, model, limits, logger } = options;
  const preset = PRESETS[upstream.preset];
  const secret = secretOf(options, preset);
  const subject: UpstreamSubject = { model: model.id, preset: upstream.preset, secret };
  const client = new UpstreamClient({
    baseUrl: baseUrlOf(options, preset),
    subject,
    socketsMax: upstream.maxConcurrent + SIDE_SOCKETS,
    connectTimeoutMs: upstream.connectTimeoutMs,
    silenceMsMax: upstream.silenceMsMax,
  });
  const upstreamModel = upstream.model ?? model.id;
  reportUnheardDefaults(options, preset);
  try {
    await greet({ ...options, client, subject, upstreamModel, preset }, signal);
  } catch (error) {
    client.close();
    throw error;
  }
  return new OpenAiEngine({
    model: { ...model, engine: `openai-compatible: ${upstream.preset}` },
    preset,
    subject,
    upstreamModel,
    client,
    limits: { ...limits, maxConcurrent: upstream.maxConcurrent, retriesMax: upstream.retriesMax },
    logger,
  });
}

function secretOf({ model, upstream, environment }: OpenAiEngineOptions, preset: Preset): Secret {
  const name = upstream.apiKeyEnv ?? preset.keyEnv;
  const key = name === undefined ? undefined : environment[name]?.trim() || undefined;
  // A variable that the models file names must be there; one that a preset only knows of need not.
  if (key === undefined && name !== undefined && (preset.needsKey || upstream.apiKeyEnv !== undefined)) {
    throw new Error(
      `The model "${model.id}" needs a key for its server (${upstream.preset}): put it into the environment variable ${name}.`,
    );
  }
  if (key !== undefined && !/^[\x21-\x7e]+$/.test(key)) {
    throw new Error(
      `The environment variable ${name} holds no key: it has a space, a line break or a character that a header can't have.`,
    );
  }
  return new Secret(key);
}

function baseUrlOf({ model, upstream }: OpenAiEngineOptions, preset: Preset): URL {
  const address = upstream.url ?? preset.url;
  if (address === undefined) {
    throw new Error(
      `The model "${model.id}" needs \`upstream.url\`: preset ${upstream.preset} has no address of its own.`,
    );
  }
  const url = new URL(address);
  if (url.username !== '' || url.password !== '') {
    throw new Error(
      `The \`upstream.url\` of the model "${model.id}" has a key in it. Name a variable by \`apiKeyEnv\` instead.`,
    );
  }
  if (url.search !== '' || url.hash !== '') {
    throw new Error(`The \`upstream.url\` of the model "${model.id}" has a part from ? or # on. Leave it out.`);
  }
  url.pathname = url.pathname.replace(/\/+$/, '');
  return url;
}

function reportUnheardDefaults({ model, upstream, report }: OpenAiEngineOptions, preset: Preset): void {
  const unheard = unheardDefaults(model.samplingDefaults, preset);
  if (unheard.length === 0) return;
  const names = unheard.join(', ');
  report(`The server of ${model.id} (${upstream.preset}) doesn't know ${names}; the defaults for it are not in force.`);
}

interface Greeting extends OpenAiEngineOptions {
  readonly client: UpstreamClient;
  readonly subject: UpstreamSubject;
  readonly upstreamModel: string;
  readonly preset: Preset;
}

/** Asks for its models, to see whether it is there and takes the key. @throws Error when it doesn't take the key. */
async function greet(greeting: Greeting, signal: AbortSignal): Promise<void> {
  const { model, upstream, report, subject } = greeting;
  const untilMs = performance.now() + LOADING_MS_MAX;
  for (let polls = 0; ; polls++) {
    const reply = await ping(greeting, signal);
    if (reply.kind === 'refused') {
      throw new Error(
        `The server of the model "${model.id}" (${upstream.preset}) refuses the key${subject.secret.exists ? '' : ': there is none'}. Put a valid one into ${upstream.apiKeyEnv ?? greeting.preset.keyEnv ?? 'a variable and name it by `apiKeyEnv`'}.`,
      );
    }
    if (reply.kind === 'loading' && performance.now() < untilMs) {
      if (polls === 0) report(`The server of ${model.id} (${upstream.preset}) is loading its model; waiting for it.`);
      await sleep(LOADING_POLL_MS, undefined, { signal });
      continue;
    }
    if (reply.kind === 'away') {
      report(
        `The server of ${model.id} (${upstream.preset}) is away (${reply.detail}); it is asked again for every request.`,
      );
    }
    if (reply.kind === 'there') reportMissingModel(greeting, reply.models);
    return;
  }
}

type Pong =
  | { readonly kind: 'there'; readonly models: readonly string[] }
  | { readonly kind: 'refused' | 'loading' }
  | { readonly kind: 'away'; readonly detail: string };

async function ping({ client, subject }: Greeting, signal: AbortSignal): Promise<Pong> {
  signal.throwIfAborted();
  try {
    const call = { method: 'GET', url: client.urlOf('/models'), silenceMsMax: PING_TIMEOUT_MS } as const;
    const response = await client.send(call, signal);
    const body = await response.text(MODELS_BYTES_MAX);
    const { status } = response;
    if (status === 401 || status === 403) return { kind: 'refused' };
    if (status === 503 && /loading/i.test(body)) return { kind: 'loading' };
    if (status === 200) return { kind: 'there', models: modelsIn(body) };
    // A server without such a list is a server.
    if (status < 500) return { kind: 'there', models: [] };
    return { kind: 'away', detail: sentence(`status ${status}`, subject.secret) };
  } catch (error) {
    if (!(error instanceof UpstreamFailure)) throw error;
    return { kind: 'away', detail: sentence(error.message, subject.secret) };
  }
}

function modelsIn(body: string): string[] {
  try {
    const { data } = JSON.parse(body) as { data?: unknown };
    return Array.isArray(data) ? data.flatMap((model) => (typeof model?.id === 'string' ? [model.id] : [])) : [];
  } catch {
    return [];
  }
}

function reportMissingModel(
  { model, upstream, upstreamModel, preset, report }: Greeting,
  models: readonly string[],
): void {
  if (preset.anyModel || models.length === 0) return;
  // Ollama adds a tag, others a path.
  if (
    models.some((id) => id === upstreamModel || id.startsWith(`${upstreamModel}:`) || id.endsWith(`/${upstreamModel}`))
  )
    return;
  const listed = models.slice(0, LISTED_MAX).join(', ');
  const more = models.length > LISTED_MAX ? `, and ${models.length - LISTED_MAX} more` : '';
  report(`The server of ${model.id} (${upstream.preset}) lists no model "${upstreamModel}"; it has ${listed}${more}.`);
}
