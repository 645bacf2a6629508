import { randomBytes, timingSafeEqual } from 'node:crypto';
import { InferenceError } from '@millrace/contracts';
import { counter, gauge, type Logger } from '@millrace/runtime';
import { MEASURED } from '../metrics/declarations.js';
import { ANYONE, type Caller } from '../vocabulary.js';
import { digestOf, parseApiKey, sameText } from './api-key.js';
import { type Authenticator, notTheAdminKey } from './authenticator.js';
import type { KeyNews } from './key-news.js';
import { type KeyRow, type KnownKey, knownKey } from './key-rows.js';
import type { KeySource, KeyTable } from './key-source.js';

export interface KeyRingOptions {
  readonly keySecret: string;
  readonly adminKey: string;
  readonly keyRefreshMs: number;
  /** Whether anyone may ask as long as there are no keys. */
  readonly openWithoutKeys: boolean;
}

/** How long a request waits to hear whether a key that is not known was made a moment ago, or for the first look at all. */
const LOOKUP_WAIT_MS = 5_000;
/** So many requests wait for that at a time; strangers cost a place here, and never the database. */
const LOOKUPS_WAITING_MAX = 1_000;
/** Between two looks that strangers cause: however many they are, the database hears one question a second. */
const LOOKUP_PAUSE_MS = 1_000;
/** Between two looks that news causes: many are heard as one. */
const NEWS_PAUSE_MS = 20;
/** Until the first look has succeeded nobody is served: it is tried again sooner than others. */
const FIRST_LOOK_RETRY_MS = 500;
/** All keys are read again so often, for what is no change of a row: one that somebody deleted by hand. */
const RELOAD_MS = 600_000;
/** Keys that were looked for and not found; the one refused longest ago is forgotten first, and looked for again. */
const REFUSED_KEPT_MAX = 10_000;

type Refusal = 'missing' | 'malformed' | 'unknown' | 'expired' | 'unchecked';

/**
 * All valid keys, in memory. A request with a key that is known waits for nothing.
 *
 * What has changed is read every `keyRefreshMs`, at once when there is news, and when somebody comes with a key that is not known. While
 * the database is away, what is known goes on being valid, for as long as that lasts: expiry is a matter of the clock, and revoked keys
 * stay revoked, but a key that is revoked meanwhile, by a database that others still reach, is only refused once it can be asked again.
 *
 * Ownership: the ring looks by itself from its making on, until it is closed.
 * Concurrency: one look at a time, and only it changes what is known. A question that comes during a look waits for the next one,
 * since this one may have read the table before the key was there.
 */
export class KeyRing implements Authenticator {
  #keys = new Map<string, KnownKey>();
  /** Whether there is any key at all: from then on everybody needs one, even when all are revoked. */
  #anyKey = false;
  #table: KeyTable | undefined;
  #reloadAtMs = 0;
  #trouble: string | undefined = 'API keys have not been read yet';

  #looking = false;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #dueMs = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  /** Those who wait for the next look to end. */
  #waiting = new Set<(looked: boolean) => void>();
  /** Digests of keys that are none. */
  readonly #refused = new Set<string>();

  readonly #refusals = counter(MEASURED.keyRefusals);
  readonly #failures = counter(MEASURED.keyRefreshFailures);
  readonly #endGauge = gauge(MEASURED.keys, () => [{ value: this.#keys.size }]);
  readonly #endNews: () => void;

  constructor(
    private readonly source: KeySource,
    news: KeyNews,
    private readonly options: KeyRingOptions,
    private readonly logger: Logger,
  ) {
    this.#endNews = news.listen(() => this.#lookBy(this.#lookedAtMs + NEWS_PAUSE_MS));
    this.#lookBy(0);
  }

