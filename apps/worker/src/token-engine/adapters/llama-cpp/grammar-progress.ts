import type { GbnfWalk } from '../../gbnf/gbnf-walk.js';
import type { Addon, AddonGrammarState } from './addon.js';
import type { GrammarTokens } from './grammar-tokens.js';

/** How the next token is bound. */
export interface Bounds {
  /** Never chosen. */
  readonly banned: Uint32Array;
  /** llama.cpp's state, if it decides about the others, and goes on by the one that is chosen. */
  readonly state: AddonGrammarState | undefined;
}

/**
 * How far an answer has come in its grammar: llama.cpp's state, and our own walk beside it.
 *
 * The walk is bounded where llama.cpp is not. An answer that could be read in ever more ways is stopped by it, before
 * llama.cpp spends seconds on a token. It also knows when an end is no real choice: with nothing left to choose from
 * llama.cpp takes the first token or the last, and if that is an end, takes it as it comes.
 *
 * The walk decides alone where the name of an end token would complete the text: llama.cpp lets ends follow only what
 * is complete without them.
 */
export class GrammarProgress {
  /**
   * Never used. llama.cpp's state is freed with its JavaScript object and in no other way, but JavaScript thinks that it
   * is tiny, and waits until thousands have gathered. This much memory, which the system hands out only if somebody
   * writes to it, tells when to collect.
   */
  readonly weight: ArrayBuffer;
  /** Whether llama.cpp decided about the token that is drawn now. */
  #native = true;

  constructor(
    private readonly addon: Addon,
    private readonly state: AddonGrammarState,
    private readonly walk: GbnfWalk,
    private readonly tokens: GrammarTokens,
    stateBytes: number,
  ) {
    this.weight = new ArrayBuffer(stateBytes);
  }

  /** What the next token is drawn by. */
  bounds(): Bounds {
    this.#native = true;
    for (const name of this.tokens.spelledEnds.values()) if (this.walk.completes(name)) this.#native = false;
    return { banned: this.tokens.silent, state: this.#native ? this.state : undefined };
  }

  /**
   * What to draw by again, when `token` was drawn and can't follow; undefined when it can. As llama.cpp does it: most
   * draws need no second one, for which the whole vocabulary is looked at.
   */
  boundsAgain(token: number): Bounds | undefined {
    if (this.#native || this.tokens.mayFollow(this.walk, token)) return undefined;
    return { banned: this.tokens.allBut(this.walk), state: undefined };
  }

  /**
   * Notes what was chosen. False when it can't follow.
   *
   * @throws InferenceError `invalid_request` when the answer can be read in too many ways.
   */
  accept(token: number): boolean {
    if (!this.#native) return this.replay(token);
    if (this.tokens.isEnd(token)) return this.walk.complete;
    return !this.tokens.isSilent(token) && this.walk.accept(this.tokens.shown(token));
  }

  /** Notes what was chosen without llama.cpp's state. False when it can't follow. */
  replay(token: number): boolean {
    if (this.tokens.isSilent(token)) return false;
    if (this.tokens.isEnd(token)) return this.#replayEnd(token);
    return this.walk.accept(this.tokens.shown(token)) && this.#advance([token]);
  }

  /** Notes that the answer goes on by `bytes`, whatever its tokens were. False when they can't follow. */
  derive(bytes: Buffer): boolean {
    if (bytes.length === 0) return true;
    return this.walk.accept(bytes) && this.#advance(this.tokens.vocabulary.tokensSpelling(bytes));
  }

  /** An end that is no part of the text leaves the grammar where it is. */
  #replayEnd(token: number): boolean {
    const name = this.tokens.spelledEnds.get(token);
    if (name !== undefined && this.walk.completes(name)) return this.derive(Buffer.from(name));
    return this.walk.complete;
  }

  /** False when llama.cpp can't follow, though our walk could. Ends must not come here: they abort the process. */
  #advance(tokens: readonly number[]): boolean {
    const { AddonSampler } = this.addon;
    for (const token of tokens) {
      if (!AddonSampler.canBeNextTokenForGrammarEvaluationState(this.state, token)) return false;
      AddonSampler.acceptGrammarEvaluationStateToken(this.state, token);
    }
    return true;
  }
}
