import { counter } from '@millrace/runtime';
import { MEASURED } from './declarations.js';

/**
 * What came of a look for a question that means the same. `unsuited`: no other can stand in for such a request; `busy`: too many looked at
 * once; `away`: it failed a moment ago.
 */
export type LookupOutcome = 'found' | 'none' | 'unsuited' | 'busy' | 'away' | 'late' | 'failed';
/** What came of an answered question. `dropped`: too many were still to be noted, or it failed a moment ago. */
export type NoteOutcome = 'noted' | 'dropped' | 'failed';

/** How the semantic cache fares. */
export class SemanticMetrics {
  readonly #lookups = counter(MEASURED.semanticLookups);
  readonly #notes = counter(MEASURED.semanticNotes);

  looked(outcome: LookupOutcome): void {
    this.#lookups.add(1, { outcome });
  }

  noted(outcome: NoteOutcome): void {
    this.#notes.add(1, { outcome });
  }
}
