import type { Chosen, Grammar, ResolvedSampling, StepResult, StepWork, TokenEngine } from './token-engine.js';

export interface EngineSizes {
  readonly contextLength: number;
  readonly placesMax: number;
  readonly tokensPerStepMax: number;
}

export const GREEDY: ResolvedSampling = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  seed: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repeatPenalty: 1,
  repeatLastN: 64,
  dryMultiplier: 0,
  dryBase: 1.75,
  dryAllowedLength: 2,
  dryLastN: 0,
  drySequenceBreakers: ['\n', ':', '"', '*'],
  xtcProbability: 0,
  xtcThreshold: 0.1,
  logitBias: [],
  ignoreEos: false,
};
/** What a step without a choice gives. */
export const NOTHING: StepResult = { chosen: [], scored: [] };

export interface Generation {
  readonly place: number;
  /** Where `tokens` begin; default 0. */
  readonly position?: number;
  /** Prompt, then `chosen`. */
  readonly tokens: readonly number[];
  /** How many tokens to choose. */
  readonly count: number;
  readonly sampling?: ResolvedSampling;
  readonly grammar?: Grammar | undefined;
  readonly logprobs?: number;
  readonly chosen?: readonly number[];
}

/** Reads `tokens` and chooses `count` more, alone in its batch. */
export async function generate(engine: TokenEngine, generation: Generation): Promise<number[]> {
  return (await generateAndTell(engine, generation)).map(({ token }) => token);
}

export async function generateAndTell(engine: TokenEngine, generation: Generation): Promise<Chosen[]> {
  const { place, count, sampling = GREEDY, grammar, logprobs, chosen = [] } = generation;
  let { position = 0, tokens } = generation;
  engine.prepare(place, { sampling, grammar, logprobs }, tokens.slice(0, tokens.length - chosen.length), chosen);
  const answer: Chosen[] = [];
  while (answer.length < count) {
    const [next] = await chosenBy(engine, [{ place, position, tokens, choose: true }]);
    position += tokens.length;
    tokens = [next!.token];
    answer.push(next!);
  }
  return answer;
}

export async function chosenBy(engine: TokenEngine, works: readonly StepWork[]): Promise<readonly Chosen[]> {
  return (await engine.step(works)).chosen;
}

export function detokenize(engine: TokenEngine, tokens: readonly number[]): string {
  const detokenizer = engine.openDetokenizer();
  return tokens.map((token) => detokenizer.push(token)).join('') + detokenizer.end();
}

export async function inTurn<Item, Result>(
  items: readonly Item[],
  each: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const item of items) results.push(await each(item));
  return results;
}
