import type { AnswerEvent, CallDelta, FinishReason, Prompt, Usage } from '@millrace/contracts';
import { citationsIn } from './citations.js';
import { countIn } from './counts.js';
import { StopCut } from './stop-cut.js';
import { logprobsIn } from './token-logprobs.js';
import { ToolCallPieces } from './tool-call-pieces.js';
import { failureOfEvent, noAnswer, type UpstreamFailure, type UpstreamSubject } from './upstream-failure.js';

type Tokens = Extract<AnswerEvent, { kind: 'tokens' }>;
type Finished = Extract<AnswerEvent, { kind: 'finished' }>;
type Fields = Readonly<Record<string, unknown>>;

/** What a chunk is read with. */
export interface ChunkTerms {
  readonly subject: UpstreamSubject;
  /** What is answered; annotations are of its documents. */
  readonly prompt: Prompt;
  /** How many of the likeliest tokens were asked for; undefined: no log-probabilities. */
  readonly logprobs: number | undefined;
  /** Calls beyond are passed over. */
  readonly callsMax: number;
  /** Texts that end the answer. */
  readonly stops: readonly string[];
  /** Whether the upstream leaves them at its end, so that they have to be cut off. */
  readonly stopIncluded: boolean;
  /** What the prompt has in tokens, at a guess, for an upstream that never says. */
  readonly promptTokensGuess: number;
  /** Tokens that an earlier attempt delivered. */
  readonly resumedTokens: number;
  /** Those of them that the upstream was given behind the prompt, and counts with it. */
  readonly readAgainTokens: number;
}

/** Of English, with the vocabularies of today. */
const CHARACTERS_PER_TOKEN = 4;

const NO_TOKENS: readonly number[] = [];

/** What the reasons of all kinds of server mean. */
const REASONS: Readonly<Record<string, FinishReason>> = {
  stop: 'stop',
  eos: 'stop',
  eos_token: 'stop',
  end_turn: 'stop',
  stop_sequence: 'stop',
  length: 'length',
  max_tokens: 'length',
  model_length: 'length',
  tool_calls: 'tool_calls',
  tool_use: 'tool_calls',
  function_call: 'tool_calls',
  content_filter: 'content_filter',
};

/** The answer might have gone on. */
const CUT: ReadonlySet<FinishReason> = new Set(['length', 'content_filter']);

/** Reasons that are none: the server gave the answer up. */
const GIVEN_UP = new Set(['error', 'abort', 'aborted', 'cancelled']);

/**
 * Makes events of the chunks of one answer, streamed or whole, and repairs what servers get wrong in them.
 *
 * Read by hand rather than by a schema: this is done for every token, and what is odd is to be understood, not refused.
 */
export class AnswerChunks {
  readonly #calls: ToolCallPieces;
  readonly #stopCut: StopCut | undefined;
  #reason: FinishReason | undefined;
  #stopText: string | undefined;
  #usage: Fields | undefined;
  #counted = 0;
  #begun = false;

  constructor(private readonly terms: ChunkTerms) {
    this.#calls = new ToolCallPieces(terms.callsMax);
    this.#stopCut = terms.stopIncluded && terms.stops.length > 0 ? new StopCut(terms.stops) : undefined;
  }

  /** Whether anything came that belongs to an answer. */
  get begun(): boolean {
    return this.#begun;
  }

  /** Whether the upstream has said how the answer ended. */
  get ended(): boolean {
    return this.#reason !== undefined;
  }

  get usageTold(): boolean {
    return this.#usage !== undefined;
  }

