import { InferenceError } from '@millrace/contracts';
import { COMPILED_GBNF_LIMITS, type Gbnf } from '../../gbnf/gbnf.js';
import { GbnfWalk } from '../../gbnf/gbnf-walk.js';
import { readGbnf } from '../../gbnf/read-gbnf.js';
import type { Addon, AddonGrammarState, AddonModel } from './addon.js';
import type { LlamaVocabulary } from './llama-vocabulary.js';

/** A grammar that llama.cpp has read, at its beginning. */
export class LlamaGrammar {
  readonly #beginning: AddonGrammarState;
  readonly #walk: GbnfWalk;
  readonly #silent: ReadonlySet<number>;
  readonly #stateBytes: number;

  /** @throws InferenceError `invalid_request` when it can't be read. */
  constructor(
    private readonly addon: Addon,
    model: AddonModel,
    private readonly vocabulary: LlamaVocabulary,
    gbnf: string,
  ) {
    // Read by our own reader first, which is bounded: llama.cpp's overflows its stack on 60,000 nested parentheses. The
    // narrower limits for what a caller sends are checked where it comes in.
    const read = readGbnf(gbnf, COMPILED_GBNF_LIMITS);
    this.#walk = new GbnfWalk(read);
    this.#stateBytes = stateBytesOf(gbnf, read);
    try {
      const grammar = new addon.AddonGrammar(gbnf, { addonExports: addon, rootRuleName: 'root' });
      this.#beginning = new addon.AddonGrammarEvaluationState(model, grammar);
    } catch (cause) {
      throw new InferenceError(
        'invalid_request',
        'llama.cpp refuses the grammar. Every rule must be defined, and none may begin with itself; correct it.',
        { param: 'grammar', cause },
      );
    }
    this.#silent = new Set(vocabulary.silentTokens);
  }

  /** A new answer, after `chosen`. @throws InferenceError `invalid_request` when the grammar does not derive them. */
  begin(chosen: readonly number[]): GrammarProgress {
    const state = new this.addon.AddonGrammarEvaluationState(this.#beginning);
    const progress = new GrammarProgress(state, this.#walk.clone(), this.vocabulary, this.#stateBytes);
    for (const [index, token] of chosen.entries()) {
      if (!this.#allows(state, token) || !progress.accept(token)) {
        throw new InferenceError(
          'invalid_request',
          `The answer so far does not obey the grammar: token ${token}, at ${index}, can't follow there. Begin anew.`,
          { param: 'grammar' },
        );
      }
      // An end leaves the grammar where it is, as in the addon's own sampling.
      if (!this.vocabulary.isEnd(token)) this.addon.AddonSampler.acceptGrammarEvaluationStateToken(state, token);
    }
    return progress;
  }

  #allows(state: AddonGrammarState, token: number): boolean {
    // llama.cpp reads the names of control tokens as text; here they have none.
    if (this.#silent.has(token)) return false;
    return this.addon.AddonSampler.canBeNextTokenForGrammarEvaluationState(state, token);
  }
}

/**
 * How far an answer has come in its grammar: llama.cpp's state, which goes on by itself, and our own walk beside it.
 *
 * The walk is bounded where llama.cpp is not. An answer that could be read in ever more ways is stopped by it, before
 * llama.cpp spends seconds on a token. It also knows when an end is no real choice: with nothing left to choose from
 * llama.cpp takes the first token or the last, and if that is an end, takes it as it comes.
 */
export class GrammarProgress {
  /**
   * Never used. llama.cpp's state is freed with its JavaScript object and in no other way, but JavaScript thinks that it
   * is tiny, and waits until thousands have gathered. This much memory, which the system hands out only if somebody
   * writes to it, tells when to collect.
   */
  readonly weight: ArrayBuffer;

  constructor(
    readonly state: AddonGrammarState,
    private readonly walk: GbnfWalk,
    private readonly vocabulary: LlamaVocabulary,
    stateBytes: number,
  ) {
    this.weight = new ArrayBuffer(stateBytes);
  }

  /**
   * Notes what was chosen. False when it can't follow.
   *
   * @throws InferenceError `invalid_request` when the answer can be read in too many ways.
   */
  accept(token: number): boolean {
    return this.vocabulary.isEnd(token) ? this.walk.complete : this.walk.accept(this.vocabulary.bytes.of(token));
  }
}

/** About what a state takes in llama.cpp: the text, and lists of elements of 8 bytes each. */
function stateBytesOf(text: string, { rules }: Gbnf): number {
  const lists = rules.flatMap(({ alternatives }) => alternatives);
  return text.length + 64 * rules.length + 16 * lists.reduce((sum, elements) => sum + elements.length + 1, 0);
}
