import { afterAll, beforeAll, describe } from 'vitest';
import { openEngine, type ScriptedUpstream } from '../../libs/openai-engine/src/upstream.testing.ts';
import { engineContract, question } from './engine.contract.ts';
import { startScriptedUpstream } from './scripted-upstream.testing.ts';

describe('in front of a scripted server', () => {
  let upstream: ScriptedUpstream;
  beforeAll(async () => {
    upstream = await startScriptedUpstream({
      says: (asked) => {
        if (asked === 'Count.') return { text: 'One, two, three, four: é€😀 — and five.' };
        if (asked === 'Think first.') return { text: 'Yes, é€😀.', reasoning: 'It is a question.' };
        return { text: 'é€😀 word '.repeat(2_000) };
      },
      call: { question: 'What is the weather in Oslo?', arguments: '{"city": "Oslo"}' },
      json: '{"n": 4}',
      promptWordsMax: 4_096,
    });
  });
  afterAll(() => upstream.close());

  // A server that takes the beginning of an answer, and one that does not.
  describe.each([
    { preset: 'vllm', resumes: true },
    { preset: 'generic', resumes: false },
  ] as const)('as $preset', ({ preset, resumes }) => {
    engineContract('The engine for OpenAI’s protocol', {
      open: async ({ runningMax, queueMax }) => {
        const { engine } = await openEngine(upstream.url, {
          model: { capabilities: ['chat', 'completion'] },
          limits: { queueMax },
          upstream: { preset, maxConcurrent: runningMax },
        });
        return engine;
      },
      short: question('Count.'),
      endless: { prompt: question('Go on for ever.'), sampling: { temperature: 0 } },
      weather: question('What is the weather in Oslo?'),
      thoughtful: { prompt: question('Think first.'), reasoning: 'It is a question.', text: 'Yes, é€😀.' },
      numbersTokens: false,
      resumes,
      logprobs: false,
    });
  });
});
