import { LogitChanges } from '../../logit-changes.js';
import { mixSeed } from '../../mix-seed.js';
import type { Choosing, Logprob, ResolvedSampling } from '../../token-engine.js';
import { TokenHistory } from '../../token-history.js';
import { xtcFires } from '../../xtc-fires.js';
import type { ScriptedGrammar, ScriptedProgress } from './scripted-grammar.js';
import { bytesOf, END_TOKENS } from './scripted-vocabulary.js';

const VOCABULARY = { endTokens: END_TOKENS, bytesOf };

interface Candidate {
  readonly token: number;
  readonly logit: number;
}

/** How one answer is chosen from logits, in the order of llama.cpp's samplers. */
export class ScriptedSampler {
  readonly #sampling: ResolvedSampling;
  readonly #changes: LogitChanges;
  readonly #history: TokenHistory;
  readonly #grammar: ScriptedProgress | undefined;
  #index: number;

  /** @throws InferenceError `invalid_request` when `chosen` does not obey the grammar. */
  constructor(choosing: Choosing, prompt: readonly number[], chosen: readonly number[]) {
    const { sampling, grammar, derived, derivedAt } = choosing;
    this.#sampling = sampling;
    this.#changes = new LogitChanges(sampling, prompt, chosen, VOCABULARY);
    this.#history = new TokenHistory([...prompt, ...chosen]);
    // Only this engine makes such handles.
    this.#grammar = (grammar as ScriptedGrammar | undefined)?.begin(chosen, derived, derivedAt);
    this.#index = chosen.length;
  }

  /** The next token of the answer; undefined when all are ruled out. */
  choose(logits: Float64Array): number | undefined {
    const token = this.#pick(this.#candidates(this.#changed(logits)));
    if (token === undefined) return undefined;
    this.#index++;
    this.#changes.accept(token);
    this.#history.push(token);
    this.#grammar?.accept(token);
    return token;
  }

  #changed(logits: Float64Array): Float64Array {
    const changed = logits.slice();
    for (const [token, change] of this.#changes.next()) changed[token]! += change;
    const { repeatPenalty, repeatLastN } = this.#sampling;
    if (repeatPenalty === 1) return changed;
    for (const token of new Set(this.#history.last(repeatLastN))) {
      changed[token] = changed[token]! > 0 ? changed[token]! / repeatPenalty : changed[token]! * repeatPenalty;
    }
    return changed;
  }

  #candidates(logits: Float64Array): Candidate[] {
    const candidates: Candidate[] = [];
    for (const [token, logit] of logits.entries()) if (this.#mayFollow(token)) candidates.push({ token, logit });
    return candidates;
  }

  #mayFollow(token: number): boolean {
    return this.#grammar?.mayFollow(token) ?? true;
  }

  #pick(candidates: readonly Candidate[]): number | undefined {
    const { temperature, xtcThreshold } = this.#sampling;
    const fires = xtcFires(this.#sampling, this.#index);
    if (temperature === 0) return best(fires ? withoutTop(candidates, xtcThreshold) : candidates)?.token;
    const kept = fires ? withoutTop(this.#narrowed(candidates), xtcThreshold) : this.#narrowed(candidates);
    return draw(kept, temperature, mixSeed(this.#sampling.seed, this.#index) / 2 ** 32);
  }

  #narrowed(candidates: readonly Candidate[]): readonly Candidate[] {
    const { topK, topP, minP } = this.#sampling;
    if (topK === 0 && topP >= 1 && minP <= 0) return candidates;
    const ranked = candidates.toSorted((a, b) => b.logit - a.logit);
    const few = topK === 0 ? ranked : ranked.slice(0, topK);
    const nucleus = few.slice(0, nucleusLength(probabilities(few), topP));
    const least = (nucleus[0]?.logit ?? 0) + Math.log(minP);
    return nucleus.filter(({ logit }, index) => index === 0 || logit >= least);
  }
}

/** What the logits say of one token, and of the likeliest. */
export function logprobOf(logits: Float64Array, token: number, top: number): Logprob {
  const highest = Math.max(...logits);
  const total = highest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - highest), 0));
  const ranked = top === 0 ? [] : [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!).slice(0, top);
  const of = (each: number) => Math.min(0, logits[each]! - total);
  return { logprob: of(token), top: ranked.map((each) => ({ token: each, logprob: of(each) })) };
}

function best(candidates: readonly Candidate[]): Candidate | undefined {
  let found = candidates[0];
  for (const candidate of candidates) if (candidate.logit > found!.logit) found = candidate;
  return found;
}

function probabilities(candidates: readonly Candidate[], temperature = 1): number[] {
  const highest = best(candidates)?.logit ?? 0;
  const weights = candidates.map(({ logit }) => Math.exp((logit - highest) / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** How many of the likeliest add up to `topP`; one at least. */
function nucleusLength(ranked: readonly number[], topP: number): number {
  let sum = 0;
  const last = ranked.findIndex((probability) => {
    sum += probability;
    return sum >= topP;
  });
  return last < 0 ? ranked.length : last + 1;
}

/** XTC: without the tokens of at least `threshold`, save the least likely of them. */
function withoutTop(candidates: readonly Candidate[], threshold: number): readonly Candidate[] {
  const ranked = candidates.toSorted((a, b) => b.logit - a.logit);
  const likely = probabilities(ranked).filter((probability) => probability >= threshold).length;
  return ranked.slice(Math.max(0, likely - 1));
}

/** The candidate at `at`, 0 to 1, of all probabilities in a row. */
function draw(candidates: readonly Candidate[], temperature: number, at: number): number | undefined {
  let left = at;
  const chances = probabilities(candidates, temperature);
  for (const [index, { token }] of candidates.entries()) {
    left -= chances[index]!;
    if (left < 0) return token;
  }
  return best(candidates)?.token; // Rounding may leave a rest.
}
