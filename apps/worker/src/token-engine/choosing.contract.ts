import * as fc from 'fast-check';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type Choosing,
  type Chosen,
  type Logprob,
  PlacesFailed,
  type ResolvedSampling,
  type TokenEngine,
} from './token-engine.js';
import { chosenBy, detokenize, GREEDY, generate, generateAndTell, inTurn } from './token-engine.testing.js';

const PROMPT = 'What is the capital of France?';

/** Everything at once, as strong as it is likely to be asked for. */
const EVERYTHING: ResolvedSampling = {
  ...GREEDY,
  temperature: 1.2,
  topK: 50,
  topP: 0.97,
  minP: 0.01,
  seed: 11,
  presencePenalty: 0.4,
  frequencyPenalty: 0.3,
  repeatPenalty: 1.1,
  dryMultiplier: 0.8,
  xtcProbability: 0.5,
  logitBias: [{ token: 40, bias: 3 }],
  ignoreEos: true,
};

const SEEDS = Array.from({ length: 30 }, (_, seed) => seed);

/**
 * How tokens are chosen, by parameter: the part of the contract that `tokenEngineContract` includes.
 *
 * The logits of the model are not known here, but their differences are: log-probabilities tell them. So the two
 * likeliest tokens after a prompt are brought within a known distance of each other by a bias, and a penalty must then
 * turn the choice exactly when it is larger than that.
 */
