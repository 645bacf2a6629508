/** Clients that ask without end while the ground shakes, and remember every answer. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface Door {
  /** Of the gateway, in reports. */
  readonly name: string;
  readonly url: string;
}

export interface Member {
  readonly door: Door;
  readonly key: string;
  /** Statuses that are no failure. */
  readonly accepted: ReadonlySet<number>;
}

export interface Answered {
  readonly door: string;
  readonly status: number;
  /** On the clock of `performance.now()`. */
  readonly atMs: number;
  readonly tookMs: number;
}

export interface Failure {
  readonly door: string;
  readonly requestId: string;
  readonly what: string;
  readonly atMs: number;
}

const PAUSE_MS = 100;
const ANSWER_TIMEOUT_MS = 60_000;
const PIECES = 8;
const LAST_PIECE = `word${PIECES - 1}`;

/**
 * Ownership: of its clients. `stop` lets each have its last answer.
 * Concurrency: each client asks one thing at a time, whole and streamed answers by turns.
 */
export class Crowd {
  /** By request id, each of which is used once. */
  readonly answered = new Map<string, Answered>();
  readonly failures: Failure[] = [];
  readonly #gone = new Set<string>();
  readonly #clients: Promise<void>[];
  #stopped = false;
  #asked = 0;

  /** @param prefix what request ids begin with. */
  constructor(members: readonly Member[], prefix: string) {
    this.#clients = members.map((member) => this.#ask(member, prefix));
  }

  /** From now on it is no failure that nobody opens there. */
  expectGone({ name }: Door): void {
    this.#gone.add(name);
  }

  expectBack({ name }: Door): void {
    this.#gone.delete(name);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
  }

  async #ask(member: Member, prefix: string): Promise<void> {
    while (!this.#stopped) {
      const number = this.#asked++;
      const requestId = `${prefix}-${number}`;
      const startedMs = performance.now();
      try {
        const status = await askOnce(member, requestId, number % 2 === 1);
        const atMs = performance.now();
        this.answered.set(requestId, { door: member.door.name, status, atMs, tookMs: atMs - startedMs });
      } catch (error) {
        const { name } = member.door;
        const what = describe(error);
        if (!this.#gone.has(name)) this.failures.push({ door: name, requestId, what, atMs: performance.now() });
      }
      await sleep(PAUSE_MS);
    }
  }
}

/** @returns the status. @throws Error when it is not accepted, or the answer is not what was asked for. */
async function askOnce({ door, key, accepted }: Member, requestId: string, stream: boolean): Promise<number> {
  const response = await fetch(`${door.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}`, 'x-request-id': requestId },
    body: JSON.stringify({
      model: 'bare',
      messages: [{ role: 'user', content: 'Say some words.' }],
      max_tokens: PIECES,
      stream,
    }),
    signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
  });
  const text = await response.text();
  if (!accepted.has(response.status)) throw new Error(`status ${response.status}: ${text.slice(0, 300)}`);
  const isWhole = text.includes(LAST_PIECE) && (!stream || text.includes('[DONE]'));
  if (response.status === 200 && !isWhole) throw new Error(`not the whole answer: ${text.slice(-300)}`);
  return response.status;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}
