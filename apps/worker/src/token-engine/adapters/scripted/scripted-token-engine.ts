import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { mixSeed } from '../../mix-seed.js';
import { PlaceLedger } from '../../place-ledger.js';
import {
  type Choosing,
  type Chosen,
  type Detokenizer,
  type Grammar,
  type Logprob,
  PlacesFailed,
  type StepResult,
  type StepWork,
  type TokenEngine,
  type TokenModel,
} from '../../token-engine.js';
import { letterLogits } from './letters.js';
import { ScriptedGrammar } from './scripted-grammar.js';
import { logprobOf, ScriptedSampler } from './scripted-sampler.js';
import {
  ByteDetokenizer,
  bytesOf,
  CHAT_TEMPLATE,
  controlToken,
  END_TEXT,
  END_TOKEN,
  END_TOKENS,
  INFILL,
  textOf,
  tokensOf,
  VOCABULARY_SIZE,
} from './scripted-vocabulary.js';

/** The logit of what the script says next: far above all others, so that sampling alone never departs from it. */
const SURE = 60;

export interface Script {
  /** Default 4096. */
  readonly contextLength?: number;
  /** Default 8. */
  readonly placesMax?: number;
  /** Default 512. */
  readonly tokensPerStepMax?: number;
  /** Whether places can be cut anywhere; default true. */
  readonly cutsAnywhere?: boolean;
  /** Default 8. */
  readonly copyCostTokens?: number;
  /** Whether the model knows the control tokens for a gap; default true. */
  readonly infills?: boolean;
  /**
   * The whole answer to a prompt (its text with control tokens); the end token follows it. The engine is all but
   * certain of each token: biases, penalties and a grammar may force another one, and the answer then goes on with the
   * script at the next position. Absent: letters without an end, by a rule (letters.ts).
   */
  readonly says?: (prompt: string) => string;
  /** Whether names of control tokens in what it says are those tokens; default false, and they are letters. */
  readonly saysControlTokens?: boolean;
  /** Milliseconds that every step takes; default 0. */
  readonly msPerStep?: number;
  /** The step that breaks the engine, counted from 1; later ones work again. */
  readonly breakAtStep?: number;
  /** Told of every step before it runs; the step waits for what comes back. */
  readonly onStep?: (works: readonly StepWork[]) => void | Promise<void>;
  /** Told of every copy. */
  readonly onCopy?: (from: number, to: number, tokens: number) => void;
}

interface Place {
  readonly tokens: number[];
  /** `hashes[n]` stands for the first n tokens, so that cutting back costs nothing. */
  readonly hashes: number[];
  sampler: ScriptedSampler | undefined;
  /** How many tokens to tell beside each, if it was prepared to. */
  logprobs: number | undefined;
  /** How many tokens its answer has. */
  answered: number;
  /** What the script says to this place's prompt; asked for once per answer. */
  lines: readonly number[] | undefined;
}

/**
 * An engine that behaves: it answers by a script or by a rule, in bytes, and refuses what llama.cpp would refuse.
 *
 * For tests of what lies above it, and for benchmarks of everything but the engine.
 */
export class ScriptedTokenEngine implements TokenEngine {
  readonly model: TokenModel;
  readonly #ledger: PlaceLedger;
  readonly #places: readonly Place[];
  #steps = 0;
  #busy: 'a step' | 'a copy' | undefined;
  #closed = false;

