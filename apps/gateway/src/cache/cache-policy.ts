import type { ModelCache, Settings } from '@millrace/contracts';
import type { CacheAsk, ValidRequest } from '../vocabulary.js';

/** What is done about one request; undefined in its place: the cache is no concern of it. */
export interface CacheUse {
  /** Whether it may be answered with what was kept, or with what is just being computed for another. */
  readonly lookUp: boolean;
  /** Whether it may be answered with what was kept for a question that means the same. */
  readonly semantic: boolean;
}

export interface CacheRules {
  /** The setting `cache`. */
  readonly mode: Settings['cache'];
  /** What the models file says of the model. */
  readonly model: Partial<ModelCache> | undefined;
}

/** What an answer's repeatability can be told from. */
type Repeatable = Pick<ValidRequest, 'model' | 'sampling'>;

/**
 * Decides whether a request is looked up and kept. A mode `off`, of the setting or of the model in its place, is final: whoever runs the
 * server decides whether texts are kept at all. Otherwise the header does, and without one, under `auto`, whether the same request would
 * have the same answer again.
 *
 * Nothing else about a request takes it out: `n`, `best_of`, `logprobs` and `echo` are part of the key, and their answers are kept whole.
 */
export function cacheUse(
  request: Repeatable,
  ask: CacheAsk | undefined,
  { mode, model }: CacheRules,
): CacheUse | undefined {
  const effective = model?.mode ?? mode;
  if (effective === 'off' || ask === 'off') return undefined;
  if (ask === undefined && !(effective === 'auto' && isRepeatable(request))) return undefined;
  // Of a model that was never loaded nobody knows which file it is: its answers would be those of any file of that name.
  if (request.model.engine === '') return undefined;
  if (ask === 'refresh') return { lookUp: false, semantic: false };
  return { lookUp: true, semantic: ask === 'semantic' || (model?.semantic ?? false) };
}

/** The likeliest token each time, or a draw that is always the same. What a request leaves out, its model's default says. */
export function isRepeatable({ model, sampling }: Repeatable): boolean {
  return sampling.seed !== undefined || (sampling.temperature ?? model.samplingDefaults.temperature) === 0;
}
