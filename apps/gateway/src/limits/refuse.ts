import { InferenceError } from '@millrace/contracts';
import type { Caller } from '../vocabulary.js';
import { costOf, isBudget, type LimitKind, type LimitStanding, type Refused } from './rate-limiter.js';

/** openai-node ignores a longer one; none of a minute's limits takes longer. */
const MINUTE_RETRY_SECONDS_MAX = 60;

const WHAT: Readonly<Record<LimitKind, string>> = {
  requests_per_minute: 'requests per minute',
  tokens_per_minute: 'tokens per minute',
  concurrency: 'requests at a time',
  daily_budget: 'tokens per day',
  monthly_budget: 'tokens per month',
};

/** What a refused caller is told: which limit, how much of it is used, how much was asked, and what to do. */
export function refusal(decision: Refused, caller: Caller, tokens: number): InferenceError {
  const { refusedBy, retryAfterMs } = decision;
  if (retryAfterMs === undefined) return tooLarge(refusedBy, caller, tokens);
  if (isBudget(refusedBy.kind)) return spent(refusedBy, caller, tokens, retryAfterMs);
  return tooMuch(refusedBy, caller, tokens, retryAfterMs);
}

function tooLarge(standing: LimitStanding, caller: Caller, tokens: number): InferenceError {
  const { kind, limit } = standing;
  return new InferenceError(
    isBudget(kind) ? 'insufficient_quota' : 'rate_limit_exceeded',
    `Request too large for ${whose(standing, caller)} on ${WHAT[kind]}: limit ${limit}, requested ${tokens}. Shorten the prompt, or ask for fewer tokens with \`max_completion_tokens\`.`,
    { limit: kind, shouldRetry: false },
  );
}

function spent(standing: LimitStanding, caller: Caller, tokens: number, retryAfterMs: number): InferenceError {
  const { kind, limit, used } = standing;
  const begins = kind === 'daily_budget' ? '00:00 UTC' : '00:00 UTC of the first of the next month';
  const fewer = used < limit ? ', ask for fewer tokens with `max_completion_tokens`,' : '';
  return new InferenceError(
    'insufficient_quota',
    `The budget of ${whose(standing, caller)} on ${WHAT[kind]} is too small for this: limit ${limit}, used ${used}, requested ${tokens}. It begins anew at ${begins}; wait for that${fewer} or have the budget raised.`,
    { limit: kind, shouldRetry: false, retryAfterSeconds: Math.ceil(retryAfterMs / 1000) },
  );
}

function tooMuch(standing: LimitStanding, caller: Caller, tokens: number, retryAfterMs: number): InferenceError {
  const { kind, limit, used } = standing;
  const retryAfterSeconds = Math.min(MINUTE_RETRY_SECONDS_MAX, Math.max(1, Math.ceil(retryAfterMs / 1000)));
  return new InferenceError(
    'rate_limit_exceeded',
    `Rate limit reached for ${whose(standing, caller)} on ${WHAT[kind]}: limit ${limit}, used ${used}, requested ${costOf(kind, tokens)}. Try again in ${retryAfterSeconds} s.`,
    { limit: kind, retryAfterSeconds },
  );
}

function whose({ counter }: LimitStanding, { keyId, keyName }: Caller): string {
  if (counter === `key:${keyId}`) return `the key ${keyId} (${keyName})`;
  return `the model \`${counter.slice(counter.indexOf(':') + 1)}\` of all callers together`;
}