  authenticate(presented: string | undefined): Caller | Promise<Caller> {
    if (this.#table === undefined) return this.#afterFirstLook(presented);
    if (!this.#anyKey && this.options.openWithoutKeys) return ANYONE;
    return this.#callerOf(presented) ?? this.#afterLook(presented);
  }

  async callerOfKey(keyId: string): Promise<Caller | undefined> {
    // One that is not known may have been made a moment ago, at another gateway.
    if (!this.#keys.has(keyId)) {
      this.#lookBy(this.#lookedAtMs + LOOKUP_PAUSE_MS);
      if (!(await this.#lookEnds()))
        throw this.#unchecked('Whether a key is still valid can not be told: the database can not be asked just now.');
    }
    const known = this.#keys.get(keyId);
    const isExpired = known?.expiresAtMs !== undefined && known.expiresAtMs <= Date.now();
    return isExpired ? undefined : known?.caller;
  }

  isAdmin(presented: string | undefined): boolean {
    return presented !== undefined && sameText(presented, this.options.adminKey);
  }

  admitAdmin(presented: string | undefined): void {
    if (this.isAdmin(presented)) return;
    this.#refusals.add(1, { door: 'admin', reason: presented === undefined ? 'missing' : 'unknown' });
    throw notTheAdminKey(presented);
  }

  /** What is wrong with it just now, as a sentence; undefined: nothing. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Whether keys can be told from other texts at all: they were read once, and with the right secret. */
  get usable(): boolean {
    return this.#table !== undefined && !this.#foreign;
  }

  /** Reads what has changed. Never throws, and takes no longer than `LOOKUP_WAIT_MS`: who made a change here calls it. */
  async lookNow(): Promise<void> {
    this.#lookBy(0);
    await this.#lookEnds();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#endNews();
    this.#endGauge();
    this.#wake();
  }

  /** Undefined: it is not known, but may have been made a moment ago. */
  #callerOf(presented: string | undefined): Caller | undefined {
    if (this.#foreign)
      throw this.#unchecked('This gateway can check no key: it has another keySecret than its database.');
    if (presented === undefined) throw this.#refuse('missing', this.#anyKey ? NO_KEY_SENT : NO_KEY_MADE);
    const key = parseApiKey(presented);
    if (key === undefined) throw this.#refuse('malformed', NO_SUCH_SHAPE);
    const known = this.#keys.get(key.id) ?? NOBODY;
    const digest = digestOf(key.text, this.options.keySecret);
    if (!matches(known, digest, Date.now())) {
      if (this.#refused.has(digest.toString('latin1'))) throw this.#refuseUnknown(key.id);
      return undefined;
    }
    if (known.expiresAtMs !== undefined && known.expiresAtMs <= Date.now()) {
      throw this.#refuse(
        'expired',
        `The API key sk-mr-${key.id} expired on ${new Date(known.expiresAtMs).toISOString()}.`,
      );
    }
    return known.caller;
  }

  /** An embedded database takes a second or two to start. */
  async #afterFirstLook(presented: string | undefined): Promise<Caller> {
    const untilMs = performance.now() + LOOKUP_WAIT_MS;
    while (this.#table === undefined && performance.now() < untilMs && !this.#closed) {
      this.#refuseOneTooMany();
      await this.#lookEnds(untilMs - performance.now());
    }
    if (this.#table !== undefined) return this.authenticate(presented);
    throw this.#unchecked('API keys could not be read yet, for the database can not be reached. Try again shortly.');
  }

  /** Asks the table once more; many who ask at a time are answered by one look. */
  async #afterLook(presented: string | undefined): Promise<Caller> {
    this.#refuseOneTooMany();
    this.#lookBy(this.#lookedAtMs + LOOKUP_PAUSE_MS);
    const looked = await this.#lookEnds();
    const caller = this.#callerOf(presented);
    if (caller !== undefined) return caller;
    // It may well be valid: a 401 would tell its owner to throw it away.
    if (!looked)
      throw this.#unchecked(
        'This API key is not known here, and the database can not be asked for it just now. Try again shortly.',
      );
    const { id, text } = parseApiKey(presented!)!;
    this.#keepRefused(digestOf(text, this.options.keySecret).toString('latin1'));
    throw this.#refuseUnknown(id);
  }

  #refuseOneTooMany(): void {
    if (this.#waiting.size < LOOKUPS_WAITING_MAX) return;
    throw this.#unchecked(
      `${LOOKUPS_WAITING_MAX} requests with keys that are not known wait for the database already. Try again shortly.`,
    );
  }

  get #foreign(): boolean {
    return this.#table?.otherSecret === true && this.#keys.size > 0;
  }

