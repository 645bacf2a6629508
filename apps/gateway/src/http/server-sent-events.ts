import { toOpenAiResponse } from '@millrace/contracts';
import type { FastifyReply } from 'fastify';
import type { Call } from '../vocabulary.js';

export interface StreamLimits {
  /** How long the status is held back for the first chunk. */
  readonly statusHoldMs: number;
  readonly heartbeatMs: number;
  /** How long a client may leave its stream unread. */
  readonly clientStallTimeoutMs: number;
}

/** Injected under this token. */
export const STREAM_LIMITS = Symbol('STREAM_LIMITS');

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  'x-accel-buffering': 'no', // Or nginx holds tokens back until its buffer is full.
};

/** A comment, which every reader of server-sent events skips; it only shows proxies that somebody is here. */
const HEARTBEAT = ': heartbeat\n\n';

/** How an API writes the events of a stream. Each is what the walk gives, in one `JSON.stringify`. */
export interface StreamFormat {
  event(chunk: object): string;
  /** Behind the last of them, if all went well. */
  readonly end: string;
  /** In place of what did not come. */
  failure(error: unknown): string;
}

/** As `/v1/chat/completions` has it. */
export const CHUNKS: StreamFormat = {
  event: (chunk) => `data: ${JSON.stringify(chunk)}\n\n`,
  end: 'data: [DONE]\n\n',
  // No [DONE] here: its absence is how a client tells a cut answer from a finished one.
  failure: (error) => CHUNKS.event(toOpenAiResponse(error).body),
};

/** What comes of a walk. */
export type Answer =
  | { readonly kind: 'whole'; readonly body: object }
  | { readonly kind: 'stream'; readonly chunks: AsyncIterable<readonly object[]> };

type Begun =
  | Extract<Answer, { kind: 'whole' }>
  | { readonly kind: 'stream'; readonly source: Chunks; readonly first: IteratorResult<readonly object[]> };

type Chunks = AsyncIterator<readonly object[]>;

/**
 * Sends an answer, and streams it the way OpenAI does. Not Nest's `@Sse()`: it numbers every event and has its own shape for
 * errors, and OpenAI's clients expect neither.
 *
 * Nothing is sent before the first chunks are there, so that a failure up to then is still an ordinary JSON error with its own
 * status. A stream waits for them no longer than `statusHoldMs` from its arrival, whatever it is that it waits for: a worker,
 * its caller's limits, a place. Then its status goes out, and later failures find it spent.
 */
export async function sendAnswer(
  reply: FastifyReply,
  { arrivedMs }: Pick<Call, 'arrivedMs'>,
  body: unknown,
  answer: Promise<Answer>,
  limits: StreamLimits,
  format: StreamFormat = CHUNKS,
): Promise<void> {
  const begun = begin(reply, answer);
  const holdMs = arrivedMs + limits.statusHoldMs - performance.now();
  const inTime = !asksForStream(body) || (await settledWithin(begun, holdMs));
  if (inTime) {
    const answered = await begun;
    if (answered.kind === 'whole') reply.send(answered.body);
    else await pump(openStream(reply, limits), begun, format);
    return;
  }
  const stream = openStream(reply, limits);
  stream.write(HEARTBEAT); // Takes the status along; with a first chunk, one packet carries both.
  await pump(stream, begun, format);
}

/** Nobody has looked at the body yet. If it is not valid, it is refused before this matters. */
function asksForStream(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'stream' in body && body.stream === true;
}

/**
 * Waits for the first chunks. Two mechanisms free the worker when the client leaves, and both are needed: the call's signal
 * interrupts a wait for the next token, and `return()` ends a source that is between two tokens.
 */
async function begin(reply: FastifyReply, answer: Promise<Answer>): Promise<Begun> {
  const answered = await answer;
  if (answered.kind === 'whole') return answered;
  const source = answered.chunks[Symbol.asyncIterator]();
  // On `close` and not in a `finally`: a client that left while nothing was pulled would never get there.
  reply.raw.once('close', () => void source.return?.()?.then(undefined, () => {}));
  return { kind: 'stream', source, first: await source.next() };
}

/**
 * One JSON.stringify a chunk. In a profile of 32 streaming clients it took 5 % of the gateway's time and the writes
 * themselves 45 %, so chunks are not put together from prepared pieces.
 */
async function pump(stream: EventStream, begun: Promise<Begun>, format: StreamFormat): Promise<void> {
  try {
    const answered = await begun;
    if (answered.kind === 'whole') throw new Error('A body that asks for a stream was answered whole.');
    for (let next = answered.first; !next.done; next = await answered.source.next()) {
      if (!stream.write(next.value.map(format.event).join(''))) await stream.drained();
    }
    stream.end(format.end);
  } catch (error) {
    stream.end(format.failure(error));
  }
}

/** Whether `first` was there before the time was up; throws what `first` throws. */
async function settledWithin(first: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, ms, false);
  });
  return Promise.race([first.then(() => true), timeUp]).finally(() => clearTimeout(timer));
}

interface EventStream {
  /** False when the client does not keep up: then await `drained` before the next. */
  write(text: string): boolean;
  drained(): Promise<void>;
  end(text: string): void;
}

/**
 * Takes the answer out of Fastify's hands: its own way of sending a stream knows no heartbeat and does not tell when a
 * reader stalls. The headers that hooks have set so far (x-request-id, CORS) go along.
 */
function openStream(reply: FastifyReply, limits: StreamLimits): EventStream {
  const { raw } = reply;
  reply.hijack();
  raw.writeHead(200, { ...(reply.getHeaders() as Record<string, string>), ...HEADERS });
  raw.on('error', () => {}); // A write to a connection that has just gone; `close` tells of it too.
  const heartbeat = setInterval(() => {
    if (!raw.writableNeedDrain) raw.write(HEARTBEAT);
  }, limits.heartbeatMs);
  const dropWhenStalled = () => setTimeout(() => raw.destroy(), limits.clientStallTimeoutMs);

  return {
    write: (text) => {
      heartbeat.refresh();
      // Several writes of one turn leave in one packet: Node corks the socket until the turn is over.
      return raw.write(text);
    },
    drained: () => {
      if (raw.destroyed) return Promise.resolve();
      // Not reading pauses this sequence alone: nothing is pulled, so no credit goes back to the worker.
      const stalled = dropWhenStalled();
      return new Promise((resolve) => {
        const goOn = () => {
          clearTimeout(stalled);
          raw.off('drain', goOn).off('close', goOn);
          resolve();
        };
        raw.once('drain', goOn).once('close', goOn);
      });
    },
    end: (text) => {
      clearInterval(heartbeat);
      if (raw.destroyed) return;
      const stalled = dropWhenStalled();
      raw.once('close', () => clearTimeout(stalled)).end(text);
    },
  };
}
