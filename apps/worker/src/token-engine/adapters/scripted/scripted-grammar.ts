import { InferenceError } from '@millrace/contracts';
import { derivedBytes } from '../../answer-bytes.js';
import { COMPILED_GBNF_LIMITS } from '../../gbnf/gbnf.js';
import { GbnfWalk } from '../../gbnf/gbnf-walk.js';
import { readGbnf } from '../../gbnf/read-gbnf.js';
import { bytesOf, END_TOKENS, shownBytesOf } from './scripted-vocabulary.js';

/** A grammar that was read, at its beginning. */
export class ScriptedGrammar {
  readonly #walk: GbnfWalk;
  readonly #spelled: ReadonlySet<number>;

  constructor(gbnf: string, spelled: readonly number[]) {
    this.#walk = new GbnfWalk(readGbnf(gbnf, COMPILED_GBNF_LIMITS));
    this.#spelled = new Set(spelled);
  }

  /** See `Choosing`. @throws InferenceError `invalid_request` when it does not derive what was written. */
  begin(chosen: readonly number[], derived?: string, derivedAt = chosen.length): ScriptedProgress {
    const progress = new ScriptedProgress(this.#walk.clone(), this.#spelled);
    const from = derived === undefined ? 0 : derivedAt;
    if (derived !== undefined) {
      const shown = (token: number) => shownBytesOf(token, this.#spelled);
      const { text, unfinished } = derivedBytes(derived, chosen.slice(0, from), shown);
      progress.derive(Buffer.concat([text, unfinished]));
    }
    for (const token of chosen.slice(from)) progress.accept(token);
    return progress;
  }
}

/** How far an answer has come in its grammar. */
export class ScriptedProgress {
  constructor(
    private readonly walk: GbnfWalk,
    private readonly spelled: ReadonlySet<number>,
  ) {}

  mayFollow(token: number): boolean {
    if (END_TOKENS.includes(token)) return this.walk.complete || this.#completes(token);
    return this.#isShown(token) && this.walk.mayFollow(bytesOf(token));
  }

  /** @throws InferenceError `invalid_request` when the token can't follow. */
  accept(token: number): void {
    if (!this.mayFollow(token)) throw disobeys(`token ${token}`);
    // An end that is no part of the text leaves the grammar where it is.
    if (!END_TOKENS.includes(token) || this.#completes(token)) this.walk.accept(bytesOf(token));
  }

  /** @throws InferenceError `invalid_request` when the text can't follow. */
  derive(bytes: Buffer): void {
    if (!this.walk.accept(bytes)) throw disobeys('what it began with');
  }

  #completes(end: number): boolean {
    return this.spelled.has(end) && this.walk.completes(bytesOf(end));
  }

  #isShown(token: number): boolean {
    return token < 256 || this.spelled.has(token);
  }
}

function disobeys(what: string): InferenceError {
  return new InferenceError(
    'invalid_request',
    `The answer so far does not obey the grammar: ${what} can't follow there. Begin anew.`,
    { param: 'grammar' },
  );
}
