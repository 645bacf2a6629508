/**
 * Measures single steps of llama.cpp: what a batch costs by its places, what choosing costs by its parameters, what
 * reading and decoding cost by what is held already, and what a copy costs.
 *
 *     node apps/worker/dist/token-engine/adapters/llama-cpp/measure-steps.js [model.gguf] [threads] [f16|q8_0|q4_0]
 *
 * The figures in docs/concepts/engine.md come from it. It says nothing of the server around the engine; `make bench` does.
 */
import { KV_CACHE_TYPES } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import type { Choosing, ResolvedSampling, StepWork, TokenEngine } from '../../token-engine.js';
import { openLlamaCpp } from './open-llama-cpp.js';

const PLACES = 32;
const PROMPT_TOKENS = 32;
const CHUNK_TOKENS = 256;
const ROUNDS = 40;
/** Held by a place before something is read behind it. */
const HELD_TOKENS = 1_800;
const ROUNDS_BEHIND = 12;

const GREEDY: ResolvedSampling = {
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

const first = (count: number) => Array.from({ length: count }, (_, place) => place);

const BATCHES: readonly (readonly [name: string, places: readonly number[]])[] = [
  ['1 sequence', [0]],
  ['4 in a row', first(4)],
  ['16 in a row', first(16)],
  ['16 with one hole (0–7, 9–16)', first(17).filter((place) => place !== 8)],
  ['16 with a gap of four (0–7, 12–19)', [...first(8), ...first(8).map((place) => place + 12)]],
  ['16 in every second place', first(16).map((place) => 2 * place)],
  ['32 in a row', first(32)],
];

const WARM: ResolvedSampling = { ...GREEDY, temperature: 1 };

const CHOOSINGS: readonly (readonly [name: string, sampling: ResolvedSampling, more?: Omit<Choosing, 'sampling'>])[] = [
  ['temperature 0', GREEDY],
  ['temperature 1', WARM],
  ['temperature 1, top_p 0.9, top_k 40', { ...WARM, topP: 0.9, topK: 40 }],
  ['temperature 1, both penalties', { ...WARM, presencePenalty: 1, frequencyPenalty: 1 }],
  ['temperature 1, repeat penalty', { ...WARM, repeatPenalty: 1.1 }],
  ['temperature 1, DRY', { ...WARM, dryMultiplier: 0.8 }],
  ['temperature 1, XTC', { ...WARM, xtcProbability: 0.5 }],
  ['temperature 0, log-probabilities', GREEDY, { logprobs: 0 }],
  ['temperature 0, log-probabilities of 20', GREEDY, { logprobs: 20 }],
];

/** Any text of letters and spaces: most tokens are allowed. */
const GRAMMAR = 'root ::= [a-zA-Z ]+';

/** What the built-in server gives a place by default. */
const COPY_CONTEXT = 4096;

const [path = 'models/millrace-demo.gguf', threads = '1', type = 'f16'] = process.argv.slice(2);
const kvCacheType = KV_CACHE_TYPES.find((known) => known === type);
if (kvCacheType === undefined)
  throw new Error(`The cache's type is "${type}". It is one of ${KV_CACHE_TYPES.join(', ')}.`);
const logger = createLogger({ name: 'measure', level: 'info', format: 'text' });
const open = (contextLength: number, placesMax: number) =>
  openLlamaCpp({
    path,
    contextLength,
    placesMax,
    tokensPerStepMax: PLACES + CHUNK_TOKENS,
    threads: Number(threads),
    kvCacheType,
    gpu: 'off',
    logger,
  });
const engine = await open(512, PLACES);
logger.info(
  `${engine.model.engine}, ${path}, ${threads} threads, cache ${kvCacheType}; median and best of ${ROUNDS} steps`,
);

for (const [name, places] of BATCHES) report(name, places.length, await measure(engine, places, { sampling: GREEDY }));
for (const [name, sampling, more] of CHOOSINGS) {
  report(`32, ${name}`, PLACES, await measure(engine, first(PLACES), { sampling, ...more }));
}
const grammar = engine.openGrammar(GRAMMAR);
report('32, temperature 1, a grammar', PLACES, await measure(engine, first(PLACES), { sampling: WARM, grammar }));
const beside = await measure(engine, first(16), { sampling: GREEDY }, CHUNK_TOKENS);
report(`16 in a row beside a chunk of ${CHUNK_TOKENS}`, 16, beside);
await engine.close();
await measureBehind();
await measureCopies();

/** Reading and decoding behind what is held already: flash attention takes it all in again, for each token. */
async function measureBehind(): Promise<void> {
  const behind = await open(HELD_TOKENS + CHUNK_TOKENS, PLACES);
  const read = async (place: number, from: number, tokens: number) => {
    behind.cutBack(place, from);
    for (let at = from; at < from + tokens; at += CHUNK_TOKENS) {
      const piece = first(Math.min(CHUNK_TOKENS, from + tokens - at));
      await behind.step([{ place, position: at, tokens: piece, choose: false }]);
    }
  };
  const decode = async (places: readonly number[], position: number) => {
    for (const place of places) behind.cutBack(place, position);
    await behind.step(places.map((place) => ({ place, position, tokens: [0], choose: false })));
  };
  const time = async (name: string, tokens: number, work: () => Promise<void>) => {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS_BEHIND; round++) {
      const begun = performance.now();
      await work();
      times.push(performance.now() - begun);
    }
    report(name, tokens, times);
  };
  await time(`a prompt of ${HELD_TOKENS} tokens`, HELD_TOKENS, () => read(0, 0, HELD_TOKENS));
  for (const place of first(4)) await read(place, 0, HELD_TOKENS);
  for (const tokens of [12, 64, CHUNK_TOKENS])
    await time(`${tokens} tokens behind ${HELD_TOKENS}`, tokens, () => read(0, HELD_TOKENS, tokens));
  await time(`4 decode behind ${HELD_TOKENS}`, 4, () => decode(first(4), HELD_TOKENS));
  for (const held of [240, 40]) {
    for (const place of first(PLACES)) await read(place, 0, held);
    await time(`32 decode behind ${held}`, PLACES, () => decode(first(PLACES), held));
  }
  await behind.close();
}

