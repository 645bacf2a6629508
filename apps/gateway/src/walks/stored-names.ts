import { InferenceError } from '@millrace/contracts';
import { isModelId, type ModelStore } from '@millrace/storage';
import { UnknownModel } from '../validation/model-catalog.js';

/** Whoever sends names that nobody knows has no more looks made for them at a time, */
const LOOKS_MAX = 8;
/** nor in a second: each asks the bucket, and nobody's rate is counted for a model that is not there. */
const LOOKS_PER_SECOND_MAX = 20;
const LOOK_MS_MAX = 2_000;
/** So long nobody looks for the same name again: what was added meanwhile is found after that. */
const REMEMBERED_MS = 5_000;
const REMEMBERED_NAMES_MAX = 1_000;
const RETRY_AFTER_SECONDS = 2;

interface Look {
  readonly isThere: Promise<boolean>;
  /** Endless while it is under way. */
  untilMs: number;
}

/**
 * What no worker serves may be in the registry or the bucket all the same: it was added a moment ago, and workers look every
 * `modelsRefreshMs`. A 404 then would be a lie, and clients do not try one again.
 *
 * Concurrency: all that ask for one name at a time share one look, and who asks for it in the seconds after that is told what that saw.
 */
export class StoredNames {
  /** By name, the oldest first. */
  readonly #looks = new Map<string, Look>();
  #underWay = 0;
  #second = { sinceMs: Number.NEGATIVE_INFINITY, looks: 0 };

  constructor(
    private readonly store: Pick<ModelStore, 'find'>,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  /** What to tell instead of `error`; the same where there is nothing else to tell. Never rejects. */
  async insteadOf(error: unknown): Promise<unknown> {
    const unknown = error instanceof InferenceError ? error.details.cause : undefined;
    if (!(unknown instanceof UnknownModel) || !(await this.#isThere(unknown.asked))) return error;
    return new InferenceError(
      'model_not_ready',
      `The model \`${unknown.asked}\` was added, and no worker has taken it up yet. Try again shortly; if it stays so, see whether workers have the same modelsDir or bucket.`,
      { param: 'model', retryAfterSeconds: RETRY_AFTER_SECONDS },
    );
  }

  #isThere(name: string): Promise<boolean> {
    const known = this.#looks.get(name);
    if (known !== undefined && this.nowMs() < known.untilMs) return known.isThere;
    // Names come from anybody, and may be as long as a body: what could never be stored is not remembered either.
    if (!isModelId(name) || !this.#mayLook()) return Promise.resolve(false);
    const look: Look = { isThere: this.#look(name), untilMs: Number.POSITIVE_INFINITY };
    this.#looks.delete(name);
    this.#looks.set(name, look);
    if (this.#looks.size > REMEMBERED_NAMES_MAX) this.#looks.delete(this.#looks.keys().next().value!);
    void look.isThere.then(() => {
      look.untilMs = this.nowMs() + REMEMBERED_MS;
    });
    return look.isThere;
  }

  #mayLook(): boolean {
    const nowMs = this.nowMs();
    if (nowMs - this.#second.sinceMs >= 1_000) this.#second = { sinceMs: nowMs, looks: 0 };
    if (this.#underWay >= LOOKS_MAX || this.#second.looks >= LOOKS_PER_SECOND_MAX) return false;
    this.#second.looks++;
    return true;
  }

  async #look(name: string): Promise<boolean> {
    this.#underWay++;
    try {
      await this.store.find(name, AbortSignal.timeout(LOOK_MS_MAX));
      return true;
    } catch {
      return false; // It is not there either, or that can't be told just now.
    } finally {
      this.#underWay--;
    }
  }
}
