import { setImmediate as nextTurn } from 'node:timers/promises';
import { contextExceeded, type EmbeddingInput, InferenceError } from '@millrace/contracts';
import { checkTokens } from '../token-engine/check-tokens.js';
import type { VectorEngine } from '../token-engine/vector-engine.js';

/**
 * Many times what ordinary text has. Counted first, since tokens are no bound: millions of spaces may be none at all, and
 * hold up everything else until that is known.
 */
const CHARACTERS_PER_TOKEN_MAX = 64;
/** However long the context is; so much takes about a fifth of a second. */
const CHARACTERS_MAX = 1_048_576;
/** After so many there is a pause. */
const CHARACTERS_IN_A_ROW_MAX = 65_536;

/**
 * Reads the texts of requests into tokens, and checks that the model can hold each.
 *
 * Tokenising holds up everything else in this process, the streams of other models included: about a second per 5 MB.
 * So after so many characters there is a pause for what waits.
 */
export class InputReader {
  #charactersInARow = 0;

  constructor(
    private readonly engine: VectorEngine,
    private readonly signal: AbortSignal,
  ) {}

  /** @throws InferenceError naming `param`. */
  async readInput(input: EmbeddingInput, param: string): Promise<readonly number[]> {
    if (input.kind === 'tokens') {
      checkTokens(input.tokens, this.engine.model, param);
      return this.#checkLength(input.tokens, param);
    }
    return this.readText(input.text, param);
  }

  /** @throws InferenceError naming `param`. */
  async readText(text: string, param: string): Promise<readonly number[]> {
    this.#checkText(text, param);
    await this.#breathe(text.length);
    return this.#checkLength(this.engine.tokenize(text), param);
  }

  /** A query and a document as one input. @throws InferenceError naming `param`, or `query`. */
  async readPair(query: string, document: string, param: string): Promise<readonly number[]> {
    this.#checkText(query, 'query');
    this.#checkText(document, param);
    await this.#breathe(query.length + document.length);
    const tokens = this.engine.joinPair(query, document);
    const { contextLength } = this.engine.model;
    if (tokens.length <= contextLength) return tokens;
    throw contextExceeded(contextLength, `Query and document have ${numberText(tokens.length)} tokens together`, {
      param,
    });
  }

  /** What can be said of a text without tokenising it. */
  #checkText(text: string, param: string): void {
    if (text === '') {
      throw new InferenceError('invalid_request', `${param} is empty. Send at least one character.`, { param });
    }
    const { contextLength } = this.engine.model;
    const most = Math.min(contextLength * CHARACTERS_PER_TOKEN_MAX, CHARACTERS_MAX);
    if (text.length > most) throw tooManyCharacters(text.length, most, contextLength, param);
  }

  #checkLength(tokens: readonly number[], param: string): readonly number[] {
    const { contextLength } = this.engine.model;
    if (tokens.length === 0) {
      throw new InferenceError('invalid_request', `${param} has no tokens. Send at least one.`, { param });
    }
    if (tokens.length > contextLength) throw tooLong(tokens.length, contextLength, param);
    return tokens;
  }

  async #breathe(characters: number): Promise<void> {
    this.#charactersInARow += characters;
    if (this.#charactersInARow < CHARACTERS_IN_A_ROW_MAX) return;
    this.#charactersInARow = 0;
    await nextTurn();
    this.signal.throwIfAborted();
  }
}

function tooLong(count: number, contextLength: number, param: string): InferenceError {
  return contextExceeded(contextLength, `${param} has ${numberText(count)} tokens`, { param });
}

function tooManyCharacters(count: number, most: number, contextLength: number, param: string): InferenceError {
  const included = `, and it reads at most ${numberText(most)} characters`;
  return contextExceeded(contextLength, `${param} has ${numberText(count)} characters`, { param, included });
}

function numberText(count: number): string {
  return count.toLocaleString('en-US');
}
