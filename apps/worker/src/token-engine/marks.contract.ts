import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Choosing, ResolvedSampling, TokenEngine } from './token-engine.js';
import { chosenBy, detokenize, GREEDY } from './token-engine.testing.js';

const PROMPT = 'What is the capital of France?';

/** Control tokens of the vocabulary that is tried. */
export interface Marks {
  readonly mark: string;
  /** One that ends an answer. */
  readonly end: string;
  /** One that is never spelled out here. */
  readonly other: string;
}

/** Everything that looks back at what was written before. */
const LOOKING_BACK: ResolvedSampling = {
  ...GREEDY,
  temperature: 1.1,
  topK: 60,
  minP: 0.01,
  seed: 21,
  presencePenalty: 0.5,
  frequencyPenalty: 0.4,
  repeatPenalty: 1.1,
  dryMultiplier: 0.8,
  xtcProbability: 0.3,
  ignoreEos: true,
};

/**
 * Control tokens that are spelled out in an answer, and grammars that change in its midst: the part of the contract that
 * answers with tool calls need. `tokenEngineContract` includes it.
 *
 * @param runs of what is tried on random texts.
 */
export function marksContract(engineOf: () => TokenEngine, marks: Marks, runs = 25): void {
  /** Tokens that spell `text` alone: some vocabularies put a space before it, so it is read behind the end of a line. */
  const plain = (text: string): number[] => {
    const engine = engineOf();
    const tokens = engine.tokenize(`\n${text}`, { special: false, beginning: false });
    while (Buffer.concat(tokens.map((token) => engine.bytesOf(token))).toString() !== text) tokens.shift();
    return tokens;
  };
  const start = () => engineOf().tokenize(PROMPT, { special: true, beginning: true });
  const control = (name: string) => engineOf().controlToken(name)!;
  const literal = (name: string) => `"${name}"`;
  const spell = (tokens: readonly number[], spelled: readonly number[]) => {
    const detokenizer = engineOf().openDetokenizer(spelled);
    return tokens.map((token) => detokenizer.push(token)).join('') + detokenizer.end();
  };
  /** Some vocabularies give ends a text of their own. */
  const withoutEnds = (tokens: readonly number[]) => tokens.filter((token) => !engineOf().isEnd(token));
  const textOf = (tokens: readonly number[]) => detokenize(engineOf(), withoutEnds(tokens));
  const preferring = (token: number, more: Partial<ResolvedSampling> = {}) => ({
    ...GREEDY,
    ...more,
    logitBias: [{ token, bias: 100 }],
  });

  /** What is chosen after `chosen`, up to an end or `count` tokens; the end is the last of them. */
  async function goOn(choosing: Choosing, chosen: readonly number[] = [], count = 40): Promise<number[]> {
    const engine = engineOf();
    engine.cutBack(0, 0);
    engine.prepare(0, choosing, start(), chosen);
    return await step(0, [...start(), ...chosen], count);
  }

  async function step(position: number, unread: readonly number[], count: number): Promise<number[]> {
    const engine = engineOf();
    const answer: number[] = [];
    let [at, tokens] = [position, unread];
    while (answer.length < count && !engine.isEnd(answer.at(-1) ?? -1)) {
      const [next] = await chosenBy(engine, [{ place: 0, position: at, tokens, choose: true }]);
      at += tokens.length;
      tokens = [next!.token];
      answer.push(next!.token);
    }
    return answer;
  }

  describe('control tokens by name', () => {
    it('are found by their whole name, and by nothing else', () => {
      const engine = engineOf();
      for (const name of Object.values(marks)) {
        const token = engine.controlToken(name)!;
        expect(engine.tokenize(name, { special: true, beginning: false })).toContain(token);
        expect(Buffer.from(engine.bytesOf(token)).toString()).toBe(name);
      }
      expect(engine.isEnd(control(marks.end))).toBe(true);
      expect(engine.isEnd(control(marks.mark))).toBe(false);
      for (const name of ['', 'a', ' ', 'Paris', marks.mark.slice(1), marks.mark + marks.mark, `${marks.mark} `]) {
        expect(engine.controlToken(name)).toBeUndefined();
      }
    });

    it('are spelled out where that is asked for, each of them for itself', () => {
      const [mark, end, other] = [control(marks.mark), control(marks.end), control(marks.other)];
      const tokens = [...plain('a '), mark, ...plain('€ b'), other, end];
      expect(spell(tokens, [])).toBe('a € b');
      expect(spell(tokens, [mark])).toBe(`a ${marks.mark}€ b`);
      expect(spell(tokens, [mark, end])).toBe(`a ${marks.mark}€ b${marks.end}`);
    });

    it('never come into the midst of a character', () => {
      const half = plain('🦙').slice(0, -1);
      expect(spell([...half, control(marks.mark)], [control(marks.mark)])).toBe(`\ufffd${marks.mark}`);
    });
  });

  describe('marks under a grammar', () => {
    const around = () => `root ::= [a-z]+ ${literal(marks.mark)} [0-9]{2}`;

    it('are chosen where the grammar derives their name, and nowhere else', async () => {
      const mark = control(marks.mark);
      const grammar = engineOf().openGrammar(around(), [mark]);
      const answer = await goOn({ sampling: preferring(mark), grammar });
      expect(answer.filter((token) => token === mark)).toHaveLength(1);
      const [before, behind, ...more] = spell(withoutEnds(answer), [mark]).split(marks.mark);
      expect(before).toMatch(/^[a-z]+$/);
      expect(behind).toMatch(/^\d\d$/);
      expect(more).toEqual([]);
    });

    it('may be written with letters, too, and are impossible without being spelled', async () => {
      const mark = control(marks.mark);
      for (const [spelled, sampling] of [
        [[mark], { ...GREEDY, logitBias: [{ token: mark, bias: -100 }] }],
        [[control(marks.other)], preferring(mark)],
        [[], preferring(mark)],
      ] as const) {
        const grammar = engineOf().openGrammar(`root ::= "a" ${literal(marks.mark)} "b"`, spelled);
        const answer = await goOn({ sampling, grammar });
        expect(answer).not.toContain(mark);
        expect(textOf(answer)).toBe(`a${marks.mark}b`);
      }
    });

    it('leave the other control tokens impossible', async () => {
      const other = control(marks.other);
      const grammar = engineOf().openGrammar('root ::= [^x]{12}', [control(marks.mark)]);
      const answer = await goOn({ sampling: preferring(other, { ignoreEos: true }), grammar });
      expect(answer).not.toContain(other);
    });

    it('are known to an answer that goes on elsewhere', async () => {
      const mark = control(marks.mark);
      const grammar = engineOf().openGrammar(around(), [mark]);
      const sampling = preferring(mark, { temperature: 1.5, seed: 4 });
      const whole = await goOn({ sampling, grammar });
      for (const cut of [whole.indexOf(mark), whole.indexOf(mark) + 1]) {
        expect(await goOn({ sampling, grammar }, whole.slice(0, cut))).toEqual(whole.slice(cut));
      }
      const prepare = (chosen: readonly number[]) => engineOf().prepare(0, { sampling, grammar }, start(), chosen);
      for (const wrong of [[mark], [...plain('a'), control(marks.other)], [...plain('a'), mark, mark]]) {
        expect(() => prepare(wrong)).toThrow(expect.objectContaining({ code: 'invalid_request' }));
      }
    });
  });

  describe('an end that is a mark', () => {
    it('is chosen where its name completes the text', async () => {
      const end = control(marks.end);
      const grammar = engineOf().openGrammar(`root ::= [a-z]{3} " "? ${literal(marks.end)}`, [end]);
      const answer = await goOn({ sampling: preferring(end), grammar });
      expect(answer.at(-1)).toBe(end);
      expect(spell(answer, [end])).toMatch(/^[a-z]{3}/);
      expect(spell(answer, [end]).slice(3)).toBe(marks.end);
      // And elsewhere, before it and behind it.
      expect(await goOn({ sampling: preferring(end), grammar }, answer.slice(0, -1))).toEqual([end]);
      engineOf().prepare(0, { sampling: GREEDY, grammar }, [], answer);
    });

    it('obeys the grammar whatever is drawn, and draws the same again', async () => {
      const end = control(marks.end);
      const grammar = engineOf().openGrammar(`root ::= ([ab]{2} | "é")* ${literal(marks.end)}`, [end]);
      let ends = 0;
      for (let seed = 0; seed < 12; seed++) {
        const sampling = {
          ...LOOKING_BACK,
          temperature: 2,
          topK: 0,
          seed,
          logitBias: [{ token: end, bias: seed % 2 === 0 ? 5 : 34 }],
        };
        const answer = await goOn({ sampling: { ...sampling, ignoreEos: false }, grammar }, [], 12);
        expect(spell(answer, [end])).toMatch(/^([ab]{2}|é)*[ab]?(<.*)?$/u);
        if (answer.at(-1) === end) ends++;
        const cut = Math.floor(answer.length / 2);
        const rest = await goOn(
          { sampling: { ...sampling, ignoreEos: false }, grammar },
          answer.slice(0, cut),
          12 - cut,
        );
        expect(rest).toEqual(answer.slice(cut));
      }
      expect(ends).toBeGreaterThan(0);
    });

    it('is not chosen where the text goes on behind its name, or could', async () => {
      const end = control(marks.end);
      const within = engineOf().openGrammar(`root ::= "a" ${literal(marks.end)} "b"`, [end]);
      const answer = await goOn({ sampling: preferring(end), grammar: within });
      expect(textOf(answer)).toBe(`a${marks.end}b`);

      const quoted = engineOf().openGrammar('root ::= "\\"" [^"]{8} "\\""', [end]);
      const text = textOf(await goOn({ sampling: preferring(end), grammar: quoted }));
      expect(text).toMatch(/^"[^"]{8}"$/u);
    });

    it('still ends a text that is complete without it', async () => {
      const end = control(marks.end);
      const grammar = engineOf().openGrammar(`root ::= "yes" ${literal(marks.end)}?`, [end]);
      for (const sampling of [GREEDY, preferring(end), { ...GREEDY, ignoreEos: true }]) {
        const answer = await goOn({ sampling, grammar });
        expect(engineOf().isEnd(answer.at(-1)!)).toBe(true);
        expect(textOf(answer)).toMatch(/^yes/);
      }
    });
  });

  describe('a grammar that begins in mid-answer', () => {
    const digits = () => engineOf().openGrammar('root ::= [0-9]{3}');
    it('begins with the next token, whatever was written before', async () => {
      const chosen = plain('The answer: ');
      const answer = await goOn({ sampling: GREEDY, grammar: digits(), derived: '' }, chosen);
      expect(textOf(answer)).toMatch(/^\d{3}$/);
      expect(engineOf().isEnd(answer.at(-1)!)).toBe(true);
      expect(() => engineOf().prepare(0, { sampling: GREEDY, grammar: digits() }, [], chosen)).toThrow(/does not obey/);
    });

    it('stands where the text that it has derived leads, however its tokens are cut', async () => {
      const words = ['alpha', 'beta é', 'gamma "€"'];
      const grammar = engineOf().openGrammar(`root ::= ("alpha" | "beta é" | "gamma \\"€\\"") ", "  [0-9]{2}`);
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...words),
          fc.string({ maxLength: 5 }).filter((text) => text.isWellFormed()),
          fc.nat(),
          async (word, before, at) => {
            const derived = word.slice(0, 1 + (at % word.length));
            const answer = await goOn({ sampling: GREEDY, grammar, derived }, plain(before + derived));
            expect(derived + textOf(answer)).toMatch(new RegExp(`^${word}, \\d\\d$`, 'u'));
          },
        ),
        { numRuns: runs },
      );
    });

    it('goes on with a character that the answer has begun', async () => {
      const grammar = engineOf().openGrammar('root ::= "a"? "🦙" [0-9]');
      const begun = plain('a🦙').slice(0, -1);
      for (const derived of ['a', '']) {
        const answer = await goOn({ sampling: GREEDY, grammar, derived }, begun);
        expect(textOf([...begun, ...answer])).toMatch(/^a🦙\d$/u);
      }
      const other = engineOf().openGrammar('root ::= "a€"');
      expect(() => engineOf().prepare(0, { sampling: GREEDY, grammar: other, derived: 'a' }, [], begun)).toThrow(
        expect.objectContaining({ code: 'invalid_request' }),
      );
    });

    it('has derived what came behind the moment it began', async () => {
      const before = plain('So: ');
      const chosen = [...before, ...plain('12')];
      const choosing = { sampling: GREEDY, grammar: digits(), derived: '', derivedAt: before.length };
      expect(textOf(await goOn(choosing, chosen))).toMatch(/^\d$/);
      const wrong = [...before, ...plain('1x')];
      expect(() => engineOf().prepare(0, choosing, [], wrong)).toThrow(/does not obey/);
      expect(textOf(await goOn({ ...choosing, derived: '1' }, [...before, ...plain('2')]))).toMatch(/^\d$/);
    });

    it('has derived marks by their names', async () => {
      const [mark, end] = [control(marks.mark), control(marks.end)];
      const grammar = engineOf().openGrammar(`root ::= ${literal(marks.mark)} [0-9]{2} ${literal(marks.end)}`, [
        mark,
        end,
      ]);
      const chosen = [...plain('a'), mark, ...plain('7')];
      const answer = await goOn({ sampling: preferring(end), grammar, derived: `${marks.mark}7` }, chosen);
      expect(textOf(answer)).toMatch(/^\d$/);
      expect(answer.at(-1)).toBe(end);
      // A part of the name, which ordinary tokens have spelled.
      const part = marks.mark.slice(0, 3);
      const rest = await goOn({ sampling: preferring(end), grammar, derived: part }, plain(part));
      expect(part + spell(rest, [])).toMatch(/\d\d$/);
      expect(rest).not.toContain(mark);
    });

    it('is refused when the text does not obey, and the place chooses as before', async () => {
      const engine = engineOf();
      const tokens = start();
      engine.cutBack(0, 0);
      engine.prepare(0, { sampling: GREEDY, grammar: digits() }, [], []);
      expect(() => engine.prepare(0, { sampling: GREEDY, grammar: digits(), derived: '1x' }, [], plain('1x'))).toThrow(
        expect.objectContaining({ code: 'invalid_request', details: { param: 'grammar' } }),
      );
      expect(textOf(await step(0, tokens, 9))).toMatch(/^\d{3}$/);
    });

    it('takes a long text that it has derived', async () => {
      const derived = 'Once upon a time, é€😀. '.repeat(40);
      const grammar = engineOf().openGrammar('root ::= [^"]{920} "\\"" [0-9]');
      expect(textOf(await goOn({ sampling: GREEDY, grammar, derived }, plain('x')))).toMatch(/^"\d$/);
      expect(() => engineOf().prepare(0, { sampling: GREEDY, grammar, derived: `${derived}x` }, [], [])).toThrow(
        /does not obey/,
      );
    });
  });

  describe('a place that is prepared anew in mid-answer', () => {
    /** As `goOn`, but prepared anew before every token, by what `choosingAt` says of the answer so far. */
    async function anew(choosingAt: (answer: readonly number[]) => Choosing, count: number): Promise<number[]> {
      const engine = engineOf();
      engine.cutBack(0, 0);
      const answer: number[] = [];
      let [position, tokens] = [0, start()];
      while (answer.length < count && !engine.isEnd(answer.at(-1) ?? -1)) {
        engine.prepare(0, choosingAt(answer), start(), answer);
        const [next] = await chosenBy(engine, [{ place: 0, position, tokens, choose: true }]);
        position += tokens.length;
        tokens = [next!.token];
        answer.push(next!.token);
      }
      return answer;
    }

    it('draws as if undisturbed: seeds and penalties see the whole answer', async () => {
      const whole = await goOn({ sampling: LOOKING_BACK }, [], 20);
      expect(await anew(() => ({ sampling: LOOKING_BACK }), 20)).toEqual(whole);
    });

    it('obeys a grammar as if undisturbed, by its tokens or by its text', async () => {
      const grammar = engineOf().openGrammar('root ::= ([a-c é€😀] | [0-9] [0-9]){14}');
      const sampling = { ...LOOKING_BACK, ignoreEos: false };
      const whole = await goOn({ sampling, grammar }, [], 30);
      expect(await anew(() => ({ sampling, grammar }), 30)).toEqual(whole);
      const shown = (answer: readonly number[]) => {
        const detokenizer = engineOf().openDetokenizer();
        return answer.map((token) => detokenizer.push(token)).join('');
      };
      expect(await anew((answer) => ({ sampling, grammar, derived: shown(answer) }), 30)).toEqual(whole);
    });

    it('is free again once the grammar is dropped', async () => {
      const grammar = engineOf().openGrammar('root ::= [0-9]+');
      const sampling = { ...GREEDY, ignoreEos: true };
      const bound = await goOn({ sampling, grammar }, [], 3);
      const free = await goOn({ sampling }, bound, 5);
      const mixed = await anew((answer) => (answer.length < 3 ? { sampling, grammar } : { sampling }), 8);
      expect(mixed).toEqual([...bound, ...free]);
    });
  });
}
