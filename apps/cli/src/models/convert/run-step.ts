import { spawn } from 'node:child_process';
import { CommandError } from '../../command.js';
import type { Step } from './converters.js';

/** A program that was asked to end gets so long. */
const END_MS_MAX = 5_000;
/** Of what it said, so much is told when it fails. */
const TOLD_CHARACTERS = 2_000;
/** A model of some hundred billion weights takes hours. */
const STEP_MS_MAX = 24 * 60 * 60 * 1_000;

export interface StepTerms {
  readonly environment: NodeJS.ProcessEnv;
  /** What it says, as it says it. */
  readonly onOutput: (text: string) => void;
}

/**
 * Runs a program to its end. It has a group of its own, so that what it has started itself ends with it: converters are Python, with
 * processes of their own.
 *
 * @throws CommandError with the last of what it said; the signal's reason, once it has ended.
 */
export async function runStep(
  { program, args }: Step,
  { environment, onOutput }: StepTerms,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const child = spawn(program, args, { env: environment, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let last = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      last = (last + text).slice(-TOLD_CHARACTERS);
      onOutput(text);
    });
  }
  const ended = Promise.withResolvers<{ code: number | null; by: NodeJS.Signals | null }>();
  child.once('error', ended.reject);
  child.once('close', (code, by) => ended.resolve({ code, by }));
  let killing: NodeJS.Timeout | undefined;
  const stop = () => {
    end(child.pid, 'SIGTERM');
    killing = setTimeout(() => end(child.pid, 'SIGKILL'), END_MS_MAX);
  };
  const either = AbortSignal.any([signal, AbortSignal.timeout(STEP_MS_MAX)]);
  either.addEventListener('abort', stop, { once: true });
  try {
    const { code, by } = await ended.promise;
    signal.throwIfAborted();
    if (code === 0) return;
    throw new CommandError(
      `${program} failed (${code === null ? by : `status ${code}`}). It said last:\n${last.trim() || '(nothing)'}`,
    );
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof CommandError) throw error;
    throw new CommandError(`${program} can't be run: ${(error as Error).message}.`);
  } finally {
    either.removeEventListener('abort', stop);
    clearTimeout(killing);
  }
}

function end(pid: number | undefined, by: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, by);
  } catch {
    // It has ended by itself.
  }
}
