import type { Caller, KeyLimits } from '../vocabulary.js';
import type { LimitKind, LimitRule } from './rate-limiter.js';

/** What all callers together may ask of a model. Absent: no limit. */
export type ModelLimits = Pick<KeyLimits, 'requestsPerMinute' | 'tokensPerMinute' | 'concurrentRequests'>;

const KINDS = {
  requestsPerMinute: 'requests_per_minute',
  tokensPerMinute: 'tokens_per_minute',
  concurrentRequests: 'concurrency',
  tokensPerDay: 'daily_budget',
  tokensPerMonth: 'monthly_budget',
} as const satisfies Record<keyof KeyLimits, LimitKind>;

const NAMES = Object.keys(KINDS) as readonly (keyof KeyLimits)[];

/**
 * Which limits hold for whom. Each list is made once for a caller and a model, since adapters remember what they made of it; it goes
 * when the caller does, or when one of the two gets other limits.
 */
export class LimitRules {
  readonly #ofCaller = new WeakMap<KeyLimits, Map<string, Known>>();
  readonly #ofModel = new WeakMap<ModelLimits, Map<string, readonly LimitRule[]>>();

  constructor(private readonly modelLimits: (model: string) => ModelLimits | undefined) {}

  /** Those of the caller and of the model, to be counted in one act; without a model, the caller's alone. */
  of({ keyId, limits }: Caller, model?: string): readonly LimitRule[] {
    const ofModel = model === undefined ? undefined : this.modelLimits(model);
    const lists = this.#ofCaller.get(limits) ?? new Map<string, Known>();
    this.#ofCaller.set(limits, lists);
    // Without a key all callers share one object of limits, as nobody has any; an id is in the name for those who have.
    const name = `${keyId ?? ''} ${model ?? ''}`;
    const known = lists.get(name);
    if (known !== undefined && known.ofModel === ofModel) return known.rules;
    const rules = [
      ...(keyId === undefined ? [] : rulesOf(`key:${keyId}`, limits)),
      ...(ofModel === undefined ? [] : rulesOf(`model:${model}`, ofModel)),
    ];
    lists.set(name, { ofModel, rules });
    return rules;
  }

  /** Those of the model alone. */
  ofModel(model: string): readonly LimitRule[] {
    const limits = this.modelLimits(model);
    if (limits === undefined) return NONE;
    const lists = this.#ofModel.get(limits) ?? new Map<string, readonly LimitRule[]>();
    this.#ofModel.set(limits, lists);
    const rules = lists.get(model) ?? rulesOf(`model:${model}`, limits);
    lists.set(model, rules);
    return rules;
  }
}

const NONE: readonly LimitRule[] = [];

interface Known {
  readonly ofModel: ModelLimits | undefined;
  readonly rules: readonly LimitRule[];
}

function rulesOf(counter: string, limits: KeyLimits): LimitRule[] {
  return NAMES.flatMap((name) => {
    const limit = limits[name];
    return limit === undefined ? [] : [{ counter, kind: KINDS[name], limit }];
  });
}