  /** What the upstream says of the prompt, once it says it. */
  get promptTokens(): number {
    const told = countIn(this.#usage?.prompt_tokens);
    return told === undefined ? this.terms.promptTokensGuess : Math.max(0, told - this.terms.readAgainTokens);
  }

  get cachedTokens(): number {
    return countIn(fieldsIn(this.#usage?.prompt_tokens_details).cached_tokens) ?? 0;
  }

  /**
   * What a chunk brings, if it brings anything.
   *
   * @param chunk parsed JSON.
   * @throws UpstreamFailure when it is an error, or no chunk at all.
   */
  add(chunk: unknown): Tokens | undefined {
    const fields = fieldsIn(chunk);
    const { choices } = fields;
    if (fields.error || (!Array.isArray(choices) && isTrouble(fields))) throw this.#failed(chunk);
    this.#readUsage(fields);
    // Further choices were not asked for.
    const choice = Array.isArray(choices)
      ? fieldsIn(choices.find((each) => Number(fieldsIn(each).index ?? 0) === 0))
      : {};
    const event = this.#readChoice(choice);
    this.#begun ||= Array.isArray(choices);
    return event;
  }

  /** What was held back. */
  rest(): Tokens | undefined {
    const text = this.#stopCut?.end() ?? '';
    // Which of its calls an answer was cut in nobody says, where their pieces are mixed.
    const calls = this.#reason !== undefined && CUT.has(this.#reason) ? [] : this.#calls.end();
    return text === '' && calls.length === 0 ? undefined : tokensEvent({ text, calls });
  }

  finished(): Finished {
    const reason = this.#reasonToTell();
    const stopText = reason === 'stop' ? (this.#stopCut?.found ?? this.#stopText) : undefined;
    return { kind: 'finished', reason, usage: this.#usageToTell(), ...(stopText !== undefined && { stopText }) };
  }

  #readUsage(fields: Fields): void {
    // Groq says it in a corner of its own.
    const usage = fields.usage ?? fieldsIn(fields.x_groq).usage;
    if (typeof usage === 'object' && usage !== null) this.#usage = usage as Fields;
  }

  #readChoice(choice: Fields): Tokens | undefined {
    const { finish_reason: reason, stop_reason: stopText, logprobs } = choice;
    if (typeof reason === 'string' && reason !== '') this.#readReason(reason);
    // Only vLLM and its kin say which it was; a number is a token that ends answers.
    if (typeof stopText === 'string' && this.terms.stops.includes(stopText)) this.#stopText = stopText;
    const delta = fieldsIn(choice.delta ?? choice.message);
    const content = textIn(choice.text) + textIn(delta.content) + textIn(delta.refusal);
    // Some send the same under both names.
    const reasoning = textIn(delta.reasoning_content) || textIn(delta.reasoning);
    const calls = this.#readCalls(delta);
    const chances =
      this.terms.logprobs === undefined || logprobs == null ? undefined : logprobsIn(logprobs, this.terms.logprobs);
    const citations = delta.annotations == null ? [] : citationsIn(delta.annotations, this.terms.prompt);
    const bare = content === '' && reasoning === '' && calls.length === 0 && !chances?.length;
    if (bare) return citations.length === 0 ? undefined : tokensEvent({ text: '', citations });
    const guess = choice.message === undefined ? 1 : guessTokens(content + reasoning);
    const count = chances?.length || guess;
    this.#counted += count;
    const text = this.#stopCut === undefined || content === '' ? content : this.#stopCut.push(content);
    return tokensEvent({ text, reasoning, calls, citations, unnumbered: count, logprobs: chances });
  }

  #readCalls(delta: Fields): CallDelta[] {
    const legacy = delta.function_call;
    const pieces = legacy == null ? delta.tool_calls : [{ index: 0, function: legacy }];
    if (pieces == null) return [];
    try {
      return this.#calls.add(pieces);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw noAnswer('a call with arguments that are nested too deep', this.terms.subject);
    }
  }

  #readReason(reason: string): void {
    if (GIVEN_UP.has(reason))
      throw this.#failed({ error: { message: `it gave the answer up (${reason})`, code: 500 } });
    this.#reason = REASONS[reason] ?? 'stop';
  }

  #reasonToTell(): FinishReason {
    const reason = this.#reason ?? 'stop';
    if (reason === 'stop' && this.#calls.any) return 'tool_calls';
    return reason === 'tool_calls' && !this.#calls.any ? 'stop' : reason;
  }

  #usageToTell(): Usage {
    const { promptTokens, cachedTokens } = this;
    const completion = countIn(this.#usage?.completion_tokens) ?? this.#counted;
    const reasoning = countIn(fieldsIn(this.#usage?.completion_tokens_details).reasoning_tokens);
    return {
      promptTokens,
      completionTokens: completion + this.terms.resumedTokens,
      cachedTokens: Math.min(cachedTokens, promptTokens),
      ...(reasoning !== undefined && reasoning > 0 && { reasoningTokens: reasoning }),
    };
  }

  #failed(chunk: unknown): UpstreamFailure {
    return failureOfEvent(chunk, this.terms.subject);
  }
}

/** What an upstream sends in the place of an answer, without calling it an error. */
function isTrouble(fields: Fields): boolean {
  return fields.detail !== undefined || fields.object === 'error' || typeof fields.message === 'string';
}

/** Without what is empty. */
function tokensEvent({
  text,
  reasoning,
  calls,
  citations,
  unnumbered,
  logprobs,
}: Omit<Tokens, 'kind' | 'tokens'>): Tokens {
  return {
    kind: 'tokens',
    tokens: NO_TOKENS,
    text,
    ...(unnumbered && { unnumbered }),
    ...(reasoning && { reasoning }),
    ...(calls?.length && { calls }),
    ...(citations?.length && { citations }),
    ...(logprobs !== undefined && { logprobs }),
  };
}

/** What a text has in tokens, roughly, for want of a better number: never 0. */
export function guessTokens(text: string): number {
  return Math.max(1, Math.ceil(text.length / CHARACTERS_PER_TOKEN));
}

function fieldsIn(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

/** A text, or the texts of content parts. */
function textIn(value: unknown): string {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return '';
  return value
    .map((part) => fieldsIn(part).text)
    .filter((text) => typeof text === 'string')
    .join('');
}

/** The JSON of an event or a body. @throws UpstreamFailure when it is none. */
export function parsedJson(text: string, subject: UpstreamSubject): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw noAnswer(`${/^\s*</.test(text) ? 'a page of HTML' : 'something'} that is no JSON`, subject);
  }
}
