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

  /** Turns tokens back into text, one after another, never splitting a character. */
  openDetokenizer(): Detokenizer;

  /** Whether `token` ends an answer. */
  isEnd(token: number): boolean;

  /**
   * Prepares `place` for choosing tokens by `sampling`, forgetting how it chose before. `chosen` are the tokens of this
   * answer so far: none for a new one, some for one that goes on elsewhere. Not to be called during a step.
   */
  prepare(place: number, sampling: ResolvedSampling, chosen: readonly number[]): void;

  /**
   * One pass over the batch. At most `model.tokensPerStepMax` tokens in all, each place at most once. For every work
   * with `choose`, the next token after its last one. Not to be called while an earlier step runs. It never settles
   * within the turn of the event loop that began it, so that what waits there gets its turn between two steps.
   *
   * @throws PlacesFailed when some places have nothing to choose from; the others are sound, and so are their tokens.
   * @throws Error when the engine breaks; the contents of the places are then unknown, and each must be cleared. A step
   *   that is impossible (a hole, a full place, too many tokens) is refused with a sentence, and changes nothing.
   */
  step(works: readonly StepWork[]): Promise<readonly Chosen[]>;

  /** Forgets what `place` holds from position `from` on; `from` 0 clears it. Not to be called during a step. */
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
}

export interface Chosen {
  readonly place: number;
  readonly token: number;
}

/** Some places had no token to choose; `chosen` are those of the others. What the places hold is as the step left it. */
export class PlacesFailed extends Error {
  override readonly name = 'PlacesFailed';

  constructor(
    readonly places: readonly number[],
    readonly chosen: readonly Chosen[],
    cause?: unknown,
  ) {
    super(`No token was left to choose in places ${places.join(', ')}: all were ruled out.`, { cause });
  }
}

/** Sampling with every default filled in. Ranges are those of `Sampling` in the protocol. */
export interface ResolvedSampling {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
  /** 32 bits, unsigned. The choice at a position depends on the seed and the position only. */
  readonly seed: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
}

export interface TokenModel {
  /** Tokens a place holds. */
  readonly contextLength: number;
  /** Places. */
  readonly placesMax: number;
  readonly tokensPerStepMax: number;
  readonly vocabularySize: number;
  /** The file's own chat template (Jinja), if it has one. */
  readonly chatTemplate: string | undefined;
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
