import type { ServerUnaryCall, ServerWritableStream } from '@grpc/grpc-js';
import type {
  ChatPrompt,
  DetokenizeReply,
  DetokenizeRequest,
  EmbedInput,
  EmbedPart,
  EmbedRequest,
  Failure,
  RenderPromptReply,
  RenderPromptRequest,
  RerankReply,
  RerankRequest,
  TokenizeReply,
  TokenizeRequest,
} from '@millrace/contracts/protocol';

export type WorkMessage = EmbedRequest | RerankRequest | TokenizeRequest | DetokenizeRequest | RenderPromptRequest;

/** What a fake worker does with one call for work. Absent: it does the work. */
export interface WorkScript {
  readonly failure?: Partial<Failure>;
  /** Says nothing until it is cancelled. */
  readonly silent?: boolean;
  /** Is gone before it replies, as after `kill -9`. */
  readonly die?: boolean;
  /** Sends a reply that makes no sense: one result too few. */
  readonly tooFew?: boolean;
}

type Call = ServerUnaryCall<WorkMessage, unknown> | ServerWritableStream<WorkMessage, unknown>;
type Reply<R> = (error: null, reply: R) => void;

/** The made-up model's tokens: a text's bytes from this on, and below it the control tokens. */
const BYTE_TOKENS = 100;
const BEGIN = { id: 1, text: '<s>' };
const END = { id: 2, text: '<|end|>' };

/** Vectors and scores that depend on nothing but the text; tokens that are bytes. Remembers what it was asked. */
export class FakeWork {
  readonly asked: WorkMessage[] = [];
  cancelled = 0;
  /** Calls that were neither answered nor cancelled yet. */
  underWay = 0;
  /** Time left at arrival, as gRPC told it. */
  readonly deadlinesMs: number[] = [];

  constructor(
    private readonly script: (message: WorkMessage) => WorkScript,
    private readonly die: () => void,
  ) {}

  /** For the gRPC server. */
  readonly handlers = {
    embed: (call: ServerWritableStream<EmbedRequest, EmbedPart>) => {
      const { inputs, dimensions } = call.request;
      this.#act(
        call,
        (failure) => endWith(call, { vectors: [], promptTokens: 0, failure }),
        (tooFew) => {
          const vectors = inputs.slice(tooFew ? 1 : 0).map((input) => vectorOf(input, dimensions || 8));
          // In parts of two, as a worker sends parts that fit in a message.
          for (let at = 0; at < vectors.length; at += 2) {
            call.write({ vectors: vectors.slice(at, at + 2), promptTokens: 0, failure: undefined });
          }
          endWith(call, { vectors: [], promptTokens: tokensOf(inputs), failure: undefined });
        },
      );
    },
    rerank: (call: ServerUnaryCall<RerankRequest, RerankReply>, done: Reply<RerankReply>) => {
      const { query, documents } = call.request;
      this.#act(
        call,
        (failure) => done(null, { scores: [], promptTokens: 0, failure }),
        (tooFew) => {
          const scores = documents.slice(tooFew ? 1 : 0).map((document) => commonWords(query, document) / 7);
          done(null, { scores, promptTokens: wordsIn([query, ...documents].join(' ')), failure: undefined });
        },
      );
    },
    tokenize: (call: ServerUnaryCall<TokenizeRequest, TokenizeReply>, done: Reply<TokenizeReply>) => {
      this.#act(
        call,
        (failure) => done(null, { tokens: [], pieces: [], failure }),
        (tooFew) => {
          const reply = tokenized(call.request);
          done(null, tooFew ? { ...reply, pieces: reply.pieces.slice(1) } : reply);
        },
      );
    },
    detokenize: (call: ServerUnaryCall<DetokenizeRequest, DetokenizeReply>, done: Reply<DetokenizeReply>) => {
      const wrong = call.request.tokens.find((token) => token < BYTE_TOKENS || token >= BYTE_TOKENS + 256);
      const param = 'tokens';
      this.#act(
        call,
        (failure) => done(null, { text: '', failure }),
        () => done(null, { text: textOf(call.request.tokens), failure: undefined }),
        wrong === undefined ? {} : { failure: { code: 'invalid_request', message: `${wrong} is no token.`, param } },
      );
    },
    renderPrompt: (call: ServerUnaryCall<RenderPromptRequest, RenderPromptReply>, done: Reply<RenderPromptReply>) => {
      this.#act(
        call,
        (failure) => done(null, { text: '', failure }),
        () => done(null, { text: rendered(call.request.chat), failure: undefined }),
      );
    },
  };

  #act(
    call: Call,
    fail: (failure: Failure) => void,
    work: (tooFew: boolean) => void,
    otherwise: WorkScript = {},
  ): void {
    this.asked.push(call.request);
    this.deadlinesMs.push(Number(call.getDeadline()) - Date.now());
    let open = true;
    this.underWay++;
    const close = () => {
      if (open) this.underWay--;
      open = false;
    };
    call.on('cancelled', () => {
      this.cancelled++;
      close();
    });
    const { failure, silent, die, tooFew = false } = { ...otherwise, ...this.script(call.request) };
    if (!silent) close();
    if (die) this.die();
    else if (failure)
      fail({ code: 'internal_error', message: 'scripted', param: '', retryAfterSeconds: 0, limit: '', ...failure });
    else if (!silent) work(tooFew);
  }
}

