import type { OutputFormat } from '@millrace/contracts';
import { compileSchema, jsonObjectGrammar } from '../prompt/json-schema/compile-schema.js';
import { checkGrammar } from '../token-engine/gbnf/check-ambiguity.js';
import type { Grammar, TokenEngine } from '../token-engine/token-engine.js';

/** Schemas are used again and again by one program. */
const GRAMMARS_MAX = 32;
/** Of the grammars' text: once read, it takes about a hundred times as much memory. */
const GRAMMAR_CHARACTERS_MAX = 1024 * 1024;

interface Known {
  readonly grammar: Grammar;
  readonly characters: number;
}

/** From what an answer must be to a grammar that the engine follows; the last ones are remembered. */
export class OutputGrammars {
  // A Map iterates in insertion order, so putting an entry back when it is used keeps the oldest first.
  readonly #known = new Map<string, Known>();
  #characters = 0;

  constructor(private readonly engine: Pick<TokenEngine, 'openGrammar'>) {}

  /** @throws InferenceError naming the keyword or the line at fault. */
  grammarOf(format: OutputFormat): Grammar {
    const key = JSON.stringify(format);
    const known = this.#known.get(key);
    if (known !== undefined) {
      this.#known.delete(key);
      this.#known.set(key, known);
      return known.grammar;
    }
    const gbnf = gbnfOf(format);
    const grammar = this.engine.openGrammar(gbnf);
    const characters = key.length + gbnf.length;
    this.#known.set(key, { grammar, characters });
    this.#characters += characters;
    this.#forgetOldest();
    return grammar;
  }

  #forgetOldest(): void {
    for (const [key, { characters }] of this.#known) {
      if (this.#known.size <= GRAMMARS_MAX && this.#characters <= GRAMMAR_CHARACTERS_MAX) return;
      this.#known.delete(key);
      this.#characters -= characters;
    }
  }
}

function gbnfOf(format: OutputFormat): string {
  switch (format.kind) {
    case 'json':
      return jsonObjectGrammar();
    case 'schema':
      return compileSchema(format.schema, 'response_format.json_schema.schema');
    case 'grammar':
      // Ours can't explode; a caller's may, and nobody can interrupt llama.cpp then.
      checkGrammar(format.grammar);
      return format.grammar;
  }
}
