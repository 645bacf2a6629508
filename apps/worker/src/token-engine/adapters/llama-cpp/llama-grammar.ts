import { InferenceError } from '@millrace/contracts';
import { readGbnf } from '../../gbnf/read-gbnf.js';
import type { Addon, AddonGrammarState, AddonModel } from './addon.js';
import type { LlamaVocabulary } from './llama-vocabulary.js';

/** A grammar that llama.cpp has read. It keeps the state at its beginning; every answer gets a copy. */
export class LlamaGrammar {
  readonly #beginning: AddonGrammarState;
  readonly #silent: ReadonlySet<number>;

  /** @throws InferenceError `invalid_request` when it can't be read. */
  constructor(
    private readonly addon: Addon,
    model: AddonModel,
    private readonly vocabulary: LlamaVocabulary,
    gbnf: string,
  ) {
    // Read by our own reader first, which is bounded: llama.cpp's overflows its stack on 60,000 nested parentheses.
    readGbnf(gbnf);
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

  /** The state after `chosen`. @throws InferenceError `invalid_request` when the grammar does not derive them. */
  after(chosen: readonly number[]): AddonGrammarState {
    const state = new this.addon.AddonGrammarEvaluationState(this.#beginning);
    for (const [index, token] of chosen.entries()) {
      if (!this.allows(state, token)) {
        throw new InferenceError(
          'invalid_request',
          `The answer so far does not obey the grammar: token ${token}, at ${index}, can't follow there. Begin anew.`,
          { param: 'grammar' },
        );
      }
      // An end leaves the grammar where it is, as in the addon's own sampling.
      if (!this.vocabulary.isEnd(token)) this.addon.AddonSampler.acceptGrammarEvaluationStateToken(state, token);
    }
    return state;
  }

  /** Whether `token` may follow at `state`. */
  allows(state: AddonGrammarState, token: number): boolean {
    // llama.cpp reads the names of control tokens as text; here they have none.
    if (this.#silent.has(token)) return false;
    return this.addon.AddonSampler.canBeNextTokenForGrammarEvaluationState(state, token);
  }
}
