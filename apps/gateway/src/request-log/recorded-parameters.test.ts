import { describe, expect, it } from 'vitest';
import { recordedParameters } from './recorded-parameters.js';

describe('recordedParameters', () => {
  it('names what was given, as OpenAI does, and counts what is long', () => {
    const chat = {
      kind: 'chat',
      messages: [{ content: 'secret' }, {}],
      tools: [{ secret: 1 }],
      toolChoice: { name: 'secret' },
      reasoningEffort: 'low',
    };
    const parameters = recordedParameters({
      sampling: { temperature: 0, topP: 0.5, seed: 7, logitBias: [{ token: 1, bias: 2 }], minP: undefined },
      maxTokens: 5,
      n: 2,
      bestOf: 2,
      stop: ['secret', 'b'],
      format: { kind: 'schema', schema: { secret: true } },
      logprobs: 0,
      prompts: [chat],
    });
    expect(parameters).toEqual({
      temperature: 0,
      top_p: 0.5,
      seed: 7,
      logit_bias: 1,
      max_tokens: 5,
      n: 2,
      stop: 2,
      response_format: 'schema',
      logprobs: 0,
      messages: 2,
      tools: 1,
      tool_choice: 'function',
      reasoning_effort: 'low',
    });
    expect(JSON.stringify(parameters)).not.toContain('secret');
  });

  it('says nothing of what is as usual', () => {
    const prompts = [{ kind: 'text', text: 'a' }];
    expect(recordedParameters({ sampling: {}, n: 1, bestOf: 1, stop: [], prompts })).toEqual({});
  });

  it('tells how many inputs and documents there were', () => {
    expect(recordedParameters({ inputs: ['a', 'b'], dimensions: 64 })).toEqual({ inputs: 2, dimensions: 64 });
    expect(recordedParameters({ documents: ['a'], topN: 1 })).toEqual({ documents: 1, top_n: 1 });
  });
});