  constructor(private readonly script: Script = {}) {
    this.model = {
      contextLength: script.contextLength ?? 4096,
      placesMax: script.placesMax ?? 8,
      tokensPerStepMax: script.tokensPerStepMax ?? 512,
      vocabularySize: VOCABULARY_SIZE,
      cutsAnywhere: script.cutsAnywhere ?? true,
      copyCostTokens: script.copyCostTokens ?? 8,
      infill: (script.infills ?? true) ? INFILL : undefined,
      chatTemplate: CHAT_TEMPLATE,
      namedTemplates: {},
      beginningText: '',
      endText: END_TEXT,
      engine: 'scripted 1',
    };
    this.#ledger = new PlaceLedger(this.model);
    this.#places = Array.from({ length: this.model.placesMax }, () => ({
      tokens: [],
      hashes: [0],
      sampler: undefined,
      logprobs: undefined,
      answered: 0,
      lines: undefined,
    }));
  }

  /** How many tokens `place` holds. */
  heldBy(place: number): number {
    this.#ledger.checkPlace(place);
    return this.#places[place]!.tokens.length;
  }

  tokenize(text: string, { special }: { readonly special: boolean; readonly beginning: boolean }): number[] {
    return tokensOf(text, special);
  }

  openDetokenizer(spelled: readonly number[] = []): Detokenizer {
    return new ByteDetokenizer(new Set(spelled));
  }

  bytesOf(token: number): Uint8Array {
    this.#ledger.checkTokens([token]);
    return bytesOf(token);
  }

  controlToken(name: string): number | undefined {
    return controlToken(name);
  }

  isEnd(token: number): boolean {
    return END_TOKENS.includes(token);
  }

  openGrammar(gbnf: string, spelled: readonly number[] = []): Grammar {
    this.#ledger.checkTokens(spelled);
    return new ScriptedGrammar(gbnf, spelled) as unknown as Grammar;
  }

  prepare(place: number, choosing: Choosing, prompt: readonly number[], chosen: readonly number[]): void {
    this.#checkIdle('prepare');
    this.#ledger.checkPlace(place);
    this.#ledger.checkTokens(prompt);
    this.#ledger.checkTokens(chosen);
    const prepared = this.#places[place]!;
    prepared.sampler = new ScriptedSampler(choosing, prompt, chosen);
    prepared.logprobs = choosing.logprobs;
    prepared.answered = chosen.length;
    prepared.lines = undefined;
    this.#ledger.notePrepared(place, choosing.logprobs);
  }

  async step(works: readonly StepWork[]): Promise<StepResult> {
    this.#checkIdle('step');
    this.#ledger.checkStep(works);
    this.#busy = 'a step';
    try {
      await this.#read(works);
    } catch (error) {
      this.#ledger.noteBroken();
      throw error;
    } finally {
      this.#busy = undefined;
    }
    return this.#answer(works);
  }

  async #read(works: readonly StepWork[]): Promise<void> {
    await this.script.onStep?.(works);
    this.#steps++;
    // A real step never ends within the same turn of the event loop; without this a busy engine would starve it.
    await (this.script.msPerStep ? sleep(this.script.msPerStep) : nextTurn());
    if (this.#steps === this.script.breakAtStep) throw new Error('The scripted engine broke, as it was told to.');

    for (const { place, tokens } of works) read(this.#places[place]!, tokens);
    this.#ledger.noteStep(works);
  }

  #answer(works: readonly StepWork[]): StepResult {
    const chosen: Chosen[] = [];
    const failed: number[] = [];
    let cause: unknown;
    for (const { place, choose } of works) {
      if (!choose) continue;
      try {
        const choice = this.#choose(place);
        if (choice === undefined) failed.push(place);
        else chosen.push(choice);
      } catch (error) {
        failed.push(place); // Its grammar can be read in too many ways.
        cause = error;
      }
    }
    const scored = works
      .filter((work) => work.scored !== undefined)
      .map((work) => ({ place: work.place, logprobs: this.#score(work) }));
    if (failed.length > 0) throw new PlacesFailed(failed, { chosen, scored }, cause);
    return { chosen, scored };
  }

  #choose(at: number): Chosen | undefined {
    const place = this.#places[at]!;
    const logits = logitsAfter(place, place.tokens.length);
    const line = this.#lineOf(place);
    if (line !== undefined) logits[line] = SURE;
    const token = place.sampler!.choose(logits);
    if (token === undefined) return undefined;
    place.answered++;
    const chosen = { place: at, token };
    return place.logprobs === undefined ? chosen : { ...chosen, logprob: logprobOf(logits, token, place.logprobs) };
  }

  /** The token that the script says next. */
  #lineOf(place: Place): number | undefined {
    const { says } = this.script;
    if (says === undefined) return undefined;
    // The place holds the prompt and the answer so far, so what came before the answer is the prompt.
    const prompt = place.tokens.slice(0, place.tokens.length - place.answered);
    place.lines ??= tokensOf(says(textOf(prompt)), this.script.saysControlTokens ?? false);
    return place.lines[place.answered] ?? END_TOKEN;
  }

  /** Prompts are scored by the rule of the letters; no script says them. */
  #score({ place: at, position, scored = [] }: StepWork): Logprob[] {
    const place = this.#places[at]!;
    return scored.map((token, index) => logprobOf(logitsAfter(place, position + index + 1), token, place.logprobs!));
  }

  async copy(from: number, to: number, tokens: number): Promise<void> {
    this.#checkIdle('copy');
    this.#ledger.checkCopy(from, to, tokens);
    this.#busy = 'a copy';
    try {
      this.script.onCopy?.(from, to, tokens);
      await nextTurn();
      const target = this.#places[to]!;
      cut(target, 0);
      read(target, this.#places[from]!.tokens.slice(0, tokens));
      this.#ledger.noteCut(to, tokens);
    } finally {
      this.#busy = undefined;
    }
  }

  cutBack(place: number, from: number): void {
    this.#checkIdle('cutBack');
    this.#ledger.checkCut(place, from);
    cut(this.#places[place]!, from);
    this.#ledger.noteCut(place, from);
  }

  async close(): Promise<void> {
    if (this.#busy !== undefined) throw new Error(`The engine was closed during ${this.#busy}; wait for its end.`);
    this.#closed = true;
  }

  #checkIdle(what: string): void {
    if (this.#closed) throw new Error(`${what} was called on a closed engine.`);
    if (this.#busy !== undefined) throw new Error(`${what} was called during ${this.#busy}; wait for its end.`);
  }
}

function read(place: Place, tokens: readonly number[]): void {
  for (const token of tokens) {
    place.hashes.push(mixSeed(place.hashes.at(-1)!, token));
    place.tokens.push(token);
  }
}

function cut({ tokens, hashes }: Place, from: number): void {
  tokens.length = from;
  hashes.length = from + 1;
}

/** Logits of the token after the first `count` of a place. */
function logitsAfter({ tokens, hashes }: Place, count: number): Float64Array {
  return letterLogits(hashes[count]!, tokens.slice(Math.max(0, count - 3), count));
}