/** llama.cpp copies when it decodes next, so a step after a copy is compared with one without. */
async function measureCopies(): Promise<void> {
  const copying = await open(COPY_CONTEXT, 4);
  const step = async (position: number, copies: boolean) => {
    copying.cutBack(0, position);
    const begun = performance.now();
    if (copies) await copying.copy(0, 1, position);
    await copying.step([{ place: 0, position, tokens: [0], choose: false }]);
    return performance.now() - begun;
  };
  await copying.step([{ place: 0, position: 0, tokens: first(CHUNK_TOKENS), choose: false }]);
  const times = { chunk: [] as number[], plain: [] as number[], copied: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    times.plain.push(await step(CHUNK_TOKENS, false));
    times.copied.push(await step(CHUNK_TOKENS, true));
    copying.cutBack(2, 0);
    const begun = performance.now();
    await copying.step([{ place: 2, position: 0, tokens: first(CHUNK_TOKENS), choose: false }]);
    times.chunk.push(performance.now() - begun);
  }
  const copyMs = Math.min(...times.copied) - Math.min(...times.plain);
  const tokenMs = Math.min(...times.chunk) / CHUNK_TOKENS;
  logger.info(
    `a copy of a place of ${COPY_CONTEXT} tokens takes ${copyMs.toFixed(2)} ms, as long as reading ` +
      `${(copyMs / tokenMs).toFixed(1)} tokens; it is taken for ${copying.model.copyCostTokens}`,
  );
  await copying.close();
}

/** Milliseconds of each step in which every place chooses one token; `chunk` tokens of a prompt are read beside them. */
async function measure(
  engine: TokenEngine,
  places: readonly number[],
  choosing: Choosing,
  chunk = 0,
): Promise<number[]> {
  for (let place = 0; place < PLACES; place++) engine.cutBack(place, 0);
  for (const place of places) {
    engine.prepare(place, choosing, first(PROMPT_TOKENS), []);
    await engine.step([{ place, position: 0, tokens: first(PROMPT_TOKENS), choose: false }]);
  }
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const works: StepWork[] = places.map((place) => ({
      place,
      position: PROMPT_TOKENS + round,
      tokens: [round],
      choose: true,
    }));
    if (chunk > 0) works.push({ place: PLACES - 1, position: 0, tokens: first(chunk), choose: false });
    const begun = performance.now();
    await engine.step(works);
    times.push(performance.now() - begun);
    if (chunk > 0) engine.cutBack(PLACES - 1, 0);
  }
  return times;
}

/** The best beside the median: on a busy machine it is nearer to what the engine takes by itself. */
function report(name: string, sequences: number, times: readonly number[]): void {
  const sorted = times.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(times.length / 2)]!;
  const perSecond = Math.round((sequences * 1000) / median).toLocaleString('en');
  const [medianText, bestText] = [median, sorted[0]!].map((ms) => `${ms.toFixed(2).padStart(8)} ms`);
  logger.info(`${name.padEnd(44)} ${medianText} ${bestText}  ${perSecond.padStart(7)} tokens/s`);
}
