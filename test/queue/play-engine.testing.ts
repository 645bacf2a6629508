import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AnswerEvent,
  type AnswerRequest,
  type Embeddings,
  type EmbedRequest,
  type Engine,
  InferenceError,
  type ModelDescription,
  type Ranking,
  type RerankRequest,
  type Tokenized,
} from '@millrace/contracts';
import type { Play } from '../../apps/gateway/src/dispatch/worker-client.contract.ts';

const VECTOR = Float32Array.of(0.5, 0.5, 0.5, 0.5, 0, 0, 0, 0);
/** Between two tokens of an endless answer: so many that a second is plenty. */
const STEP_MS = 1;

/**
 * An engine that does what the last message says: see `Play`. A word is a token; an answer that goes on begins behind those that were
 * delivered.
 */
export class PlayEngine implements Engine {
  running = 0;
  /** Tokens that were asked for, of the last answer that was begun. */
  sent = 0;
  /** Every answer that was begun, in order. */
  readonly asked: AnswerRequest[] = [];
  /** Every call for vectors, in order. */
  readonly embedded: EmbedRequest[] = [];
  /** How many times the whole time of a step it takes. */
  slowness = 1;

  describe(): ModelDescription {
    return {
      id: 'demo',
      aliases: [],
      contextLength: 1_000_000,
      capabilities: ['chat', 'embedding'],
      engine: 'play 1',
      created: 0,
      samplingDefaults: {},
      isDefault: true,
    };
  }

  load() {
    return { running: this.running, waiting: 0 };
  }

  async *answer(request: AnswerRequest, signal: AbortSignal): AsyncGenerator<AnswerEvent> {
    this.asked.push(request);
    this.running++;
    this.sent = 0;
    try {
      yield* this.#play(playOf(request), request, signal);
    } finally {
      this.running--;
    }
  }

  async *#play(play: Play, request: AnswerRequest, signal: AbortSignal): AsyncGenerator<AnswerEvent> {
    const words = play.startsWith('say ') ? play.slice('say '.length).split(/(?<= )/) : ['one ', 'two '];
    const before = request.resume?.tokens.length ?? 0;
    if (play === 'silent') await sleep(3_600_000, undefined, { signal }).catch(() => signal.throwIfAborted());
    yield { kind: 'begun', promptTokens: 1, cachedTokens: 0, waitedMs: 0 };
    for (let at = before; play === 'endless' || at < words.length; at++) {
      await sleep(STEP_MS * this.slowness, undefined, { signal }).catch(() => signal.throwIfAborted());
      this.sent++;
      yield { kind: 'tokens', tokens: [at], text: play === 'endless' ? `${at} ` : words[at]! };
    }
    if (play === 'break') throw new InferenceError('upstream_failed', 'It broke.');
    const completionTokens = words.length;
    yield { kind: 'finished', reason: 'stop', usage: { promptTokens: 1, completionTokens, cachedTokens: 0 } };
  }

  async embed(request: EmbedRequest, signal: AbortSignal): Promise<Embeddings> {
    this.embedded.push(request);
    const { inputs } = request;
    if (inputs[0]?.kind === 'text' && inputs[0].text === 'silent') {
      await sleep(3_600_000, undefined, { signal }).catch(() => {});
      signal.throwIfAborted();
    }
    return { vectors: inputs.map(() => VECTOR), promptTokens: inputs.length };
  }

  async rerank({ documents }: RerankRequest): Promise<Ranking> {
    return { scores: documents.map((_, at) => at / 4), promptTokens: documents.length };
  }

  async tokenize(): Promise<Tokenized> {
    return { tokens: [1], pieces: [Buffer.from('x')] };
  }

  async detokenize(tokens: readonly number[]): Promise<string> {
    return tokens.join(' ');
  }

  async renderPrompt(): Promise<string> {
    return 'rendered';
  }

  async close(): Promise<void> {}
}

function playOf({ prompt }: AnswerRequest): Play {
  if (prompt.kind !== 'chat') return 'say nothing';
  return String((prompt.messages.at(-1) as { readonly content: string }).content) as Play;
}
