import { describe, expect, it } from 'vitest';
import { vectorEngineContract } from '../../vector-engine.contract.js';
import { ScriptedVectorEngine } from './scripted-vector-engine.js';

const NEVER = new AbortController().signal;

vectorEngineContract('ScriptedVectorEngine', {
  vectors: async () => new ScriptedVectorEngine(),
  scores: async () => new ScriptedVectorEngine({ scores: true }),
});

describe('ScriptedVectorEngine', () => {
  it('puts texts that share words nearer than texts that do not', async () => {
    const engine = new ScriptedVectorEngine();
    const vectorOf = (text: string) => engine.embed(engine.tokenize(text), NEVER);
    const [a, near, far] = await Promise.all(['the cat sat down', 'a cat sat here', 'prices rose again'].map(vectorOf));
    const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, at) => sum + value * y[at]!, 0);
    expect(dot(a!, near!)).toBeGreaterThan(dot(a!, far!) + 0.2);
  });

  it("scores the part of the query's words that the document has", async () => {
    const engine = new ScriptedVectorEngine({ scores: true });
    const score = (query: string, document: string) => engine.score(engine.joinPair(query, document), NEVER);
    expect(await score('red fox', 'The fox is red.')).toBe(1);
    expect(await score('red fox', 'A fox.')).toBe(0.5);
    expect(await score('red fox', 'Nothing.')).toBe(0);
  });
});
