import { LogitChanges } from '../../logit-changes.js';
import { mixSeed } from '../../mix-seed.js';
import type { Choosing, ResolvedSampling } from '../../token-engine.js';
import { TokenHistory } from '../../token-history.js';
import { xtcFires } from '../../xtc-fires.js';
import type { AddonSampler, SamplerConfig } from './addon.js';
import type { Bounds, GrammarProgress } from './grammar-progress.js';
import type { LlamaGrammar } from './llama-grammar.js';
import type { LlamaVocabulary } from './llama-vocabulary.js';

/** Below this, dividing by the temperature overflows 32-bit floats; the likeliest token has won long before. */
const TEMPERATURE_MIN = 1e-6;

/** Below this, dividing by the repeat penalty might overflow too. */
const REPEAT_PENALTY_MIN = 1e-6;

/** Seeds llama.cpp reads as "draw one yourself" (`LLAMA_DEFAULT_SEED`). */
const SEED_BY_CLOCK = 0xffffffff;

const UNBOUND: Bounds = { banned: new Uint32Array(), state: undefined };

/** How one answer is chosen. */
interface Answer {
  readonly sampling: ResolvedSampling;
  readonly grammar: GrammarProgress | undefined;
  readonly changes: LogitChanges;
  /** Prompt and answer, for the repeat penalty; empty where there is none. */
  readonly history: TokenHistory;
  /** The number of tokens so far. */
  index: number;
  biases: Biases | undefined;
}

interface Biases {
  readonly of: ReadonlyMap<number, number>;
  readonly banned: Uint32Array;
  readonly keys: Uint32Array;
  readonly values: Float32Array;
}

/**
 * How one place chooses: llama.cpp's own samplers, set up anew for each token.
 *
 * Anew, because the choice at a position must depend on the seed and the position only. llama.cpp's generator would
 * carry its state from token to token, and an answer that goes on elsewhere could not catch up with it. Setting up costs
 * about 5 µs per token (docs/concepts/engine.md).
 *
 * The order: biases, penalties and DRY (see LogitChanges), repeat penalty, top_k, top_p, min_p, XTC, temperature, draw.
 * A grammar is asked about the token that was drawn; if it refuses, the draw is repeated among those it allows.
 */
export class PlaceSampler {
  #answer: Answer | undefined;

  constructor(
    private readonly sampler: AddonSampler,
    private readonly vocabulary: LlamaVocabulary,
    private readonly contextLength: number,
  ) {}

  /** @throws InferenceError when `chosen` does not obey the grammar; the place chooses as before then. */
  prepare(choosing: Choosing, prompt: readonly number[], chosen: readonly number[]): void {
    const { sampling, grammar: handle, derived, derivedAt } = choosing;
    // Only this folder makes such handles, and only of this class.
    const grammar = (handle as LlamaGrammar | undefined)?.begin(chosen, derived, derivedAt);
    this.#answer = {
      sampling,
      grammar,
      changes: new LogitChanges(sampling, prompt, chosen, this.vocabulary),
      history: new TokenHistory(penalisesRepeats(sampling) ? [...prompt, ...chosen] : []),
      index: chosen.length,
      biases: undefined,
    };
    // The addon keeps a generator whose seed stays the same, with the numbers it has drawn. Another seed makes it forget.
    this.sampler.applyConfig({ temperature: 0, seed: seedAt(sampling, chosen.length) ^ 1 });
  }

  /** The addon's sampler, ready for the next token of the answer. */
  next(): AddonSampler {
    const answer = this.#answer!;
    this.sampler.applyConfig(this.#config(answer, answer.grammar?.bounds() ?? UNBOUND));
    return this.sampler;
  }

  /** The addon's sampler, ready to draw again, when `token` was drawn and can't be had; undefined when it can. */
  again(token: number): AddonSampler | undefined {
    const answer = this.#answer!;
    const bounds = answer.grammar?.boundsAgain(token);
    if (bounds === undefined) return undefined;
    this.sampler.applyConfig(this.#config(answer, bounds));
    return this.sampler;
  }

  /**
   * Notes what was chosen. False when it is no real choice, since all was ruled out.
   *
   * @throws InferenceError `invalid_request` when the answer can be read by its grammar in too many ways.
   */
  accept(token: number): boolean {
    const answer = this.#answer!;
    if (answer.grammar?.accept(token) === false) return false;
    answer.index++;
    answer.changes.accept(token);
    if (penalisesRepeats(answer.sampling)) answer.history.push(token);
    return true;
  }

  dispose(): void {
    this.sampler.dispose();
  }

  /** Only the members that are in force: the addon takes a member's presence for a wish. */
  #config(answer: Answer, bounds: Bounds): SamplerConfig {
    const { sampling } = answer;
    const greedy = sampling.temperature < TEMPERATURE_MIN;
    return {
      temperature: greedy ? 0 : sampling.temperature,
      seed: seedAt(sampling, answer.index),
      // Given 0, the addon would sort the whole vocabulary for nothing.
      ...(sampling.topK > 0 && { topK: Math.min(sampling.topK, this.vocabulary.size) }),
      ...(sampling.topP < 1 && { topP: sampling.topP }),
      ...(sampling.minP > 0 && { minP: sampling.minP }),
      // Always, for it was decided already: the addon seeds this draw like the choice itself, so the two would agree.
      ...(xtcFires(sampling, answer.index) && { xtcProbability: 1, xtcThreshold: sampling.xtcThreshold }),
      ...this.#repeatPenalty(answer),
      ...biasesOf(answer, bounds.banned),
      ...(bounds.state !== undefined && { grammarEvaluationState: bounds.state }),
    };
  }

  #repeatPenalty({ sampling, history }: Answer): Partial<SamplerConfig> {
    if (!penalisesRepeats(sampling)) return {};
    const lastN = Math.min(sampling.repeatLastN, this.contextLength);
    return {
      repeatPenaltyTokens: history.last(lastN),
      repeatPenaltyMaxTokens: lastN,
      repeatPenalty: Math.max(REPEAT_PENALTY_MIN, sampling.repeatPenalty),
      repeatPenaltyPresencePenalty: 0,
      repeatPenaltyFrequencyPenalty: 0,
    };
  }
}

function penalisesRepeats({ repeatPenalty, repeatLastN }: ResolvedSampling): boolean {
  return repeatPenalty !== 1 && repeatLastN > 0;
}

function seedAt({ seed }: ResolvedSampling, index: number): number {
  const mixed = mixSeed(seed, index);
  return mixed === SEED_BY_CLOCK ? 0 : mixed;
}

function biasesOf(answer: Answer, banned: Uint32Array): Partial<SamplerConfig> {
  const changes = answer.changes.next();
  if (answer.biases?.of !== changes || answer.biases.banned !== banned) {
    answer.biases = { of: changes, banned, ...withBanned(changes, banned) };
  }
  const { keys, values } = answer.biases;
  return keys.length === 0 ? {} : { tokenBiasKeys: keys, tokenBiasValues: values };
}

/** The banned are copied as a block: some vocabularies have thousands, and penalties change with every token. */
function withBanned(changes: ReadonlyMap<number, number>, banned: Uint32Array): Pick<Biases, 'keys' | 'values'> {
  const keys = new Uint32Array(banned.length + changes.size);
  const values = new Float32Array(keys.length).fill(Number.NEGATIVE_INFINITY);
  keys.set(banned);
  let at = banned.length;
  for (const [token, change] of changes) {
    keys[at] = token;
    values[at++] = change;
  }
  return { keys, values };
}
