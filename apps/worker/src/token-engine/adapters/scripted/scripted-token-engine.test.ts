import { describe, expect, it } from 'vitest';
import { tokenEngineContract } from '../../token-engine.contract.js';
import { GREEDY } from '../../token-engine.testing.js';
import { ScriptedTokenEngine } from './scripted-token-engine.js';

tokenEngineContract('ScriptedTokenEngine', async (sizes) => new ScriptedTokenEngine(sizes));

describe('ScriptedTokenEngine', () => {
  it('says what the script says to the prompt, then ends', async () => {
    const engine = new ScriptedTokenEngine({ says: (prompt) => `${prompt} ¿é?` });
    expect(await answer(engine, 'olá')).toBe('olá ¿é?');
  });

  it('goes on with the script after tokens that were chosen elsewhere', async () => {
    const engine = new ScriptedTokenEngine({ says: () => 'Paris.' });
    const chosen = engine.tokenize('Par', { special: false, beginning: false });
    expect(await answer(engine, 'Capital of France?', chosen)).toBe('is.');
  });

  it('says letters of several bytes when it has no script', async () => {
    const engine = new ScriptedTokenEngine();
    const text = await answer(engine, 'x', [], 400);
    expect(text).toMatch(/[a-z]{3}/);
    expect(text).toMatch(/[é€😀]/u);
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
    const engine = new ScriptedTokenEngine({ onStep: (works) => places.push(works.map(({ place }) => place)) });
    await engine.step([{ place: 3, position: 0, tokens: [1], choose: false }]);
    expect(places).toEqual([[3]]);
  });
});

async function answer(
  engine: ScriptedTokenEngine,
  text: string,
  chosen: readonly number[] = [],
  tokensMax = 100,
): Promise<string> {
  const detokenizer = engine.openDetokenizer();
  const prompt = engine.tokenize(text, { special: true, beginning: true });
  engine.prepare(0, { sampling: GREEDY }, prompt, chosen);
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
