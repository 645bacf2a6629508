import type { OutputFormat } from '@millrace/contracts';
import { checkGrammar } from '../token-engine/gbnf/check-ambiguity.js';
import { compileSchema, jsonObjectGrammar } from './json-schema/compile-schema.js';

/** The grammar, in GBNF, of what an answer must be. @throws InferenceError naming the keyword or the line at fault. */
export function formatGrammar(format: OutputFormat): string {
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
