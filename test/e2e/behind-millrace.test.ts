import { openOpenAiEngine } from '@millrace/openai-engine';
import { createLogger } from '@millrace/runtime';
import { afterAll, beforeAll, describe } from 'vitest';
import { engineContract, question } from '../engines/engine.contract.ts';
import { type Stack, startStack } from './stack.ts';

/** A worker may stand in front of a second Millrace as of any other server. */
describe('in front of another Millrace', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack();
  });
  afterAll(() => stack.stop());

  engineContract('The engine for OpenAI’s protocol', {
    open: ({ runningMax, queueMax }) =>
      openOpenAiEngine(
        {
          model: {
            id: 'millrace-demo',
            aliases: [],
            capabilities: ['chat', 'completion'],
            created: 0,
            samplingDefaults: {},
            isDefault: true,
            contextLength: 8_192,
          },
          // Of all that are known, this is the server whose words Millrace takes most of.
          upstream: {
            preset: 'vllm',
            url: `${stack.url}/v1`,
            maxConcurrent: runningMax,
            connectTimeoutMs: 5_000,
            silenceMsMax: 20_000,
            retriesMax: 0,
          },
          environment: {},
          limits: { queueMax, requestTimeoutMs: 20_000, backgroundTimeoutMs: 20_000 },
          logger: createLogger({ name: 'test', level: 'silent', format: 'json' }),
          report: () => {},
        },
        new AbortController().signal,
      ),
    short: question('Count to 15.'),
    endless: { prompt: question('Count to 15.'), sampling: { temperature: 0, ignoreEos: true } },
    weather: question('What is the weather in Oslo?'),
    numbersTokens: false,
    resumes: true,
    logprobs: true,
  });
});
