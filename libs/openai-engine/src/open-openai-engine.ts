import type { ModelDescription, UpstreamEntry } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { greetUpstream } from './greet-upstream.js';
import { OpenAiEngine } from './openai-engine.js';
import { PRESETS, type Preset } from './presets.js';
import { unheardDefaults } from './sampling-fields.js';
import { Secret } from './secret.js';
import { UpstreamClient } from './upstream-client.js';
import type { UpstreamSubject } from './upstream-failure.js';

export interface OpenAiEngineOptions {
  /** `contextLength` may be left out, or 0, where the server tells it. */
  readonly model: Omit<ModelDescription, 'engine' | 'contextLength'> & { readonly contextLength?: number | undefined };
  readonly upstream: UpstreamEntry;
  /** In place of `upstream.preset`: a server that the worker itself has started, and its name in sentences. */
  readonly ownServer?: { readonly name: string; readonly preset: Preset } | undefined;
  /** Where the key is, and a proxy for HTTPS; nothing else is read from it. */
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

/** Connections beside those of answers: for tokens, and for the ping. */
const SIDE_SOCKETS = 8;
/** Of a server that doesn't tell: what most have today, so that what fits there is not refused here. */
const CONTEXT_LENGTH_UNKNOWN = 131_072;

/**
 * Opens an engine on another server: its key is there and is taken, and it can be reached or will be.
 *
 * @throws Error with a sentence for whoever runs it, when it can't work: no key, a wrong key, no address.
 */
export async function openOpenAiEngine(options: OpenAiEngineOptions, signal: AbortSignal): Promise<OpenAiEngine> {
  const { upstream, ownServer, model, limits, logger } = options;
  const preset = ownServer?.preset ?? PRESETS[upstream.preset];
  const secret = secretOf(options, preset);
  const subject: UpstreamSubject = { model: model.id, preset: ownServer?.name ?? upstream.preset, secret };
  const client = new UpstreamClient({
    baseUrl: baseUrlOf(options, preset),
    subject,
    socketsMax: upstream.maxConcurrent + SIDE_SOCKETS,
    proxy: proxyOf(options.environment),
    connectTimeoutMs: upstream.connectTimeoutMs,
    silenceMsMax: upstream.silenceMsMax,
  });
  const upstreamModel = upstream.model ?? model.id;
  reportUnheardDefaults(options, preset);
  const greeting = { options, client, subject, upstreamModel, preset };
  const told = await greetUpstream(greeting, signal).catch((error: unknown) => {
    client.close();
    throw error;
  });
  const contextLength = model.contextLength || told.contextLength || CONTEXT_LENGTH_UNKNOWN;
  return new OpenAiEngine({
    model: { ...model, contextLength, engine: ownServer?.name ?? `openai-compatible: ${upstream.preset}` },
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

/** For providers far away; a server beside the worker speaks HTTP, and is behind no proxy. */
function proxyOf({ HTTPS_PROXY, https_proxy, NO_PROXY, no_proxy }: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { HTTPS_PROXY, https_proxy, NO_PROXY, no_proxy };
}

function baseUrlOf({ model, upstream }: OpenAiEngineOptions, preset: Preset): URL {
  const address = upstream.url ?? preset.url;
  if (address === undefined) {
    throw new Error(
      `The model "${model.id}" needs \`upstream.url\`: preset ${upstream.preset} has no address of its own. Give the server's, such as http://127.0.0.1:8001/v1.`,
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
