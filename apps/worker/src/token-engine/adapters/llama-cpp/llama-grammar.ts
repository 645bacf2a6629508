import { InferenceError } from '@millrace/contracts';
import { derivedBytes } from '../../answer-bytes.js';
import { COMPILED_GBNF_LIMITS, type Gbnf } from '../../gbnf/gbnf.js';
import { GbnfWalk } from '../../gbnf/gbnf-walk.js';
import { readGbnf } from '../../gbnf/read-gbnf.js';
import type { Addon, AddonGrammarState, AddonModel } from './addon.js';
import { GrammarProgress } from './grammar-progress.js';
import { GrammarTokens } from './grammar-tokens.js';
import type { LlamaVocabulary } from './llama-vocabulary.js';

/** A grammar that llama.cpp has read, at its beginning. */
export class LlamaGrammar {
  /** See `GrammarProgress.weight`: this is the state at the beginning, and the grammar itself. */
  readonly weight: ArrayBuffer;
  readonly #beginning: AddonGrammarState;
  readonly #walk: GbnfWalk;
  readonly #tokens: GrammarTokens;
  readonly #stateBytes: number;

  /** @throws InferenceError `invalid_request` when it can't be read. */
  constructor(
    private readonly addon: Addon,
    model: AddonModel,
    vocabulary: LlamaVocabulary,
    gbnf: string,
    spelled: readonly number[],
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
    this.#tokens = new GrammarTokens(vocabulary, spelled);
    this.weight = new ArrayBuffer(2 * this.#stateBytes);
  }

  /**
   * An answer that goes on after `chosen`, which the grammar has derived: all of it, or `derived` when there were
   * `derivedAt` tokens, and those behind.
   *
   * @throws InferenceError `invalid_request` when the grammar does not derive that.
   */
  begin(chosen: readonly number[], derived?: string, derivedAt = chosen.length): GrammarProgress {
    const state = new this.addon.AddonGrammarEvaluationState(this.#beginning);
    const progress = new GrammarProgress(this.addon, state, this.#walk.clone(), this.#tokens, this.#stateBytes);
    const from = derived === undefined ? 0 : derivedAt;
    if (derived !== undefined) {
      const { text, unfinished } = derivedBytes(derived, chosen.slice(0, from), (token) => this.#tokens.shown(token));
      if (!progress.derive(text) || !progress.derive(unfinished)) throw disobeys('what it began with');
    }
    for (let index = from; index < chosen.length; index++) {
      const token = chosen[index]!;
      if (!progress.replay(token)) throw disobeys(`token ${token}, at ${index},`);
    }
    return progress;
  }
}

function disobeys(what: string): InferenceError {
  return new InferenceError(
    'invalid_request',
    `The answer so far does not obey the grammar: ${what} can't follow there. Begin anew.`,
    { param: 'grammar' },
  );
}

/** About what a state takes in llama.cpp: the text, and lists of elements of 8 bytes each. */
function stateBytesOf(text: string, { rules }: Gbnf): number {
  const lists = rules.flatMap(({ alternatives }) => alternatives);
  return text.length + 64 * rules.length + 16 * lists.reduce((sum, elements) => sum + elements.length + 1, 0);
}
