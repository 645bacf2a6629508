import { createLogger } from '@millrace/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openOpenVino } from '../../apps/worker/src/openvino/open-openvino.js';
import type { OpenVinoEngine } from '../../apps/worker/src/openvino/openvino-engine.js';
import { collect, type EngineLimits, engineContract, question } from './engine.contract.ts';
import { DEMO_MODEL } from './engines.testing.ts';
import { openVinoPython } from './openvino.testing.ts';

const python = openVinoPython();
if (python === undefined) {
  console.warn(
    'Skipped: OpenVINO, because neither MILLRACE_PYTHON nor python3 has tools/openvino-server/requirements.txt.',
  );
}

const NEVER = new AbortController().signal;

/** GenAI reads the built-in model's own file; OPENVINO_TEST_MODEL names the folder that make_test_model.py has written. */
function open({ runningMax, queueMax }: EngineLimits): Promise<OpenVinoEngine> {
  return openOpenVino(
    {
      model: {
        id: 'm',
        aliases: [],
        capabilities: ['chat', 'completion'],
        created: 0,
        samplingDefaults: {},
        isDefault: true,
        contextLength: 1_024,
      },
      path: process.env.OPENVINO_TEST_MODEL ?? DEMO_MODEL,
      device: 'CPU',
      python: python!,
      limits: { sequencesMax: runningMax, queueMax, requestTimeoutMs: 20_000, backgroundTimeoutMs: 20_000 },
      environment: process.env,
      logger: createLogger({ name: 'test', level: 'silent', format: 'json' }),
      report: () => {},
      onBroken: () => {},
    },
    NEVER,
  );
}

describe.skipIf(python === undefined)('with OpenVINO GenAI', () => {
  engineContract('OpenVINO', {
    open,
    short: question('Count to 15.'),
    endless: { prompt: question('Count to 15.'), sampling: { temperature: 0, ignoreEos: true } },
    weather: question('What is the weather in Oslo?'),
    numbersTokens: false,
    resumes: true,
    logprobs: false,
  });

  describe('a program that is killed', () => {
    let engine: OpenVinoEngine;
    beforeAll(async () => {
      engine = await open({ runningMax: 8, queueMax: 8 });
    });
    afterAll(() => engine?.close());

    const request = (content: string) => ({
      requestId: 'req_1',
      model: 'm',
      prompt: question(content),
      sampling: { temperature: 0 },
      stop: [],
      priority: 0,
      maxTokens: 60,
    });
    const textOf = async (content: string) => (await collect(engine.answer(request(content), NEVER))).text;

    it('fails what it was answering, is up again, and answers eight at once as one alone', async () => {
      const endless = { ...request('Count to 15.'), sampling: { temperature: 0, ignoreEos: true }, maxTokens: 900 };
      const answer = engine.answer(endless, NEVER)[Symbol.asyncIterator]();
      for (let event = 0; event < 5; event++) await answer.next();
      process.kill(engine.pid!, 'SIGKILL');

      const rest = async () => {
        while (!(await answer.next()).done);
      };
      await expect(rest()).rejects.toMatchObject({ code: 'upstream_failed' });
      await expect.poll(() => engine.describe().state).toBe('loading');
      await expect.poll(() => engine.describe().state, { timeout: 60_000 }).toBeUndefined();
      const alone = await textOf('What is the capital of France?');
      expect(alone).toContain('Paris');
      const together = Array.from({ length: 8 }, () => textOf('What is the capital of France?'));
      expect(await Promise.all(together)).toEqual(Array.from({ length: 8 }, () => alone));
    });
  });
});
