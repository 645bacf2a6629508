import type { Engine, Prompt } from '@millrace/contracts';
import { openOpenAiEngine } from '@millrace/openai-engine';
import { createLogger } from '@millrace/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collect, question } from '../engines/engine.contract.js';
import { type Stack, sequencesOf, startStack } from './stack.js';

const NEVER = new AbortController().signal;

function openOn(url: string): Promise<Engine> {
  return openOpenAiEngine(
    {
      model: {
        id: 'm',
        aliases: [],
        capabilities: ['chat', 'completion'],
        created: 0,
        samplingDefaults: {},
        isDefault: true,
      },
      upstream: {
        // Its parameters and paths are llama-server's, as far as OpenAI has none.
        preset: 'llama-server',
        url: `${url}/v1`,
        model: 'millrace-demo',
        maxConcurrent: 4,
        connectTimeoutMs: 2_000,
        silenceMsMax: 10_000,
        retriesMax: 0,
      },
      environment: {},
      limits: { queueMax: 4, requestTimeoutMs: 20_000, backgroundTimeoutMs: 20_000 },
      logger: createLogger({ name: 'test', level: 'silent', format: 'json' }),
      report: () => {},
    },
    NEVER,
  );
}

/** The contract of engines is in behind-millrace.test.ts; this is what goes beyond it. */
describe('a Millrace in front of another', () => {
  let stack: Stack;
  let engine: Engine;
  beforeAll(async () => {
    stack = await startStack();
    engine = await openOn(stack.url);
  });
  afterAll(async () => {
    await engine?.close();
    await stack?.stop();
  });

  it('frees the place there when its own reader leaves', async () => {
    const leaving = new AbortController();
    const request = { requestId: 'req_1', model: 'm', stop: [], priority: 0, maxTokens: 2_000 };
    const sampling = { temperature: 0, ignoreEos: true };
    const events = engine.answer({ ...request, prompt: question('Count to 15.'), sampling }, leaving.signal);
    const reading = collect(events);
    await expect.poll(() => sequencesOf(stack.url), { timeout: 5_000 }).toBe(1);
    leaving.abort(new Error('gone'));

    await expect(reading).rejects.toThrow('gone');
    await expect.poll(() => sequencesOf(stack.url), { timeout: 5_000 }).toBe(0);
  });

  it('tells its tokens and renders its chats', async () => {
    const chat = question('Hi') as Extract<Prompt, { kind: 'chat' }>;
    expect(await engine.renderPrompt(chat)).toContain('Hi');
    const asked = { requestId: 'r', model: 'm', priority: 0, addSpecial: false, parseSpecial: false };
    const { tokens, pieces } = await engine.tokenize({ ...asked, prompt: { kind: 'text', text: 'Héllo 👍' } });
    expect(Buffer.concat(pieces).toString()).toBe('Héllo 👍');
    expect(await engine.detokenize(tokens)).toBe('Héllo 👍');
  });
});
