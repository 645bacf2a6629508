import {
  type AnswerEvent,
  type AnswerRequest,
  type Embeddings,
  type EmbedRequest,
  type Engine,
  type EngineLoad,
  InferenceError,
  type ModelDescription,
  type Prompt,
  type Ranking,
  type RerankRequest,
  type Tokenized,
  type TokenizeRequest,
} from '@millrace/contracts';
import type { KeptProgram } from './kept-program.js';

/**
 * The engine that asks the program, and says honestly when that is away.
 *
 * A program that dies takes its running answers with it; their connections break, and they fail with `upstream_failed`. New ones
 * are refused until it is up again, so that they can go to another worker meanwhile.
 *
 * Ownership: owns the program and the engine that speaks to it, and closes both.
 */
export class OpenVinoEngine implements Engine {
  constructor(
    private readonly program: KeptProgram,
    private readonly inner: Engine,
  ) {}

  /** Of the program, at this moment. */
  get pid(): number | undefined {
    return this.program.pid;
  }

  describe(): ModelDescription {
    const description = this.inner.describe();
    const { state } = this.program;
    if (state.kind === 'running') return description;
    return { ...description, state: state.kind === 'failed' ? 'failed' : 'loading', detail: state.sentence };
  }

  load(): EngineLoad {
    return this.inner.load();
  }

  answer(request: AnswerRequest, signal: AbortSignal): AsyncIterable<AnswerEvent> {
    const refusal = this.#refusal();
    return refusal === undefined ? this.inner.answer(request, signal) : refused(refusal);
  }

  async embed(request: EmbedRequest, signal: AbortSignal): Promise<Embeddings> {
    return this.inner.embed(request, signal);
  }

  async rerank(request: RerankRequest, signal: AbortSignal): Promise<Ranking> {
    return this.inner.rerank(request, signal);
  }

  async tokenize(request: TokenizeRequest): Promise<Tokenized> {
    return this.inner.tokenize(request);
  }

  async detokenize(tokens: readonly number[]): Promise<string> {
    return this.inner.detokenize(tokens);
  }

  async renderPrompt(prompt: Extract<Prompt, { kind: 'chat' }>): Promise<string> {
    return this.inner.renderPrompt(prompt);
  }

  async close(): Promise<void> {
    await this.inner.close();
    await this.program.stop();
  }

  #refusal(): InferenceError | undefined {
    const { state } = this.program;
    switch (state.kind) {
      case 'running':
      case 'stopped':
        // Stopped, it is the inner engine that refuses.
        return undefined;
      case 'restarting':
        return new InferenceError('model_not_ready', state.sentence, { retryAfterSeconds: 2 });
      case 'failed':
        return new InferenceError('model_failed', state.sentence);
    }
  }
}

function refused(error: InferenceError): AsyncIterable<AnswerEvent> {
  return { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error) }) };
}
