import { randomBytes } from 'node:crypto';
import type { ModelDescription, TimeLimits, UpstreamEntry } from '@millrace/contracts';
import { openOpenAiEngine } from '@millrace/openai-engine';
import type { Logger } from '@millrace/runtime';
import { KeptProgram } from './kept-program.js';
import { OpenVinoEngine } from './openvino-engine.js';
import { OPENVINO_PRESET } from './openvino-preset.js';
import { KEY_VARIABLE, OpenVinoProgram, SERVER_SCRIPT } from './openvino-program.js';

export interface OpenVinoOptions {
  /** `contextLength` 0 or absent: what the model's config.json says. */
  readonly model: Omit<ModelDescription, 'engine' | 'contextLength'> & { readonly contextLength?: number | undefined };
  /** A folder with an OpenVINO model, or a GGUF file of Llama's or Qwen's kind; absolute. */
  readonly path: string;
  /** OpenVINO's word: CPU, GPU, AUTO … */
  readonly device: string;
  /** The setting `python`. */
  readonly python: string;
  /** Threads that compute. Absent: OpenVINO's choice. */
  readonly threads?: number | undefined;
  readonly limits: {
    /** Answers that run at a time. */
    readonly sequencesMax: number;
    /** Answers that wait for one of these places. */
    readonly queueMax: number;
  } & TimeLimits;
  /** Handed on to the program, without what may be a secret. */
  readonly environment: NodeJS.ProcessEnv;
  readonly logger: Logger;
  /** Where opening stands, a sentence each. */
  readonly report: (sentence: string) => void;
  /** The program died more often than it is started again. */
  readonly onBroken: (error: Error) => void;
  /** For tests: another program, and other times. */
  readonly script?: string | undefined;
  readonly restartDelayMsMin?: number | undefined;
  readonly silentMsMax?: number | undefined;
}

const NAME = 'OpenVINO GenAI';
const RESTART_DELAY_MS_MIN = 500;
const RESTART_DELAY_MS_MAX = 30_000;
const RESTARTS_MAX = 5;
const HEALTHY_AFTER_MS = 60_000;
/** Large models are compiled for the device, which takes minutes. */
const LOAD_MS_MAX = 900_000;
const STOP_MS_MAX = 5_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** The program writes a comment every ten seconds, however long a prompt takes. */
const SILENCE_MS_MAX = 60_000;
/** It has no queue of its own to speak of: what waits, waits here, where it can be refused and cancelled. */
const PROGRAM_QUEUE = 8;
const KEY_BYTES = 24;

/**
 * Starts the program for one model, waits until that is loaded, and opens an engine on it.
 *
 * One program for each model, though one could serve several: what crashes takes nothing along, and a model that is unloaded
 * gives all its memory back.
 *
 * @throws Error in one sentence when it can't be: no Python, no package, no such model; what `signal` was aborted with.
 */
export async function openOpenVino(options: OpenVinoOptions, signal: AbortSignal): Promise<OpenVinoEngine> {
  const { model, limits, environment, logger, report } = options;
  const key = randomBytes(KEY_BYTES).toString('base64url');
  const program = keptProgram(options, key);
  report(`OpenVINO is being started for ${model.id}.`);
  const { contextLength } = await program.start(report, signal);
  try {
    const inner = await openOpenAiEngine(
      {
        model: { ...model, contextLength },
        upstream: upstreamAt(program.port, model.id, limits.sequencesMax),
        ownServer: { name: NAME, preset: OPENVINO_PRESET },
        environment: { ...environment, [KEY_VARIABLE]: key },
        limits,
        logger,
        report,
      },
      signal,
    );
    return new OpenVinoEngine(program, inner);
  } catch (error) {
    await program.stop();
    throw error;
  }
}

function keptProgram(options: OpenVinoOptions, key: string): KeptProgram {
  const { python, environment, logger, script = SERVER_SCRIPT } = options;
  return new KeptProgram({
    spawn: (port) =>
      new OpenVinoProgram({ python, script, args: programArgs(options, port), key, environment, logger }),
    key,
    restartDelayMsMin: options.restartDelayMsMin ?? RESTART_DELAY_MS_MIN,
    restartDelayMsMax: RESTART_DELAY_MS_MAX,
    restartsMax: RESTARTS_MAX,
    healthyAfterMs: HEALTHY_AFTER_MS,
    loadMsMax: LOAD_MS_MAX,
    stopMsMax: STOP_MS_MAX,
    silentMsMax: options.silentMsMax ?? SILENCE_MS_MAX,
    logger,
    onBroken: options.onBroken,
  });
}

function programArgs({ model, path, device, threads, limits }: OpenVinoOptions, port: number): string[] {
  const context = model.contextLength || undefined;
  return [
    ...['--model', `${model.id}=${path}`, '--load', model.id],
    ...['--host', '127.0.0.1', '--port', String(port), '--device', device],
    ...['--sequences', String(limits.sequencesMax), '--queue', String(PROGRAM_QUEUE)],
    ...(context === undefined ? [] : ['--context', String(context)]),
    ...(threads === undefined ? [] : ['--threads', String(threads)]),
  ];
}

function upstreamAt(port: number, model: string, maxConcurrent: number): UpstreamEntry {
  return {
    preset: 'generic',
    url: `http://127.0.0.1:${port}/v1`,
    model,
    apiKeyEnv: KEY_VARIABLE,
    maxConcurrent,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    silenceMsMax: SILENCE_MS_MAX,
    // A program that died is not back so soon; its caller is told, and may try elsewhere.
    retriesMax: 0,
  };
}
