import { InferenceError } from '@millrace/contracts';
import { mebibytes } from './plan-memory.js';
import { sentenceOf } from './sentence-of.js';

/** There is no room beside what is loaded, and it may not take theirs. */
export class NoRoomNow extends Error {
  constructor(id: string, neededBytes: number, mayUseBytes: number) {
    super(
      `The model ${id} needs ${mebibytes(neededBytes)} of memory, and beside what is loaded ${mebibytes(mayUseBytes)} are left. It is loaded when it is asked for, in place of others.`,
    );
  }
}

/** Everyone who waited for it has left. */
export class NoLongerWanted extends Error {}

/** Another server's refusal keeps its code. */
export function failureOf(id: string, cause: unknown): InferenceError {
  if (cause instanceof InferenceError && cause.code.startsWith('upstream')) return cause;
  return new InferenceError('model_failed', `The model ${id} can't be loaded: ${sentenceOf(cause)}`, { cause });
}

export function isMistake(cause: unknown): boolean {
  return cause instanceof TypeError || cause instanceof RangeError || cause instanceof ReferenceError;
}

export function aboutToLoad(id: string): string {
  return `The model ${id} is about to be loaded.`;
}

export function neverRoom(neededBytes: number, mayUseBytes: number): string {
  return `it needs ${mebibytes(neededBytes)} of memory, and ${mebibytes(mayUseBytes)} may be used even if every other model were unloaded. Lower its \`context\` or --max-batch-size, choose a smaller model, or free some memory.`;
}

export function filesChange(times: number): string {
  return `its files became others while they were read, ${times} times in a row. Wait until they are complete, and send the request again.`;
}

export function tooLate(id: string, detail: string, allowedMs: number): string {
  return `The model ${id} was not loaded within ${Math.round(allowedMs).toLocaleString('en-US')} ms. ${detail}`.trimEnd();
}

export function noLongerOffered(id: string): InferenceError {
  return new InferenceError('model_not_found', `The model ${id} was taken out of the registry.`, { param: 'model' });
}

export function shuttingDown(): InferenceError {
  return new InferenceError('shutting_down', 'This worker is about to stop. Send the request again.');
}
