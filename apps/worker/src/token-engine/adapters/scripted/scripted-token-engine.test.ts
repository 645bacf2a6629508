import { describe, expect, it } from 'vitest';
import { tokenEngineContract } from '../../token-engine.contract.js';
import type { Choosing } from '../../token-engine.js';
import { GREEDY } from '../../token-engine.testing.js';
import { ScriptedTokenEngine } from './scripted-token-engine.js';

tokenEngineContract('ScriptedTokenEngine', async (sizes) => new ScriptedTokenEngine(sizes), {
  mark: '<|python_tag|>',
  end: '<|eom_id|>',
  other: '[TOOL_CALLS]',
});

describe('ScriptedTokenEngine', () => {
  it('says what the script says to the prompt, then ends', async () => {
    const engine = new ScriptedTokenEngine({ says: (prompt) => `${prompt} ¿é?` });
    expect(await answer(engine, 'olá')).toBe('olá ¿é?');
  });

  it('goes on with the script after tokens that were chosen elsewhere', async () => {
    const engine = new ScriptedTokenEngine({ says: () => 'Paris.' });
    const chosen = engine.tokenize('Par', { special: false, beginning: false });
    expect(await answer(engine, 'Capital of France?', {}, chosen)).toBe('is.');
  });

  it('says letters of several bytes when it has no script', async () => {
    const engine = new ScriptedTokenEngine();
    const text = await answer(engine, 'x', {}, [], 400);
    expect(text).toMatch(/[a-z]{3}/);
    expect(text).toMatch(/[é€😀]/u);
  });

  it('departs from the script where biases or a grammar say so, and ends it late under ignore_eos', async () => {
    const engine = new ScriptedTokenEngine({ says: () => 'yes' });
    const [y] = engine.tokenize('y', { special: false, beginning: false });
    const [a] = engine.tokenize('a', { special: false, beginning: false });
    const logitBias = [
      { token: y!, bias: -100 },
      { token: a!, bias: 50 },
    ];
    expect(await answer(engine, 'x', { sampling: { ...GREEDY, logitBias } })).toBe('aes');
    expect(await answer(engine, 'x', { grammar: engine.openGrammar('root ::= "no"') })).toBe('no');
    expect(await answer(engine, 'x', { sampling: { ...GREEDY, ignoreEos: true } }, [], 9)).toMatch(/^yes.+$/u);
  });

  it('cuts and copies whole places only when it stands for a recurrent model', async () => {
    const engine = new ScriptedTokenEngine({ cutsAnywhere: false });
    await engine.step([{ place: 0, position: 0, tokens: [1, 2], choose: false }]);
    expect(() => engine.cutBack(0, 1)).toThrow(/can't go back from 2 tokens to 1/);
    await expect(engine.copy(0, 1, 1)).rejects.toThrow(/Copy all of it/);
    await engine.copy(0, 1, 2);
    expect(engine.heldBy(1)).toBe(2);
    engine.cutBack(0, 0);
  });

  it('knows the control tokens around a gap unless told not to', () => {
    const { model } = new ScriptedTokenEngine();
    const engine = new ScriptedTokenEngine({ infills: false });
    expect(engine.tokenize('<|fim_suffix|>', { special: true, beginning: false })).toEqual([model.infill?.suffix]);
    expect(engine.model.infill).toBeUndefined();
  });

  it('says control tokens by their names only if told to', async () => {
    const says = () => 'a[TOOL_CALLS]b<|eom_id|>';
    const tokens = (engine: ScriptedTokenEngine) =>
      ['[TOOL_CALLS]', '<|eom_id|>'].map((name) => engine.controlToken(name)!);
    for (const saysControlTokens of [true, false]) {
      const engine = new ScriptedTokenEngine({ says, saysControlTokens });
      expect(await answer(engine, 'x')).toBe(saysControlTokens ? 'ab' : says());
      expect(await answer(engine, 'x', {}, [], 100, tokens(engine))).toBe(
        saysControlTokens ? 'a[TOOL_CALLS]b' : says(),
      );
    }
  });

  it('tells of every copy', async () => {
    const copies: number[][] = [];
    const engine = new ScriptedTokenEngine({ onCopy: (...copy) => copies.push(copy) });
    await engine.step([{ place: 3, position: 0, tokens: [1, 2], choose: false }]);
    await engine.copy(3, 0, 1);
    expect(copies).toEqual([[3, 0, 1]]);
  });

  it('breaks at the step it was told to, and works again once its places are cleared', async () => {
    const engine = new ScriptedTokenEngine({ breakAtStep: 2 });
    const work = { place: 0, position: 0, tokens: [1], choose: false };
    await engine.step([work]);
    await expect(engine.step([{ ...work, position: 1 }])).rejects.toThrow(/broke/);
    await expect(engine.step([{ ...work, position: 1 }])).rejects.toThrow(/unknown/);
    engine.cutBack(0, 0);
    expect(await engine.step([work])).toEqual({ chosen: [], scored: [] });
    expect(engine.heldBy(0)).toBe(1);
  });

  it('tells of every step', async () => {
    const places: number[][] = [];
    const engine = new ScriptedTokenEngine({ onStep: (works) => void places.push(works.map(({ place }) => place)) });
    await engine.step([{ place: 3, position: 0, tokens: [1], choose: false }]);
    expect(places).toEqual([[3]]);
  });
});

async function answer(
  engine: ScriptedTokenEngine,
  text: string,
  choosing: Partial<Choosing> = {},
  chosen: readonly number[] = [],
  tokensMax = 100,
  spelled: readonly number[] = [],
): Promise<string> {
  const detokenizer = engine.openDetokenizer(spelled);
  const prompt = engine.tokenize(text, { special: true, beginning: true });
  engine.cutBack(0, 0);
  engine.prepare(0, { sampling: GREEDY, ...choosing }, prompt, chosen);
  let tokens = [...prompt, ...chosen];
  let position = 0;
  let said = '';
  for (let count = 0; count < tokensMax; count++) {
    const step = await engine.step([{ place: 0, position, tokens, choose: true }]);
    const [next] = step.chosen;
    if (engine.isEnd(next!.token)) break;
    said += detokenizer.push(next!.token);
    position += tokens.length;
    tokens = [next!.token];
  }
  return said + detokenizer.end();
}
