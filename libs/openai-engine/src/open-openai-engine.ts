import type { ModelDescription, TimeLimits, UpstreamEntry } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { type Greeted, type Greeting, greetUpstream, lookedUp } from './greet-upstream.js';
import { OpenAiEngine } from './openai-engine.js';
import type { Ping } from './ping-upstream.js';
import { PRESETS, type Preset } from './presets.js';
import { unheardDefaults } from './sampling-fields.js';
import { proxyOf, UnusableUpstream, upstreamAddress, upstreamSecret } from './upstream-access.js';
import { UpstreamClient } from './upstream-client.js';
import type { UpstreamSubject } from './upstream-failure.js';

export interface OpenAiEngineOptions {
  /** `contextLength` may be left out, or 0, where the server tells it. */
  readonly model: Omit<ModelDescription, 'engine' | 'contextLength'> & { readonly contextLength?: number | undefined };
  readonly upstream: UpstreamEntry;
  /** In place of `upstream.preset`: a server that the worker itself has started, and its name in sentences. */
  readonly ownServer?: { readonly name: string; readonly preset: Preset } | undefined;
  /** What the server said to a ping just now: it is not greeted again. `off`: nor was it pinged. */
  readonly pinged?: Ping | 'off' | undefined;
  /** Where the key is, and a proxy for HTTPS; nothing else is read from it. */
  readonly environment: NodeJS.ProcessEnv;
  readonly limits: {
    /** Answers that may wait for one of `maxConcurrent` places. */
    readonly queueMax: number;
  } & TimeLimits;
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
  const { secret, baseUrl } = accessOf(options, preset);
  const subject: UpstreamSubject = { model: model.id, preset: ownServer?.name ?? upstream.preset, secret };
  const client = new UpstreamClient({
    baseUrl,
    subject,
    socketsMax: upstream.maxConcurrent + SIDE_SOCKETS,
    proxy: proxyOf(options.environment),
    connectTimeoutMs: upstream.connectTimeoutMs,
    silenceMsMax: upstream.silenceMsMax,
  });
  const upstreamModel = upstream.model ?? model.id;
  reportUnheardDefaults(options, preset);
  const told = await toldOf(options, { options, client, subject, upstreamModel, preset }, signal).catch(
    (error: unknown) => {
      client.close();
      throw error;
    },
  );
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

async function toldOf({ pinged }: OpenAiEngineOptions, greeting: Greeting, signal: AbortSignal): Promise<Greeted> {
  if (pinged === undefined) return greetUpstream(greeting, signal);
  return pinged !== 'off' && pinged.kind === 'there' ? lookedUp(greeting, pinged.models) : {};
}

function accessOf({ model, upstream, environment }: OpenAiEngineOptions, preset: Preset) {
  try {
    return { secret: upstreamSecret(upstream, preset, environment), baseUrl: upstreamAddress(upstream, preset) };
  } catch (error) {
    if (error instanceof UnusableUpstream) throw new Error(`The model "${model.id}" ${error.message}`);
    throw error;
  }
}

function reportUnheardDefaults({ model, upstream, report }: OpenAiEngineOptions, preset: Preset): void {
  const unheard = unheardDefaults(model.samplingDefaults, preset);
  if (unheard.length === 0) return;
  const names = unheard.join(', ');
  report(`The server of ${model.id} (${upstream.preset}) doesn't know ${names}; the defaults for it are not in force.`);
}
