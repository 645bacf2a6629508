import { counter, gauge } from '@millrace/runtime';
import { MEASURED } from './declarations.js';

/** What became of a request that the cache concerned. `shared`: it read along with another that was just being computed. */
export type CacheOutcome = 'hit' | 'semantic_hit' | 'shared' | 'miss' | 'refresh';
/** Why an answer that could have been kept was not. */
export type NotKeptReason = 'too_large' | 'incomplete' | 'stand_in' | 'busy';

/** How the cache of answers fares. */
export class CacheMetrics {
  readonly #requests = counter(MEASURED.cacheRequests);
  readonly #notKept = counter(MEASURED.cacheNotKept);
  readonly #failures = counter(MEASURED.cacheFailures);

  answered(outcome: CacheOutcome): void {
    this.#requests.add(1, { outcome });
  }

  notKept(reason: NotKeptReason): void {
    this.#notKept.add(1, { reason });
  }

  /** `read`: what was there was no entry of this version, or damaged. */
  failed(operation: 'get' | 'put' | 'read'): void {
    this.#failures.add(1, { operation });
  }

  /** @returns what ends it. */
  watch(cache: { readonly bytes: number }): () => void {
    return gauge(MEASURED.cacheBytes, () => [{ value: cache.bytes }]);
  }
}
