import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { mixSeed } from '../../mix-seed.js';
import { PlaceLedger } from '../../place-ledger.js';
import type { Chosen, Detokenizer, ResolvedSampling, StepWork, TokenEngine, TokenModel } from '../../token-engine.js';
import { chooseLetter } from './letters.js';
import {
  ByteDetokenizer,
  CHAT_TEMPLATE,
  END_TEXT,
  END_TOKEN,
  textOf,
  tokensOf,
  VOCABULARY_SIZE,
} from './scripted-vocabulary.js';

export interface Script {
  /** Default 4096. */
  readonly contextLength?: number;
  /** Default 8. */
  readonly placesMax?: number;
  /** Default 512. */
  readonly tokensPerStepMax?: number;
  /**
   * The whole answer to a prompt (its text with control tokens); the end token follows it. Sampling has no effect then.
   * Absent: letters without an end, by a rule that heeds sampling (letters.ts).
   */
  readonly says?: (prompt: string) => string;
  /** Milliseconds that every step takes; default 0. */
  readonly msPerStep?: number;
  /** The step that breaks the engine, counted from 1; later ones work again. */
  readonly breakAtStep?: number;
  /** Told of every step before it runs. */
  readonly onStep?: (works: readonly StepWork[]) => void;
}

interface Place {
  readonly tokens: number[];
  /** `hashes[n]` stands for the first n tokens, so that cutting back costs nothing. */
  readonly hashes: number[];
  sampling: ResolvedSampling | undefined;
  answer: number[];
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
  #stepping = false;
  #closed = false;

  constructor(private readonly script: Script = {}) {
    this.model = {
      contextLength: script.contextLength ?? 4096,
      placesMax: script.placesMax ?? 8,
      tokensPerStepMax: script.tokensPerStepMax ?? 512,
      vocabularySize: VOCABULARY_SIZE,
      chatTemplate: CHAT_TEMPLATE,
      beginningText: '',
      endText: END_TEXT,
      engine: 'scripted 1',
    };
    this.#ledger = new PlaceLedger(this.model);
    this.#places = Array.from({ length: this.model.placesMax }, () => ({
      tokens: [],
      hashes: [0],
      sampling: undefined,
      answer: [],
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

  openDetokenizer(): Detokenizer {
    return new ByteDetokenizer();
  }

  isEnd(token: number): boolean {
    return token === END_TOKEN;
  }

  prepare(place: number, sampling: ResolvedSampling, chosen: readonly number[]): void {
    this.#checkIdle('prepare');
    this.#ledger.checkPlace(place);
    this.#ledger.checkTokens(chosen);
    const prepared = this.#places[place]!;
    prepared.sampling = sampling;
    prepared.answer = [...chosen];
    prepared.lines = undefined;
    this.#ledger.notePrepared(place);
  }

  async step(works: readonly StepWork[]): Promise<readonly Chosen[]> {
    this.#checkIdle('step');
    this.#ledger.checkStep(works);
    this.#stepping = true;
    try {
      return await this.#run(works);
    } catch (error) {
      this.#ledger.noteBroken();
      throw error;
    } finally {
      this.#stepping = false;
    }
  }

  async #run(works: readonly StepWork[]): Promise<Chosen[]> {
    this.script.onStep?.(works);
    this.#steps++;
    // A real step never ends within the same turn of the event loop; without this a busy engine would starve it.
    await (this.script.msPerStep ? sleep(this.script.msPerStep) : nextTurn());
    if (this.#steps === this.script.breakAtStep) throw new Error('The scripted engine broke, as it was told to.');

    for (const { place, tokens } of works) read(this.#places[place]!, tokens);
    this.#ledger.noteStep(works);
    return works.filter(({ choose }) => choose).map(({ place }) => ({ place, token: this.#choose(place) }));
  }

  #choose(at: number): number {
    const place = this.#places[at]!;
    const token = this.script.says
      ? nextOfScript(this.script.says, place)
      : chooseLetter(place.hashes.at(-1)!, place.answer, place.sampling!);
    place.answer.push(token);
    return token;
  }

  cutBack(place: number, from: number): void {
    this.#checkIdle('cutBack');
    this.#ledger.checkCut(place, from);
    const { tokens, hashes } = this.#places[place]!;
    tokens.length = from;
    hashes.length = from + 1;
    this.#ledger.noteCut(place, from);
  }

  async close(): Promise<void> {
    if (this.#stepping) throw new Error('The engine was closed during a step; wait for the step to end.');
    this.#closed = true;
  }

  #checkIdle(what: string): void {
    if (this.#closed) throw new Error(`${what} was called on a closed engine.`);
    if (this.#stepping) throw new Error(`${what} was called during a step; wait for the step to end.`);
  }
}

function read(place: Place, tokens: readonly number[]): void {
  for (const token of tokens) {
    place.hashes.push(mixSeed(place.hashes.at(-1)!, token));
    place.tokens.push(token);
  }
}

/** The place holds the prompt and the answer so far, so what came before the answer is the prompt. */
function nextOfScript(says: (prompt: string) => string, place: Place): number {
  place.lines ??= tokensOf(says(textOf(place.tokens.slice(0, place.tokens.length - place.answer.length))), false);
  return place.lines[place.answer.length] ?? END_TOKEN;
}