export function choosingContract(engineOf: () => TokenEngine): void {
  const tokensOf = (text: string) => engineOf().tokenize(text, { special: true, beginning: false });
  const endToken = () => tokensOf(engineOf().model.endText)[0]!;

  /** The token that follows `tokens`, by `choosing`, after a history that is only told. */
  async function chooseAfter(
    tokens: readonly number[],
    choosing: Choosing,
    history: { readonly prompt?: readonly number[]; readonly chosen?: readonly number[] } = {},
  ): Promise<Chosen> {
    const engine = engineOf();
    engine.cutBack(0, 0);
    engine.prepare(0, choosing, history.prompt ?? [], history.chosen ?? []);
    return (await chosenBy(engine, [{ place: 0, position: 0, tokens, choose: true }]))[0]!;
  }

  describe('choosing between two tokens', () => {
    let tokens: readonly number[];
    let first: number;
    let second: number;
    /** How much likelier the first is. */
    let gap: number;
    /** Five others. */
    let others: readonly number[];
    beforeAll(async () => {
      tokens = engineOf().tokenize(PROMPT, { special: true, beginning: true });
      const { top } = (await chooseAfter(tokens, { sampling: GREEDY, logprobs: 2 })).logprob!;
      first = top[0]!.token;
      second = top[1]!.token;
      gap = top[0]!.logprob - top[1]!.logprob;
      others = [30, 31, 32, 33, 34, 35, 36].filter((token) => token !== first && token !== second).slice(0, 5);
    });

    /** Sampling in which the first token leads the second by `lead`, and both lead all others by far. */
    const contest = (lead: number, changes: Partial<ResolvedSampling> = {}): ResolvedSampling => ({
      ...GREEDY,
      logitBias: [
        { token: first, bias: 50 },
        { token: second, bias: 50 + gap - lead },
      ],
      ...changes,
    });
    const choose = async (
      sampling: ResolvedSampling,
      history?: { readonly prompt?: readonly number[]; readonly chosen?: readonly number[] },
    ) => (await chooseAfter(tokens, { sampling }, history)).token;

    it('adds the bias to the logit', async () => {
      expect(await choose(contest(0.1))).toBe(first);
      expect(await choose(contest(-0.1))).toBe(second);
    });

    it('adds up biases of the same token', async () => {
      const { logitBias } = contest(0.1);
      expect(await choose({ ...GREEDY, logitBias: [...logitBias, { token: second, bias: 0.2 }] })).toBe(second);
    });

    it('takes the presence penalty once from every token of the answer, and from none of the prompt', async () => {
      const sampling = contest(0.5, { presencePenalty: 0.6 });
      expect(await choose(sampling, { chosen: [first] })).toBe(second);
      expect(await choose(sampling, { prompt: [first] })).toBe(first);
      const weaker = contest(0.5, { presencePenalty: 0.4 });
      expect(await choose(weaker, { chosen: [first, first, first] })).toBe(first);
    });

    it('takes the frequency penalty as often as the token is in the answer', async () => {
      const sampling = contest(0.5, { frequencyPenalty: 0.2 });
      expect(await choose(sampling, { chosen: [first, first] })).toBe(first);
      expect(await choose(sampling, { chosen: [first, others[0]!, first, first] })).toBe(second);
      expect(await choose(sampling, { prompt: [first, first, first] })).toBe(first);
    });

    it('favours tokens of the answer under negative penalties', async () => {
      expect(await choose(contest(0.5, { presencePenalty: -0.6 }), { chosen: [second] })).toBe(second);
    });

    it('divides logits of the last tokens of prompt and answer by the repeat penalty', async () => {
      const sampling = contest(0.5, { repeatPenalty: 1.5, repeatLastN: 3 });
      expect(await choose(sampling)).toBe(first);
      expect(await choose(sampling, { prompt: [first] })).toBe(second);
      expect(await choose(sampling, { chosen: [first] })).toBe(second);
      expect(await choose(sampling, { prompt: [first, ...others], chosen: [others[0]!] })).toBe(first);
      expect(await choose({ ...sampling, repeatLastN: 0 }, { prompt: [first] })).toBe(first);
    });

    it('takes more from a token the longer the repetition is that it would go on with (DRY)', async () => {
      const [a, b, c, d, e] = others as [number, number, number, number, number];
      const dry = contest(0.5, { dryMultiplier: 0.2, dryBase: 2, drySequenceBreakers: [] });
      // Two tokens repeated: 0.2 times 2 to the power of 0. Three: 0.4. Four: 0.8.
      expect(await choose(dry, { prompt: [a, b, first, e, a, b] })).toBe(first);
      expect(await choose(dry, { prompt: [d, a, b, first, e, d, a, b] })).toBe(first);
      expect(await choose(dry, { prompt: [c, d, a, b, first, e, c, d, a, b] })).toBe(second);
      expect(await choose(dry, { prompt: [c, d, a, b, first], chosen: [e, c, d, a, b] })).toBe(second);
      const patient = { ...dry, dryAllowedLength: 3 };
      expect(await choose(patient, { prompt: [c, d, a, b, first, e, c, d, a, b] })).toBe(first);
    });

    it('looks for repetitions in the last tokens only, if told to', async () => {
      const [a, b] = others as [number, number];
      const dry = contest(0.5, { dryMultiplier: 1, drySequenceBreakers: [] });
      const prompt = [a, b, first, 40, 41, 42, a, b];
      expect(await choose(dry, { prompt })).toBe(second);
      expect(await choose({ ...dry, dryLastN: 8 }, { prompt })).toBe(second);
      expect(await choose({ ...dry, dryLastN: 7 }, { prompt })).toBe(first);
    });

    it('ends a repetition at a token that holds a breaker', async () => {
      const dry = contest(0.5, { dryMultiplier: 1 });
      const breaker = tokensOf('x').at(-1)!;
      const a = others[0]!;
      const prompt = [a, breaker, first, a, breaker];
      expect(await choose({ ...dry, drySequenceBreakers: [] }, { prompt })).toBe(second);
      expect(await choose({ ...dry, drySequenceBreakers: ['', 'x'] }, { prompt })).toBe(first);
    });

    it('leaves out the likeliest tokens save the last of them, as often as told (XTC)', async () => {
      const xtc = contest(0.1, { xtcThreshold: 0.4, xtcProbability: 1 });
      expect(await choose(xtc)).toBe(second);
      expect(await choose({ ...xtc, xtcThreshold: 0.49 })).toBe(first);
      expect(await choose({ ...xtc, xtcProbability: 0 })).toBe(first);
      const sometimes = await inTurn(SEEDS, (seed) => choose({ ...xtc, xtcProbability: 0.5, seed }));
      expect(new Set(sometimes)).toEqual(new Set([first, second]));
      expect(await inTurn(SEEDS, (seed) => choose({ ...xtc, xtcProbability: 0.5, seed }))).toEqual(sometimes);
    });

    it('draws independently of whether XTC left something out', async () => {
      // Where XTC does not leave out the first, it is all but certain. Where it does, the other two are nearly even:
      // if both draws had the same seed, only the low half of the numbers would come, and never the third token.
      const third = others[0]!;
      const told = async (token: number) => {
        const sampling = { ...GREEDY, logitBias: [{ token, bias: 100 }] };
        return (await chooseAfter(tokens, { sampling, logprobs: 0 })).logprob!.logprob;
      };
      const lift = async (token: number, above: number) => ({ token, bias: 30 + above - (await told(token)) });
      const logitBias = [await lift(first, 5), await lift(second, 0), await lift(third, -0.2)];
      const sampling = { ...GREEDY, temperature: 1, xtcProbability: 0.5, xtcThreshold: 0.006, logitBias };
      const drawn = await inTurn(SEEDS, (seed) => choose({ ...sampling, seed }));
      expect(new Set(drawn)).toEqual(new Set([first, second, third]));
    });

    it('draws from the likeliest tokens only under top_k, top_p and min_p', async () => {
      const even = contest(0, { temperature: 1.5 });
      const drawn = (changes: Partial<ResolvedSampling>) =>
        inTurn(SEEDS, (seed) => choose({ ...even, logitBias: even.logitBias, ...changes, seed }));
      expect(new Set(await drawn({ topK: 2 }))).toEqual(new Set([first, second]));
      const leading = contest(0.1).logitBias;
      expect(new Set(await drawn({ logitBias: leading, topK: 1 }))).toEqual(new Set([first]));
      expect(new Set(await drawn({ logitBias: leading, topP: 0.4 }))).toEqual(new Set([first]));
      expect(new Set(await drawn({ logitBias: leading, minP: 0.95 }))).toEqual(new Set([first]));
      expect(new Set(await drawn({ logitBias: leading, minP: 0.8 }))).toEqual(new Set([first, second]));
    });

    it('survives the extremes of every range', async () => {
      const extreme = { ...EVERYTHING, repeatPenalty: 1e-30, dryMultiplier: 100, dryBase: 10, dryAllowedLength: 0 };
      const prompt = Array<number>(200).fill(first);
      const token = await choose({ ...extreme, temperature: 1e-30, topP: 1e-30, topK: 0xffffffff }, { prompt });
      expect(token).toBeLessThan(engineOf().model.vocabularySize);
      expect(token).not.toBe(endToken());
    });
  });

  describe('biases', () => {
    beforeEach(() => engineOf().cutBack(0, 0));
    const answer = async (sampling: ResolvedSampling, count = 12) => {
      engineOf().cutBack(0, 0);
      return await generate(engineOf(), { place: 0, tokens: tokensOf(PROMPT), count, sampling });
    };

    it('bans a token at -100, and forces one at 100', async () => {
      const plain = await answer(GREEDY);
      const banned = await answer({ ...GREEDY, logitBias: [{ token: plain[0]!, bias: -100 }] });
      expect(banned).not.toContain(plain[0]);
      const forced = await answer({ ...GREEDY, temperature: 1, logitBias: [{ token: 40, bias: 100 }] });
      expect(new Set(forced)).toEqual(new Set([40]));
    });

    it('forces an end, and never ends when told to ignore ends', async () => {
      const logitBias = [{ token: endToken(), bias: 100 }];
      expect(engineOf().isEnd((await answer({ ...GREEDY, logitBias }))[0]!)).toBe(true);
      for (const temperature of [0, 2]) {
        const endless = await answer({ ...GREEDY, temperature, logitBias, ignoreEos: true }, 60);
        expect(endless.filter((token) => engineOf().isEnd(token))).toEqual([]);
      }
    });

    it('forgets the biases of an earlier answer', async () => {
      const plain = await answer(GREEDY);
      await answer({ ...EVERYTHING, logitBias: [{ token: plain[0]!, bias: -100 }] });
      expect(await answer(GREEDY)).toEqual(plain);
    });
  });

  describe('choices that depend on seed and position only', () => {
    const start = () => engineOf().tokenize(PROMPT, { special: true, beginning: true });

    it.each([5, 9])(
      'goes on elsewhere as if undisturbed after %i tokens, with every parameter at once',
      async (cut) => {
        const tokens = start();
        engineOf().cutBack(0, 0);
        const whole = await generate(engineOf(), { place: 0, tokens, count: 16, sampling: EVERYTHING });
        const chosen = whole.slice(0, cut);
        engineOf().cutBack(3, 0);
        const rest = { place: 3, tokens: [...tokens, ...chosen], count: 16 - cut, sampling: EVERYTHING, chosen };
        expect(await generate(engineOf(), rest)).toEqual(whole.slice(cut));
      },
    );

    it('draws the same for the same seed, however short the answer before was', async () => {
      const one = (sampling: ResolvedSampling) => chooseAfter(start(), { sampling });
      for (const seed of SEEDS.slice(0, 10)) {
        const sampling = { ...GREEDY, temperature: 2, seed };
        const { token } = await one(sampling);
        expect((await one(sampling)).token).toBe(token);
        expect((await one(sampling)).token).toBe(token);
      }
    });

    it('obeys a grammar elsewhere as if undisturbed', async () => {
      const tokens = start();
      const grammar = engineOf().openGrammar('root ::= ([a-c é€😀] | [0-9] [0-9])+');
      const sampling = { ...EVERYTHING, ignoreEos: false, logitBias: [{ token: endToken(), bias: -100 }] };
      engineOf().cutBack(0, 0);
      const whole = await generate(engineOf(), { place: 0, tokens, count: 14, sampling, grammar });
      const chosen = whole.slice(0, 6);
      engineOf().cutBack(2, 0);
      const rest = { place: 2, tokens: [...tokens, ...chosen], count: 8, sampling, grammar, chosen };
      expect(await generate(engineOf(), rest)).toEqual(whole.slice(6));
    });
  });

  describe('log-probabilities', () => {
    const start = () => engineOf().tokenize(PROMPT, { special: true, beginning: true });
    const told = async (sampling: ResolvedSampling, logprobs: number, count = 8) => {
      engineOf().cutBack(0, 0);
      return await generateAndTell(engineOf(), { place: 0, tokens: start(), count, sampling, logprobs });
    };

    it('tells none unless asked', async () => {
      expect(await chooseAfter(start(), { sampling: GREEDY })).not.toHaveProperty('logprob');
      expect((await chooseAfter(start(), { sampling: GREEDY, logprobs: 0 })).logprob).toMatchObject({ top: [] });
    });

    it.each([
      ['greedy', GREEDY],
      ['with every parameter at once', EVERYTHING],
    ])('tells the token and the likeliest, in order, as parts of a whole, %s', async (_how, sampling) => {
      for (const { token, logprob } of await told(sampling, 20)) {
        const { logprob: own, top } = logprob!;
        expect(own).toBeLessThanOrEqual(0);
        expect(top).toHaveLength(20);
        expect(new Set(top.map((each) => each.token)).size).toBe(20);
        expect(top.map((each) => each.logprob)).toEqual(top.map((each) => each.logprob).toSorted((a, b) => b - a));
        expect(top.reduce((sum, each) => sum + Math.exp(each.logprob), 0)).toBeLessThan(1 + 1e-4);
        const listed = top.find((each) => each.token === token);
        if (listed !== undefined) expect(own).toBe(listed.logprob);
        else expect(own).toBeLessThanOrEqual(top.at(-1)!.logprob);
      }
    });

    it('adds up to certainty over the whole vocabulary', async () => {
      const { vocabularySize } = engineOf().model;
      const { top } = (await chooseAfter(start(), { sampling: GREEDY, logprobs: vocabularySize })).logprob!;
      expect(top.reduce((sum, each) => sum + Math.exp(each.logprob), 0)).toBeCloseTo(1, 3);
    });

    it('tells what the model thinks, whatever sampling, biases and grammars make of it', async () => {
      const plain = (await chooseAfter(start(), { sampling: GREEDY, logprobs: 5 })).logprob!;
      const forced = { ...EVERYTHING, logitBias: [{ token: plain.top[3]!.token, bias: 100 }], xtcProbability: 0 };
      const grammar = engineOf().openGrammar('root ::= [0-9]+');
      for (const choosing of [{ sampling: EVERYTHING }, { sampling: forced }, { sampling: GREEDY, grammar }]) {
        const { logprob } = await chooseAfter(start(), { ...choosing, logprobs: 5 });
        expectClose(logprob!.top, plain.top);
      }
      const { token, logprob } = await chooseAfter(start(), { sampling: forced, logprobs: 0 });
      expect(token).toBe(plain.top[3]!.token);
      expect(logprob!.logprob).toBeCloseTo(plain.top[3]!.logprob, 2);
    });

    it('tells the same in a batch as alone', async () => {
      const engine = engineOf();
      const alone = await told(GREEDY, 3, 1);
      for (const place of [0, 1, 2]) engine.cutBack(place, 0);
      const texts = ['Once upon a time', PROMPT, 'x'];
      const works = texts.map((text, place) => ({
        place,
        position: 0,
        tokens: engine.tokenize(text, { special: true, beginning: true }),
        choose: true,
      }));
      for (const { place } of works) engine.prepare(place, { sampling: GREEDY, logprobs: 3 }, [], []);
      const together = await chosenBy(engine, works);
      expectClose(together.find(({ place }) => place === 1)!.logprob!.top, alone[0]!.logprob!.top);
    });

    it('scores a prompt as it scores the same tokens when they are chosen', async () => {
      const engine = engineOf();
      const tokens = start();
      const chosen = await told(GREEDY, 4);
      const all = [...tokens, ...chosen.map(({ token }) => token)];

      engine.cutBack(1, 0);
      engine.prepare(1, { sampling: GREEDY, logprobs: 4 }, all, []);
      // In two pieces, and the second chooses a token besides.
      const half = tokens.length - 2;
      const first = await engine.step([
        { place: 1, position: 0, tokens: all.slice(0, half), choose: false, scored: all.slice(1, half + 1) },
      ]);
      const second = await engine.step([
        { place: 1, position: half, tokens: all.slice(half, -1), choose: true, scored: all.slice(half + 1) },
      ]);
      expect(first).toMatchObject({ chosen: [], scored: [{ place: 1 }] });
      expect(second.scored).toHaveLength(1);
      const scores: Logprob[] = [...first.scored[0]!.logprobs, ...second.scored[0]!.logprobs];
      expect(scores).toHaveLength(all.length - 1);
      for (const [index, { logprob }] of chosen.entries()) {
        const score = scores.at(index - chosen.length)!;
        expect(score.logprob).toBeCloseTo(logprob!.logprob, 2);
        expectClose(score.top, logprob!.top);
      }
      // Where the last token was scored, it was chosen as well.
      expect(second.chosen).toHaveLength(1);
      expect(second.chosen[0]!.token).toBe(all.at(-1));
      expect(second.chosen[0]!.logprob!.logprob).toBe(scores.at(-1)!.logprob);
    });
  });

  describe('grammars', () => {
    const start = () => engineOf().tokenize(PROMPT, { special: true, beginning: true });
    /** What the answer says, up to its end; at most `count` tokens. */
    const say = async (gbnf: string, sampling: ResolvedSampling, count = 30) => {
      const engine = engineOf();
      engine.cutBack(0, 0);
      const grammar = engine.openGrammar(gbnf);
      const tokens = await generate(engine, { place: 0, tokens: start(), count, sampling, grammar });
      const end = tokens.findIndex((token) => engine.isEnd(token));
      return { text: detokenize(engine, end < 0 ? tokens : tokens.slice(0, end)), ended: end >= 0 };
    };
    const warm = (seed: number): ResolvedSampling => ({ ...GREEDY, temperature: 2, seed });

    it('says nothing but what the grammar derives, and then ends', async () => {
      for (const seed of SEEDS.slice(0, 10)) {
        const { text, ended } = await say('root ::= "yes" | "no, " [a-c]{2} "!"', warm(seed));
        expect(text).toMatch(/^(yes|no, [a-c]{2}!)$/);
        expect(ended).toBe(true);
      }
    });

    it('says characters of several bytes', async () => {
      const { text, ended } = await say('root ::= ("é" | "€" | "😀" | "東"){3}', warm(3));
      expect([...text]).toHaveLength(3);
      expect(text).toMatch(/^[é€😀東]+$/u);
      expect(ended).toBe(true);
    });

    it('ends when nothing else is possible, whatever biases, penalties and ignore_eos say', async () => {
      const logitBias = [
        { token: endToken(), bias: -100 },
        { token: 40, bias: 100 },
      ];
      for (const temperature of [0, 1]) {
        const sampling = { ...EVERYTHING, temperature, logitBias, ignoreEos: true, dryMultiplier: 100, dryBase: 10 };
        expect(await say('root ::= "yes"', sampling)).toEqual({ text: 'yes', ended: true });
      }
    });

    it('does not end before the grammar does, even if an end is forced', async () => {
      const sampling = { ...GREEDY, logitBias: [{ token: endToken(), bias: 100 }] };
      expect(await say('root ::= "yes" "!"?', sampling)).toEqual({ text: 'yes', ended: true });
    });

    it('goes on under ignore_eos where the grammar may', async () => {
      expect(await say('root ::= "y"+', { ...GREEDY, ignoreEos: true }, 20)).toMatchObject({ ended: false });
    });

    it('takes no control token for its name', async () => {
      const [control] = tokensOf('<|im_start|>');
      const sampling = { ...GREEDY, logitBias: [{ token: control!, bias: 100 }] };
      const { text } = await say('root ::= [<|a-z_>]+', sampling, 8);
      expect(text.length).toBeGreaterThanOrEqual(8);
    });

    it('obeys random grammars of words', async () => {
      const word = fc.stringMatching(/^[a-zé]{1,6}$/);
      await fc.assert(
        fc.asyncProperty(fc.uniqueArray(word, { minLength: 1, maxLength: 4 }), fc.nat(), async (words, seed) => {
          const alternatives = words.map((each) => `"${each}"`).join(' | ');
          const { text, ended } = await say(`root ::= (${alternatives}) " " (${alternatives})`, warm(seed));
          expect(ended).toBe(true);
          expect(words.flatMap((one) => words.map((other) => `${one} ${other}`))).toContain(text);
        }),
        { numRuns: 15 },
      );
    });

    it('chooses by a grammar for one place and without for another, in one step', async () => {
      const engine = engineOf();
      engine.cutBack(0, 0);
      const plain = await generate(engine, { place: 0, tokens: start(), count: 1 });
      for (const place of [0, 1]) engine.cutBack(place, 0);
      engine.prepare(0, { sampling: GREEDY }, [], []);
      engine.prepare(1, { sampling: GREEDY, grammar: engine.openGrammar('root ::= "7"') }, [], []);
      const works = [0, 1].map((place) => ({ place, position: 0, tokens: start(), choose: true }));
      const chosen = await chosenBy(engine, works);
      expect(chosen.find(({ place }) => place === 0)!.token).toBe(plain[0]);
      expect(detokenize(engine, [chosen.find(({ place }) => place === 1)!.token])).toBe('7');
    });

    it('fails a place whose grammar leads nowhere, and no other', async () => {
      const engine = engineOf();
      for (const place of [0, 1]) engine.cutBack(place, 0);
      for (const temperature of [0, 1]) {
        const nowhere = engine.openGrammar('root ::= [^\\U00000000-\\U0010FFFF]');
        engine.prepare(0, { sampling: { ...GREEDY, temperature }, grammar: nowhere }, [], []);
        engine.prepare(1, { sampling: GREEDY }, [], []);
        const position = temperature * start().length;
        const works = [0, 1].map((place) => ({ place, position, tokens: start(), choose: true }));
        const failure = await engine.step(works).catch((error: unknown) => error);
        expect(failure).toBeInstanceOf(PlacesFailed);
        expect(failure).toMatchObject({ places: [0], result: { chosen: [{ place: 1 }] } });
      }
    });

    it.each([
      ['that is no grammar', 'root := "a"'],
      ['without a root', 'start ::= "a"'],
      ['with a rule that is not there', 'root ::= missing'],
      ['that begins with itself', 'root ::= root "a" | "b"'],
      ['with 60,000 open parentheses', `root ::= ${'('.repeat(60_000)}`],
      ['with nothing in it', ''],
    ])('refuses a grammar %s', (_what, gbnf) => {
      expect(() => engineOf().openGrammar(gbnf)).toThrow(
        expect.objectContaining({ code: 'invalid_request', details: expect.objectContaining({ param: 'grammar' }) }),
      );
    });

    it('refuses to go on with tokens that do not obey', () => {
      const engine = engineOf();
      const grammar = engine.openGrammar('root ::= "yes"');
      for (const chosen of [tokensOf('no'), [endToken()], tokensOf('<|im_start|>'), [...tokensOf('yes'), 40]]) {
        expect(() => engine.prepare(0, { sampling: GREEDY, grammar }, [], chosen)).toThrow(
          expect.objectContaining({ code: 'invalid_request' }),
        );
      }
      engine.prepare(0, { sampling: GREEDY, grammar }, [], [...tokensOf('yes'), endToken()]);
    });
  });
}

/** Rounding may exchange two tokens that are as good as equal, so chances are compared rank by rank. */
function expectClose(actual: Logprob['top'], expected: Logprob['top']): void {
  expect(actual).toHaveLength(expected.length);
  for (const [rank, { logprob }] of expected.entries()) expect(actual[rank]!.logprob).toBeCloseTo(logprob, 2);
}
