import type { AnswerEvent } from '@millrace/contracts';
import { type AnswerChunks, parsedJson } from './answer-chunks.js';
import { EventStream, EventTooLong } from './event-stream.js';
import type { UpstreamResponse } from './upstream-client.js';
import { brokenOff, noAnswer, UpstreamFailure, type UpstreamSubject } from './upstream-failure.js';

type Tokens = Extract<AnswerEvent, { kind: 'tokens' }>;

/** Far more than a model says in one go; an answer that comes whole may be larger. */
const EVENT_BYTES_MAX = 4 * 1024 * 1024;
const BODY_BYTES_MAX = 32 * 1024 * 1024;
const DONE = '[DONE]';
/** How long the numbers may take once the answer has ended, before they are estimated. */
const USAGE_MS_MAX = 2_000;

/**
 * The events of one answer, read out of an upstream's response only as they are asked for.
 *
 * Ownership: owns the response. Whoever stops before the end calls `close`.
 */
export class AnswerSource {
  readonly #stream = new EventStream(EVENT_BYTES_MAX);
  /** Data of events that were read together; what is before `#at` is done with. */
  #data: string[] = [];
  #at = 0;
  /** Read already, but no part of what was given last. */
  #held: Tokens | undefined;
  #failure: unknown;
  #ended = false;
  #quietSinceMs = performance.now();
  #askedAtMs = 0;

  constructor(
    private readonly response: UpstreamResponse,
    readonly chunks: AnswerChunks,
    private readonly subject: UpstreamSubject,
  ) {}

  /**
   * What comes next, or undefined at the end. Texts that came together are given together: whoever passes them on has the same work
   * with one of them as with sixteen.
   *
   * @throws UpstreamFailure when the answer breaks off or is none; what the signal was aborted with.
   */
  async next(): Promise<Tokens | undefined> {
    // Whatever passed since the last call was the reader's own time.
    this.#quietSinceMs = performance.now();
    this.#askedAtMs = this.#quietSinceMs;
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      const event = this.#gathered();
      if (event !== undefined || this.#ended) return event;
      await this.#more();
    }
  }

  close(): void {
    this.response.close();
  }

  /** Of what was read, what comes next; undefined: nothing is left, or the answer has ended. */
  #gathered(): Tokens | undefined {
    let gathered = this.#held;
    this.#held = undefined;
    try {
      for (let event = this.#nextRead(); event !== undefined; event = this.#nextRead()) {
        const joined = gathered === undefined ? event : joinedTexts(gathered, event);
        if (joined === undefined) {
          this.#held = event;
          break;
        }
        gathered = joined;
      }
    } catch (error) {
      if (gathered === undefined) throw error;
      this.#failure = error; // Said when the rest is asked for.
    }
    return gathered;
  }

  #nextRead(): Tokens | undefined {
    while (!this.#ended) {
      const data = this.#data[this.#at];
      if (data === undefined) return undefined;
      this.#at++;
      if (data === DONE) this.#done();
      else {
        const event = this.chunks.add(parsedJson(data, this.subject));
        if (event !== undefined) return event;
      }
    }
    return undefined;
  }

  async #more(): Promise<void> {
    this.#at = 0;
    this.#data = [];
    const { contentType } = this.response;
    if (contentType.startsWith('text/html')) throw noAnswer('a page of HTML', this.subject);
    if (contentType.startsWith('application/json')) {
      // It doesn't stream, and answers whole.
      this.#data = [await this.response.text(BODY_BYTES_MAX), DONE];
      return;
    }
    const bytes = await this.#read();
    if (bytes === undefined) return this.#done();
    this.#data = this.#events(bytes);
  }

  #events(bytes: Buffer): string[] {
    const { lines } = this.#stream;
    try {
      return this.#stream.push(bytes);
    } catch (error) {
      if (!(error instanceof EventTooLong)) throw error;
      throw noAnswer(`more than ${error.bytesMax.toLocaleString('en-US')} bytes in one event`, this.subject);
    } finally {
      // Single bytes of a line that never ends are no sign of life.
      if (this.#stream.lines > lines) this.#quietSinceMs = performance.now();
    }
  }

  /** Bytes, or undefined at the end: also where the connection breaks, or only comments come, after the answer has ended. */
  async #read(): Promise<Buffer | undefined> {
    if (!this.chunks.ended) return this.response.read(this.#quietSinceMs);
    if (performance.now() - this.#askedAtMs > USAGE_MS_MAX) return undefined;
    try {
      return await this.response.read(this.#askedAtMs, USAGE_MS_MAX);
    } catch (error) {
      if (error instanceof UpstreamFailure) return undefined;
      throw error;
    }
  }

  /** Nothing more comes, by the upstream's word or without it. */
  #done(): void {
    const told = this.#data[this.#at - 1] === DONE;
    // Where it says that it is done but not how, it is taken at its word.
    if (!this.chunks.begun || !(told || this.chunks.ended)) throw brokenOff('later', this.subject);
    this.#ended = true;
    this.response.leave();
  }
}

/** Two events as one, where both are nothing but text, or thoughts; else undefined. */
function joinedTexts(a: Tokens, b: Tokens): Tokens | undefined {
  if (!isPlain(a) || !isPlain(b)) return undefined;
  if ((a.reasoning === undefined) !== (b.reasoning === undefined)) return undefined;
  const { reasoning = '' } = a;
  return {
    ...a,
    text: a.text + b.text,
    unnumbered: (a.unnumbered ?? 0) + (b.unnumbered ?? 0),
    ...(b.reasoning !== undefined && { reasoning: reasoning + b.reasoning }),
  };
}

function isPlain({ tokens, calls, citations, logprobs }: Tokens): boolean {
  return tokens.length === 0 && calls === undefined && citations === undefined && logprobs === undefined;
}
