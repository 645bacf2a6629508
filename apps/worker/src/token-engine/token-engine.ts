import type { TokenBias } from '@millrace/contracts';

/**
 * What computes tokens, step by step. The scheduler decides who takes part; the adapter decides how a step happens.
 *
 * A **place** is room for one sequence in the engine's memory, numbered from 0. It holds the tokens that were read into
 * it until it is cleared or cut back.
 */
export interface TokenEngine {
  readonly model: TokenModel;

  /**
   * Tokens of `text`. With `special`, the texts of control tokens (such as `<|im_start|>`) become those tokens.
   * `beginning` puts the model's beginning-of-text token before them, if the model wants one.
   */
  tokenize(text: string, options: { readonly special: boolean; readonly beginning: boolean }): number[];

  /**
   * Turns tokens back into text, one after another, never splitting a character. Control tokens have no text, but for
   * those in `spelled`, whose text is their name.
   */
  openDetokenizer(spelled?: readonly number[]): Detokenizer;

  /** The control token of that name, such as `[TOOL_CALLS]`; undefined where the vocabulary has none. */
  controlToken(name: string): number | undefined;

  /** The bytes of a token as the vocabulary spells it; of a control token, its name. Not to be changed. */
  bytesOf(token: number): Uint8Array;

  /** Whether `token` ends an answer. */
  isEnd(token: number): boolean;

  /**
   * Reads a grammar in GBNF. What it returns may be used for any number of places and is freed by the garbage collector.
   * A control token can't be chosen under it, unless it is in `spelled` and its name is what the grammar derives there.
   *
   * @throws InferenceError `invalid_request` when it can't be read.
   */
  openGrammar(gbnf: string, spelled?: readonly number[]): Grammar;

  /**
   * Prepares `place` for choosing tokens by `choosing`, forgetting how it chose before. `prompt` is what penalties look
   * back at; `chosen` are the tokens of this answer so far: none for a new one, some for one that goes on elsewhere or
   * whose grammar changes in its midst. Not to be called during a step.
   *
   * @throws InferenceError `invalid_request` when what was written before does not obey the grammar.
   */
  prepare(place: number, choosing: Choosing, prompt: readonly number[], chosen: readonly number[]): void;

  /**
   * One pass over the batch. At most `model.tokensPerStepMax` tokens in all, each place at most once. For every work
   * with `choose`, the next token after its last one. Not to be called while an earlier step runs. It never settles
   * within the turn of the event loop that began it, so that what waits there gets its turn between two steps.
   *
   * @throws PlacesFailed when some places have nothing to choose from; the others are sound, and so are their tokens.
   * @throws Error when the engine breaks; the contents of the places are then unknown, and each must be cleared. A step
   *   that is impossible (a hole, a full place, too many tokens) is refused with a sentence, and changes nothing.
   */
  step(works: readonly StepWork[]): Promise<StepResult>;

  /**
   * Makes `to` hold the first `tokens` tokens of `from`, in place of what it held. Costs about as much as reading
   * `copyCostTokens` of the model's tokens would, however few are copied. Not to be called during a step.
   *
   * @throws Error when `from` holds fewer, or when the engine can't cut there (`model.cutsAnywhere`).
   */
  copy(from: number, to: number, tokens: number): Promise<void>;

  /**
   * Forgets what `place` holds from position `from` on; `from` 0 clears it. Not to be called during a step.
   *
   * @throws Error when the model can't forget a part (`model.cutsAnywhere`).
   */
  cutBack(place: number, from: number): void;

  /** Frees the engine's memory. Call it when no step runs. */
  close(): Promise<void>;
}

/** What one place does in a step: it reads `tokens`, the first of them at `position`. */
export interface StepWork {
  readonly place: number;
  readonly position: number;
  readonly tokens: readonly number[];
  /** Whether to choose the token that follows. False inside a prompt that is read in chunks. */
  readonly choose: boolean;
  /**
   * Tokens whose log-probabilities are wanted: the first is the one that follows `tokens[0]`, and so on; at most as many
   * as `tokens`. For prompts, which are given and not chosen. Needs `logprobs` in what the place was prepared with.
   */
  readonly scored?: readonly number[] | undefined;
}

export interface StepResult {
  readonly chosen: readonly Chosen[];
  readonly scored: readonly Scored[];
}