/** The same text, or tokens, always gives the same vector, of length 1. */
export function numbersOf(text: string, dimensions: number): Float32Array {
  let hash = 1;
  for (const character of text) hash = (hash * 31 + character.codePointAt(0)!) % 1_000_003;
  const numbers = Float32Array.from({ length: dimensions }, (_, index) => Math.sin(hash * (index + 1)));
  const length = Math.hypot(...numbers);
  return numbers.map((number) => number / length);
}

/** Not `end(part)`: gRPC takes that for metadata. */
function endWith(call: ServerWritableStream<EmbedRequest, EmbedPart>, part: EmbedPart): void {
  call.write(part);
  call.end();
}

function vectorOf({ input }: EmbedInput, dimensions: number): Uint8Array {
  const text = input?.$case === 'tokens' ? input.value.ids.join() : (input?.value ?? '');
  const bytes = Buffer.alloc(dimensions * 4);
  for (const [index, number] of numbersOf(text, dimensions).entries()) bytes.writeFloatLE(number, index * 4);
  return bytes;
}

function tokensOf(inputs: readonly EmbedInput[]): number {
  return inputs.reduce(
    (sum, { input }) => sum + (input?.$case === 'tokens' ? input.value.ids.length : wordsIn(input?.value ?? '')),
    0,
  );
}

function wordsIn(text: string): number {
  return text.split(' ').length;
}

function commonWords(query: string, document: string): number {
  const words = new Set(query.split(' '));
  return document.split(' ').filter((word) => words.has(word)).length;
}

function tokenized({ prompt, addSpecial, parseSpecial }: TokenizeRequest): TokenizeReply {
  const text = prompt?.$case === 'chat' ? rendered(prompt.value) : (prompt?.value ?? '');
  const parts = parseSpecial ? text.split(/(<\|end\|>)/) : [text];
  const tokens = parts.flatMap((part) => (part === END.text && parseSpecial ? [END.id] : byteTokens(part)));
  const all = addSpecial ? [BEGIN.id, ...tokens] : tokens;
  return { tokens: all, pieces: all.map(pieceOf), failure: undefined };
}

function byteTokens(text: string): number[] {
  return [...Buffer.from(text)].map((byte) => byte + BYTE_TOKENS);
}

function pieceOf(token: number): Buffer {
  if (token === BEGIN.id) return Buffer.from(BEGIN.text);
  return token === END.id ? Buffer.from(END.text) : Buffer.from([token - BYTE_TOKENS]);
}

function textOf(tokens: readonly number[]): string {
  return Buffer.from(tokens.map((token) => token - BYTE_TOKENS)).toString();
}

function rendered(chat: ChatPrompt | undefined): string {
  const messages = JSON.parse(chat?.messagesJson ?? '[]') as { role: string; content: string }[];
  const tools = chat?.toolsJson ? `tools: ${chat.toolsJson}\n` : '';
  return `${tools}${messages.map(({ role, content }) => `${role}: ${content}\n`).join('')}assistant: `;
}
