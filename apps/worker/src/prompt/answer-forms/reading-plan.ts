import type { CitationSource } from '@millrace/contracts';
import type { FormName } from './forms.js';

/** How one answer is to be read. Plain data, since it is made in another thread than the one that reads. */
export interface ReadingPlan {
  readonly form: FormName;
  /** `reasoning`: the prompt has opened it. `start`: the model may open it. `text`: the answer goes on in mid-text. */
  readonly begin: 'start' | 'reasoning' | 'text';
  /** Which of the form's pairs of marks the prompt has opened, if it has. */
  readonly opened?: number | undefined;
  /** Names of the tools that may be called; empty: nothing is read as a call. */
  readonly tools: readonly string[];
  /** For forms that write each parameter by itself: which ones of a tool are texts. All others are JSON. */
  readonly texts?: Readonly<Record<string, readonly string[]>> | undefined;
  readonly parallelCalls: boolean;
  /** Grammars that bind from some place on. What the model thinks is free. */
  readonly bindings: {
    /** From the first character on. */
    readonly first?: string | undefined;
    /** From the end of the reasoning on. */
    readonly thought?: string | undefined;
    /** From where a call opens. */
    readonly call?: string | undefined;
  };
  readonly citations?: CitationPlan | undefined;
}

/** What the numbers in citations mean. */
export interface CitationPlan {
  /** Whether the answer begins with headings, of which `Answer:` is for the caller. */
  readonly headings: boolean;
  /** By number; for forms that number calls, the results of each call. */
  readonly sources: readonly (readonly CitationSource[])[];
}