export interface Chosen {
  readonly place: number;
  readonly token: number;
  /** If the place was prepared to tell. */
  readonly logprob?: Logprob | undefined;
}

export interface Scored {
  readonly place: number;
  /** One for each of `StepWork.scored`. */
  readonly logprobs: readonly Logprob[];
}

/** Natural logarithms of probabilities, as the model gives them: before biases, penalties, grammar and sampling. */
export interface Logprob {
  readonly logprob: number;
  /** The likeliest tokens, best first. */
  readonly top: readonly { readonly token: number; readonly logprob: number }[];
}

/** Some places had no token to choose; `result` is what the others gave. What the places hold is as the step left it. */
export class PlacesFailed extends Error {
  override readonly name = 'PlacesFailed';

  constructor(
    readonly places: readonly number[],
    readonly result: StepResult,
    cause?: unknown,
  ) {
    super(`No token was left to choose in places ${places.join(', ')}: all were ruled out.`, { cause });
  }
}

declare const grammar: unique symbol;

/** A grammar that was read; only the engine that read it knows what is in it. */
export interface Grammar {
  readonly [grammar]: true;
}

/** How a place chooses its tokens. */
export interface Choosing {
  readonly sampling: ResolvedSampling;
  /** What the tokens of the answer must spell. Where only an end is possible, an end is chosen. */
  readonly grammar?: Grammar | undefined;
  /**
   * For a grammar that begins in the midst of an answer: the text that it has derived already, which may begin and end
   * within a token. Absent: it has derived all of `chosen`.
   */
  readonly derived?: string | undefined;
  /** How many tokens of `chosen` there were at that moment; what came behind them it derives as well. Absent: all. */
  readonly derivedAt?: number | undefined;
  /** How many of the likeliest tokens to tell beside each token. Absent: no log-probabilities. */
  readonly logprobs?: number | undefined;
}

/** Sampling with every default filled in. Ranges are those of `Sampling` in the protocol. */
export interface ResolvedSampling {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
  /** 32 bits, unsigned. The choice at a position depends on the seed and the position only. */
  readonly seed: number;
  /** These two look at the tokens of the answer. */
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  /** These look at prompt and answer. */
  readonly repeatPenalty: number;
  readonly repeatLastN: number;
  readonly dryMultiplier: number;
  readonly dryBase: number;
  readonly dryAllowedLength: number;
  readonly dryLastN: number;
  readonly drySequenceBreakers: readonly string[];
  readonly xtcProbability: number;
  readonly xtcThreshold: number;
  readonly logitBias: readonly TokenBias[];
  /** No token that ends an answer is chosen. */
  readonly ignoreEos: boolean;
}

export interface TokenModel {
  /** Tokens a place holds. */
  readonly contextLength: number;
  /** Places. */
  readonly placesMax: number;
  readonly tokensPerStepMax: number;
  readonly vocabularySize: number;
  /** Whether a place can forget its last tokens, or only all of them (models with a recurrent state). */
  readonly cutsAnywhere: boolean;
  /**
   * Behind a long beginning, reading fewer tokens than this at a time (but more than a few) costs more than reading as
   * many. Absent where fewer are always cheaper.
   */
  readonly tileTokens?: number | undefined;
  /** The cost of a `copy`, in tokens that could be read in its time; a rough figure. */
  readonly copyCostTokens: number;
  /** Control tokens around the parts of a text with a gap to be filled; absent where the model knows none. */
  readonly infill?: { readonly prefix: number; readonly suffix: number; readonly middle: number } | undefined;
  /** The file's own chat template (Jinja), if it has one. */
  readonly chatTemplate: string | undefined;
  /** Further templates of the file, by name, for purposes of their own: `tool_use` and `rag` are usual. Often none. */
  readonly namedTemplates: Readonly<Record<string, string>>;
  /** Texts of the tokens that templates ask for; empty where the model has none. */
  readonly beginningText: string;
  readonly endText: string;
  /** Such as `llama.cpp v0.5.0`. */
  readonly engine: string;
}

export interface Detokenizer {
  /** The text that `token` completes: whole characters only, so it may be empty or hold what earlier tokens began. */
  push(token: number): string;
  /** What is left when the answer ends: bytes that never became a character, as U+FFFD. */
  end(): string;
}
