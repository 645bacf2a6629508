import {
  type AnswerEvent,
  type AnswerRequest,
  type Embeddings,
  type EmbedRequest,
  type Engine,
  InferenceError,
  type ModelDescription,
  type Prompt,
  type Ranking,
  type RerankRequest,
  type Tokenized,
  type TokenizeRequest,
} from '@millrace/contracts';

/** What the engine does with what it is asked; what is absent it can't do. */
export interface Told {
  readonly answer?: (request: AnswerRequest, signal: AbortSignal) => AsyncIterable<AnswerEvent>;
  readonly embed?: (request: EmbedRequest, signal: AbortSignal) => Promise<Embeddings>;
  readonly rerank?: (request: RerankRequest, signal: AbortSignal) => Promise<Ranking>;
  readonly tokenize?: (request: TokenizeRequest) => Promise<Tokenized>;
  readonly detokenize?: (tokens: readonly number[]) => Promise<string>;
  readonly renderPrompt?: (prompt: Extract<Prompt, { kind: 'chat' }>) => Promise<string>;
}

/** An engine that does what a test tells it, for what no model can be made to do at a given moment. */
export class TellingEngine implements Engine {
  constructor(
    private readonly told: Told,
    private readonly id = 'scripted',
  ) {}

  describe(): ModelDescription {
    return {
      id: this.id,
      aliases: [],
      contextLength: 100,
      capabilities: ['chat'],
      engine: 'telling 1',
      created: 0,
      samplingDefaults: {},
      isDefault: true,
    };
  }

  load() {
    return { running: 0, waiting: 0 };
  }

  answer(request: AnswerRequest, signal: AbortSignal): AsyncIterable<AnswerEvent> {
    if (this.told.answer === undefined) throw cannot();
    return this.told.answer(request, signal);
  }

  async embed(request: EmbedRequest, signal: AbortSignal): Promise<Embeddings> {
    if (this.told.embed === undefined) throw cannot();
    return this.told.embed(request, signal);
  }

  async rerank(request: RerankRequest, signal: AbortSignal): Promise<Ranking> {
    if (this.told.rerank === undefined) throw cannot();
    return this.told.rerank(request, signal);
  }

  async tokenize(request: TokenizeRequest): Promise<Tokenized> {
    if (this.told.tokenize === undefined) throw cannot();
    return this.told.tokenize(request);
  }

  async detokenize(tokens: readonly number[]): Promise<string> {
    if (this.told.detokenize === undefined) throw cannot();
    return this.told.detokenize(tokens);
  }

  async renderPrompt(prompt: Extract<Prompt, { kind: 'chat' }>): Promise<string> {
    if (this.told.renderPrompt === undefined) throw cannot();
    return this.told.renderPrompt(prompt);
  }

  async close(): Promise<void> {}
}

function cannot(): InferenceError {
  return new InferenceError('unsupported_parameter', 'It was told nothing about this.');
}
