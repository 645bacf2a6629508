import { setTimeout as sleep } from 'node:timers/promises';
import type { OpenAiEngineOptions } from './open-openai-engine.js';
import { type ListedModel, PING_TIMEOUT_MS, pingOver } from './ping-upstream.js';
import type { Preset } from './presets.js';
import type { UpstreamClient } from './upstream-client.js';
import { sentence, type UpstreamSubject } from './upstream-failure.js';

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

const LOADING_POLL_MS = 500;
/** A server that loads for longer is opened all the same: it refuses by itself until it is ready. */
const LOADING_MS_MAX = 600_000;
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
    const ping = await pingOver(greeting.client, PING_TIMEOUT_MS, signal);
    switch (ping.kind) {
      case 'refused':
        throw new Error(refusedKey(greeting));
      case 'loading':
        if (!waited) report(`${serverOf(greeting)} is loading its model; waiting for it.`);
        if (performance.now() > untilMs) return {};
        waited = true;
        await pause(signal);
        break;
      case 'unwell':
      case 'away':
        report(`${serverOf(greeting)} is away: ${ping.why} It is asked again for every request.`);
        return {};
      case 'there':
        return lookedUp(greeting, ping.models);
    }
  }
}

/** What the list says of the model; that it is not there is reported. */
export function lookedUp(greeting: Greeting, models: readonly ListedModel[]): Greeted {
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
