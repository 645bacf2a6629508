import { InferenceError, type Prompt, type Tokenized, type TokenizeRequest } from '@millrace/contracts';
import type { EngineParts } from './openai-engine.js';
import { pieceBytes } from './piece-bytes.js';
import { noAnswer } from './upstream-failure.js';
import { wordedMessage } from './worded-message.js';

type ChatPrompt = Extract<Prompt, { kind: 'chat' }>;
type Fields = Readonly<Record<string, unknown>>;

/** What some servers tell of their vocabulary, at paths of their own. */
export interface TokenCalls {
  tokenize(request: TokenizeRequest): Promise<Tokenized>;
  detokenize(tokens: readonly number[]): Promise<string>;
  renderPrompt(prompt: ChatPrompt): Promise<string>;
}

type Ask = (url: URL, body: object) => Promise<unknown>;

export function openTokenCalls(parts: EngineParts, ask: Ask): TokenCalls | undefined {
  // Beside OpenAI's paths, not behind them.
  const root = new URL(`${parts.client.urlOf('').href.replace(/\/v1\/?$/, '')}`);
  const at = (path: string, body: object) => ask(new URL(`${root.href.replace(/\/$/, '')}${path}`), body);
  switch (parts.preset.tokens) {
    case 'llama-server':
      return new LlamaServerTokens(parts, at);
    case 'vllm':
      return new VllmTokens(parts, at);
    default:
      return undefined;
  }
}

type AskAt = (path: string, body: object) => Promise<unknown>;

class LlamaServerTokens implements TokenCalls {
  constructor(
    private readonly parts: EngineParts,
    private readonly ask: AskAt,
  ) {}

  async tokenize({ prompt, addSpecial, parseSpecial }: TokenizeRequest): Promise<Tokenized> {
    if (prompt.kind === 'tokens') return { tokens: prompt.tokens, pieces: await this.#pieces(prompt.tokens) };
    const chat = prompt.kind === 'chat';
    const body = {
      content: chat ? await this.renderPrompt(prompt) : prompt.text,
      // A template brings its own.
      add_special: chat ? false : addSpecial,
      parse_special: chat ? true : parseSpecial,
      with_pieces: true,
    };
    const tokens = listIn(await this.ask('/tokenize', body), 'tokens', this.parts);
    return {
      tokens: tokens.map((token) => numberIn((token as Fields).id, this.parts)),
      pieces: tokens.map((token) => pieceOf((token as Fields).piece)),
    };
  }

  async detokenize(tokens: readonly number[]): Promise<string> {
    return textIn(await this.ask('/detokenize', { tokens }), 'content', this.parts);
  }

  async renderPrompt({ messages, tools, templateVariables, documents }: ChatPrompt): Promise<string> {
    const variables = { ...templateVariables, ...(documents !== undefined && { documents }) };
    const worded = messages.map((message) => wordedMessage(message, this.parts.preset));
    const body = { messages: worded, ...(tools.length > 0 && { tools }), chat_template_kwargs: variables };
    return textIn(await this.ask('/apply-template', body), 'prompt', this.parts);
  }

  async #pieces(tokens: readonly number[]): Promise<Uint8Array[]> {
    const pieces: Uint8Array[] = [];
    for (const token of tokens) pieces.push(Buffer.from(await this.detokenize([token])));
    return pieces;
  }
}

class VllmTokens implements TokenCalls {
  constructor(
    private readonly parts: EngineParts,
    private readonly ask: AskAt,
  ) {}

  async tokenize({ prompt, addSpecial }: TokenizeRequest): Promise<Tokenized> {
    if (prompt.kind === 'tokens') throw tokensAlready();
    const reply = await this.ask('/tokenize', { ...this.#asked(prompt, addSpecial), return_token_strs: true });
    const tokens = listIn(reply, 'tokens', this.parts).map((token) => numberIn(token, this.parts));
    const spellings = listIn(reply, 'token_strs', this.parts).map(String);
    return { tokens, pieces: pieceBytes(spellings, prompt.kind === 'text' ? prompt.text : undefined) };
  }

  async detokenize(tokens: readonly number[]): Promise<string> {
    const body = { model: this.parts.upstreamModel, tokens };
    return textIn(await this.ask('/detokenize', body), 'prompt', this.parts);
  }

  /** It renders only to tokens, so these are made a text again. */
  async renderPrompt(prompt: ChatPrompt): Promise<string> {
    const reply = await this.ask('/tokenize', this.#asked(prompt, false));
    return this.detokenize(listIn(reply, 'tokens', this.parts).map((token) => numberIn(token, this.parts)));
  }

  #asked(prompt: Exclude<Prompt, { kind: 'tokens' }>, addSpecial: boolean): Fields {
    const model = this.parts.upstreamModel;
    if (prompt.kind === 'text') return { model, prompt: prompt.text, add_special_tokens: addSpecial };
    const { messages, tools, templateVariables, documents } = prompt;
    const variables = { ...templateVariables, ...(documents !== undefined && { documents }) };
    const worded = messages.map((message) => wordedMessage(message, this.parts.preset));
    return { model, messages: worded, ...(tools.length > 0 && { tools }), chat_template_kwargs: variables };
  }
}

function pieceOf(piece: unknown): Uint8Array {
  return Array.isArray(piece) ? Uint8Array.from(piece as number[]) : Buffer.from(String(piece ?? ''));
}

function listIn(reply: unknown, key: string, { subject }: EngineParts): unknown[] {
  const list = (reply as Fields | null)?.[key];
  if (!Array.isArray(list)) throw noAnswer(`no \`${key}\``, subject).error;
  return list;
}

function numberIn(value: unknown, { subject }: EngineParts): number {
  if (typeof value !== 'number') throw noAnswer('a token that is no number', subject).error;
  return value;
}

function textIn(reply: unknown, key: string, { subject }: EngineParts): string {
  const text = (reply as Fields | null)?.[key];
  if (typeof text !== 'string') throw noAnswer(`no \`${key}\``, subject).error;
  return text;
}

function tokensAlready(): InferenceError {
  return new InferenceError('invalid_request', 'The prompt is tokens already. Send a text or messages.', {
    param: 'content',
  });
}
