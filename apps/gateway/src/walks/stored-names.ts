import { InferenceError } from '@millrace/contracts';
import type { ModelStore } from '@millrace/storage';
import { UnknownModel } from '../validation/model-catalog.js';

/** Whoever sends names that nobody knows has no more looks made for them at a time. */
const LOOKS_MAX = 8;
const LOOK_MS_MAX = 2_000;
const RETRY_AFTER_SECONDS = 2;

/**
 * What no worker serves may be in the registry or the bucket all the same: it was added a moment ago, and workers look every
 * `modelsRefreshMs`. A 404 then would be a lie, and clients do not try one again.
 */
export class StoredNames {
  #looks = 0;

  constructor(private readonly store: Pick<ModelStore, 'find'>) {}

  /** What to tell instead of `error`; the same where there is nothing else to tell. Never rejects. */
  async insteadOf(error: unknown): Promise<unknown> {
    const unknown = error instanceof InferenceError ? error.details.cause : undefined;
    if (!(unknown instanceof UnknownModel) || this.#looks >= LOOKS_MAX) return error;
    this.#looks++;
    try {
      const { id } = await this.store.find(unknown.asked, AbortSignal.timeout(LOOK_MS_MAX));
      return new InferenceError(
        'model_not_ready',
        `The model \`${id}\` was added, and no worker has taken it up yet. Try again shortly; if it stays so, see whether workers have the same modelsDir or bucket.`,
        { param: 'model', retryAfterSeconds: RETRY_AFTER_SECONDS },
      );
    } catch {
      return error; // It is not there either, or that can't be told just now.
    } finally {
      this.#looks--;
    }
  }
}