  /** Once the next look to begin is over: whether the table was read. False, too, when that takes too long. */
  #lookEnds(waitMs = LOOKUP_WAIT_MS): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (looked: boolean) => {
        clearTimeout(timer);
        resolve(looked);
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(end);
        resolve(false);
      }, waitMs);
      if (this.#closed) end(false);
      else this.#waiting.add(end);
    });
  }

  /** On the clock of `performance.now()`. What is due earlier anyway stays. */
  #lookBy(ms: number): void {
    this.#dueMs = Math.min(this.#dueMs, ms);
    if (this.#looking || this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(), Math.max(0, this.#dueMs - performance.now()));
  }

  async #look(): Promise<void> {
    this.#looking = true;
    this.#dueMs = Number.POSITIVE_INFINITY;
    this.#lookedAtMs = performance.now();
    const waiting = this.#waiting;
    this.#waiting = new Set();
    await this.#read();
    for (const end of waiting) end(this.#trouble === undefined);
    this.#looking = false;
    const { keyRefreshMs } = this.options;
    const pauseMs = this.#table === undefined ? Math.min(keyRefreshMs, FIRST_LOOK_RETRY_MS) : keyRefreshMs;
    this.#lookBy(performance.now() + pauseMs);
  }

  async #read(): Promise<void> {
    try {
      await this.#readChanges();
      this.#tell(this.#foreign ? FOREIGN : undefined);
    } catch (error) {
      this.#failures.add(1);
      const why = error instanceof Error ? error.message : String(error);
      this.#tell(
        this.#table === undefined
          ? `API keys could not be read yet: ${why}`
          : `API keys can not be read: those that are known stay valid, new ones are not known, and revoked ones not heard of. ${why}`,
      );
    }
  }

  async #readChanges(): Promise<void> {
    const reload = this.#table === undefined || performance.now() >= this.#reloadAtMs;
    const changes = reload ? undefined : await this.source.changesSince(this.#table!.seen);
    if (changes === undefined) return this.#readAll();
    for (const row of changes.rows) this.#take(row, this.#keys);
    this.#anyKey ||= changes.rows.length > 0;
    this.#table = changes;
  }

  async #readAll(): Promise<void> {
    const keys = new Map<string, KnownKey>();
    const { anyKey, ...table } = await this.source.load((row) => this.#take(row, keys));
    this.#keys = keys;
    this.#refused.clear();
    this.#anyKey = anyKey;
    this.#table = table;
    this.#reloadAtMs = performance.now() + RELOAD_MS;
  }

  #take(row: KeyRow, keys: Map<string, KnownKey>): void {
    const known = this.#understood(row);
    if (known === undefined) keys.delete(row.id);
    else keys.set(row.id, known);
  }

  /** One row that somebody wrote by hand, and wrongly, must not keep all others from being read. */
  #understood(row: KeyRow): KnownKey | undefined {
    try {
      return knownKey(row);
    } catch (error) {
      this.logger.warn({ keyId: row.id, error }, 'a key in the database can not be understood, and is not accepted');
      return undefined;
    }
  }

  /** Said once, and again when it changes. */
  #tell(trouble: string | undefined): void {
    if (trouble === this.#trouble || this.#closed) return;
    const first = this.#table === undefined;
    this.#trouble = trouble;
    if (trouble === undefined) this.logger.info({ keys: this.#keys.size }, 'API keys are read');
    else if (trouble === FOREIGN) this.logger.error(trouble);
    else this.logger[first ? 'info' : 'warn'](trouble);
  }

  #keepRefused(digest: string): void {
    if (this.#refused.size >= REFUSED_KEPT_MAX) this.#refused.delete(this.#refused.values().next().value!);
    this.#refused.add(digest);
  }

  #wake(): void {
    for (const end of this.#waiting) end(false);
    this.#waiting.clear();
  }

  #refuseUnknown(id: string): InferenceError {
    return this.#refuse(
      'unknown',
      `The API key sk-mr-${id} is not valid: it is unknown, or has expired, or was revoked or replaced.`,
    );
  }

  #refuse(reason: Refusal, sentence: string): InferenceError {
    this.#refusals.add(1, { door: 'api', reason });
    return new InferenceError('invalid_api_key', sentence);
  }

  #unchecked(sentence: string): InferenceError {
    this.#refusals.add(1, { door: 'api', reason: 'unchecked' });
    return new InferenceError('store_unavailable', sentence);
  }
}

const NO_KEY_SENT =
  'No API key came with the request. Send one as `Authorization: Bearer <key>` or as `x-api-key: <key>`, or `api-key: <key>`; one in the URL is not read.';
const NO_KEY_MADE =
  'This server answers only with an API key, and there is none yet. Whoever runs it makes the first with `millrace keys create NAME`.';
const NO_SUCH_SHAPE =
  'What came as API key is none of this server: those begin with `sk-mr-` and have 67 characters. Send it as `Authorization: Bearer <key>`, and whole.';
const FOREIGN =
  'The API keys in the database were made with another keySecret than this gateway has, so it can check none of them: give it theirs (MILLRACE_KEY_SECRET, or key-secret in dataFolder).';

/** What a key is compared with whose id is not known, so that time does not tell that. */
const NOBODY: KnownKey = { digest: randomBytes(32), former: undefined, expiresAtMs: undefined, caller: ANYONE };

/** The key itself, or the one before its rotation. */
function matches({ digest: own, former }: KnownKey, digest: Buffer, nowMs: number): boolean {
  // Both are compared, so that time does not tell which it was.
  const isOwn = timingSafeEqual(own, digest);
  const isFormer = former !== undefined && timingSafeEqual(former.digest, digest);
  return isOwn || (isFormer && former.untilMs > nowMs);
}
