import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { asCurl, exchange, type Sent, type Told } from './exchange.ts';
import { type FuzzRequest, fuzzRequests } from './fuzz-requests.ts';
import { Judge, parsed } from './judge.ts';
import { KnownIds } from './known-ids.ts';
import type { OpenApiDocument } from './open-api.ts';

export interface FuzzOptions {
  readonly url: string;
  readonly document: OpenApiDocument;
  readonly key?: string;
  readonly adminKey?: string;
  /** Ids that no request may name: of the key itself. */
  readonly spared?: ReadonlySet<string>;
  readonly requests: number;
  readonly seed: number;
  /** The first of them, to come back to one. */
  readonly from?: number;
  /** On the way at a time. */
  readonly clients: number;
  readonly deadlineMs: number;
  /** After this many faults nothing new is learnt. */
  readonly faultsMax: number;
  /** Now and then; throws when the server is not well. */
  readonly lookAfter?: () => Promise<void>;
}

export interface Fault {
  /** Which request: the same seed with `from` makes it again. */
  readonly number: number;
  readonly operation: string;
  readonly complaints: readonly string[];
  readonly curl: string;
}

interface Tally {
  requests: number;
  readonly statuses: Map<number, number>;
  worstMs: number;
}

export interface FuzzReport {
  readonly requests: number;
  readonly seconds: number;
  readonly byStatus: ReadonlyMap<number, number>;
  readonly byOperation: ReadonlyMap<string, Readonly<Tally>>;
  readonly faults: readonly Fault[];
}

const LOOK_EVERY = 250;
/** How long a fault is made smaller. */
const SHRINK_MS = 20_000;

/**
 * Sends requests that a seed decides, and judges every answer.
 *
 * Each request is drawn by itself, from the seed and its number: so any of them can be had again without those before it, and
 * several can be on the way at once. What is found is then made as small as it still shows.
 */
export class FuzzRun {
  readonly #requests: fc.Arbitrary<FuzzRequest>;
  readonly #judge: Judge;
  readonly #ids: KnownIds;
  readonly #statuses = new Map<number, number>();
  readonly #tallies = new Map<string, Tally>();
  readonly #faults = new Map<string, Fault>();

  readonly #options: FuzzOptions;

  constructor(options: FuzzOptions) {
    this.#options = options;
    this.#requests = fuzzRequests(options.document);
    this.#judge = new Judge(options.document);
    this.#ids = new KnownIds(options.spared);
  }

  async run(): Promise<FuzzReport> {
    const { from = 0, requests, clients, faultsMax, lookAfter } = this.#options;
    const startedMs = performance.now();
    let next = from;
    const client = async () => {
      while (next < from + requests && this.#faults.size < faultsMax) {
        const number = next++;
        await this.#one(number);
        if (number % LOOK_EVERY === LOOK_EVERY - 1) await lookAfter?.();
      }
    };
    await Promise.all(Array.from({ length: clients }, client));
    await lookAfter?.();
    return {
      requests: [...this.#statuses.values()].reduce((sum, count) => sum + count, 0),
      seconds: (performance.now() - startedMs) / 1000,
      byStatus: new Map([...this.#statuses].sort(([a], [b]) => a - b)),
      byOperation: this.#tallies,
      faults: [...this.#faults.values()],
    };
  }

  async #one(number: number): Promise<void> {
    const [asked] = fc.sample(this.#requests, { seed: seedOf(this.#options.seed, number), numRuns: 1 });
    const { complaints, told, sent } = await this.#ask(asked!);
    this.#count(asked!.operation.name, told);
    if (complaints.length === 0) return;
    const key = `${asked!.operation.name}: ${kindOf(complaints[0]!)}`;
    if (this.#faults.has(key)) return;
    // Noted first: the others go on meanwhile, and find the same.
    const fault = { number, operation: asked!.operation.name, complaints, curl: this.#curl(number, sent) };
    this.#faults.set(key, fault);
    this.#faults.set(key, { ...fault, ...(await this.#smaller(number)) });
  }

  async #ask(asked: FuzzRequest): Promise<{ complaints: string[]; told: Told | undefined; sent: Sent }> {
    const sent = this.#sentFor(asked);
    const deadline = AbortSignal.timeout(this.#options.deadlineMs);
    try {
      const told = await exchange(sent, deadline);
      const { path } = asked.operation;
      if (told.status < 300 && sent.method === 'DELETE') this.#ids.forget(path, sent.url);
      else if (told.status < 300) this.#ids.learn(path, sent.url, parsed(told.text));
      return { complaints: this.#judge.complaints(asked, told), told, sent };
    } catch (error) {
      const complaint = deadline.aborted
        ? `no answer within ${this.#options.deadlineMs} ms`
        : `no answer: ${String(error)}`;
      return { complaints: [complaint], told: undefined, sent };
    }
  }

  #sentFor({ operation, method, target, headers, key, body }: FuzzRequest): Sent {
    const own = operation.admin ? this.#options.adminKey : this.#options.key;
    const presented = key === 'known' ? own : key === 'unknown' ? 'sk-nobody' : undefined;
    return {
      method,
      url: this.#options.url + this.#ids.fill(target),
      headers: { ...(presented !== undefined && { authorization: `Bearer ${presented}` }), ...headers },
      body: typeof body === 'string' ? this.#ids.fill(body) : body,
    };
  }

  /** The same request by way of fast-check, which then tries what is simpler. */
  async #smaller(number: number): Promise<Partial<Fault>> {
    let smallest: Partial<Fault> = {};
    const property = fc.asyncProperty(this.#requests, async (asked) => {
      const { complaints, sent } = await this.#ask(asked);
      if (complaints.length === 0) return true;
      smallest = { operation: asked.operation.name, complaints, curl: this.#curl(number, sent) };
      return false;
    });
    await fc.check(property, {
      seed: seedOf(this.#options.seed, number),
      numRuns: 1,
      interruptAfterTimeLimit: SHRINK_MS,
    });
    return smallest;
  }

  #curl(number: number, sent: Sent): string {
    return asCurl(sent, () => {
      const file = join(mkdtempSync(join(tmpdir(), 'millrace-fuzz-')), `${number}.body`);
      writeFileSync(file, sent.body ?? '');
      return file;
    });
  }

  #count(operation: string, told: Told | undefined): void {
    const status = told?.status ?? 0;
    const tally = this.#tallies.get(operation) ?? { requests: 0, statuses: new Map(), worstMs: 0 };
    this.#tallies.set(operation, tally);
    tally.requests++;
    tally.statuses.set(status, (tally.statuses.get(status) ?? 0) + 1);
    tally.worstMs = Math.max(tally.worstMs, told?.tookMs ?? this.#options.deadlineMs);
    this.#statuses.set(status, (this.#statuses.get(status) ?? 0) + 1);
  }
}

/** Neighbouring seeds would otherwise send nearly the same requests. */
function seedOf(seed: number, number: number): number {
  return (Math.imul(seed, 0x9e3779b1) + number) | 0;
}

/** Without what differs from one time to the next. */
function kindOf(complaint: string): string {
  return complaint.replaceAll(/\d+/g, '#').slice(0, 60);
}
