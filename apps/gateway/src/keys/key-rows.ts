import type { KeyBody, KeyLimitsBody } from '@millrace/contracts';
import type { Caller, KeyLimits } from '../vocabulary.js';

/** A row of the table `keys`, as the database gives it. */
export interface KeyRow {
  readonly id: string;
  readonly name: string;
  readonly digest: Buffer;
  readonly digest_former: Buffer | null;
  readonly former_expires_at: Date | null;
  readonly models: readonly string[] | null;
  readonly limits: KeyLimitsBody;
  readonly priority: number;
  readonly created_at: Date;
  readonly expires_at: Date | null;
  readonly revoked_at: Date | null;
  readonly log_messages: boolean | null;
}

export const KEY_COLUMNS =
  'id, name, digest, digest_former, former_expires_at, models, limits, priority, created_at, expires_at, revoked_at, log_messages';

/** What requests need of a key. */
export interface KnownKey {
  readonly digest: Buffer;
  /** Of the key before a rotation; undefined: there is none, or it is accepted no more. */
  readonly former: { readonly digest: Buffer; readonly untilMs: number } | undefined;
  /** Unix milliseconds. */
  readonly expiresAtMs: number | undefined;
  readonly caller: Caller;
}

const DIGEST_BYTES = 32;

/** Undefined for a key that was revoked. @throws what is wrong with a row that this version would never have written. */
export function knownKey(row: KeyRow): KnownKey | undefined {
  if (row.revoked_at !== null) return undefined;
  for (const digest of [row.digest, row.digest_former ?? row.digest]) {
    if (digest.length !== DIGEST_BYTES)
      throw new RangeError(`A digest has ${digest.length} bytes, not ${DIGEST_BYTES}.`);
  }
  return {
    digest: row.digest,
    former:
      (row.digest_former && { digest: row.digest_former, untilMs: row.former_expires_at?.getTime() ?? 0 }) || undefined,
    expiresAtMs: row.expires_at?.getTime(),
    caller: {
      keyId: row.id,
      keyName: row.name,
      models: row.models ?? undefined,
      limits: limitsOf(row.limits),
      priority: row.priority,
      logMessages: row.log_messages ?? undefined,
    },
  };
}

function limitsOf(limits: KeyLimitsBody): KeyLimits {
  return {
    requestsPerMinute: limits.requests_per_minute ?? undefined,
    tokensPerMinute: limits.tokens_per_minute ?? undefined,
    concurrentRequests: limits.concurrent_requests ?? undefined,
    tokensPerDay: limits.tokens_per_day ?? undefined,
    tokensPerMonth: limits.tokens_per_month ?? undefined,
  };
}

/** What the admin API shows of it. */
export function keyBody(row: KeyRow, nowMs: number): KeyBody {
  return {
    object: 'millrace.key',
    id: row.id,
    name: row.name,
    models: row.models === null ? null : [...row.models],
    limits: row.limits,
    priority: row.priority,
    created_at: unixSeconds(row.created_at),
    expires_at: row.expires_at && unixSeconds(row.expires_at),
    revoked_at: row.revoked_at && unixSeconds(row.revoked_at),
    log_messages: row.log_messages,
    state: stateOf(row, nowMs),
  };
}

function stateOf({ revoked_at, expires_at }: KeyRow, nowMs: number): KeyBody['state'] {
  if (revoked_at !== null) return 'revoked';
  return expires_at !== null && expires_at.getTime() <= nowMs ? 'expired' : 'valid';
}

function unixSeconds(date: Date): number {
  return Math.floor(date.getTime() / 1_000);
}
