import type { Grammar, TokenEngine } from '../token-engine/token-engine.js';

/** Schemas and tools are used again and again by one program. */
const GRAMMARS_MAX = 32;
/** Of the grammars' text: once read, it takes about a hundred times as much memory. */
const GRAMMAR_CHARACTERS_MAX = 1024 * 1024;

/** Grammars that the engine has read; the last ones are remembered. */
export class GrammarShelf {
  // A Map iterates in insertion order, so putting an entry back when it is used keeps the oldest first.
  readonly #known = new Map<string, Grammar>();
  #characters = 0;

  /** @param spelled control tokens that the grammars know by name. */
  constructor(
    private readonly engine: Pick<TokenEngine, 'openGrammar'>,
    private readonly spelled: readonly number[],
  ) {}

  /** @throws InferenceError when the engine can't read it. */
  open(gbnf: string): Grammar {
    const known = this.#known.get(gbnf);
    if (known !== undefined) {
      this.#known.delete(gbnf);
      this.#known.set(gbnf, known);
      return known;
    }
    const grammar = this.engine.openGrammar(gbnf, this.spelled);
    this.#known.set(gbnf, grammar);
    this.#characters += gbnf.length;
    this.#forgetOldest();
    return grammar;
  }

  #forgetOldest(): void {
    for (const gbnf of this.#known.keys()) {
      if (this.#known.size <= GRAMMARS_MAX && this.#characters <= GRAMMAR_CHARACTERS_MAX) return;
      this.#known.delete(gbnf);
      this.#characters -= gbnf.length;
    }
  }
}
