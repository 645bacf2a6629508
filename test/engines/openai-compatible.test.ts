import type { Engine, Prompt, UpstreamEntry } from '@millrace/contracts';
import { openOpenAiEngine } from '@millrace/openai-engine';
import { createLogger } from '@millrace/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collect, type EngineLimits, engineContract, question } from './engine.contract.ts';
import { llamaServerProgram, type RunningServer, startLlamaServer } from './llama-server.testing.ts';

const program = llamaServerProgram();
if (program === undefined) {
  console.warn('Skipped: the engine on a real llama-server, because none is built (tools/build-llama-server.sh).');
}

const NEVER = new AbortController().signal;

function openOn(
  url: string,
  { runningMax, queueMax }: EngineLimits,
  more: Partial<UpstreamEntry> = {},
): Promise<Engine> {
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
        preset: 'llama-server',
        url: `${url}/v1`,
        maxConcurrent: runningMax,
        connectTimeoutMs: 2_000,
        silenceMsMax: 10_000,
        retriesMax: 0,
        ...more,
      },
      environment: {},
      limits: { queueMax, requestTimeoutMs: 20_000, backgroundTimeoutMs: 20_000 },
      logger: createLogger({ name: 'test', level: 'silent', format: 'json' }),
      report: () => {},
    },
    NEVER,
  );
}

describe.skipIf(program === undefined)('on a real llama-server', () => {
  let server: RunningServer;
  let engine: Engine;
  beforeAll(async () => {
    server = await startLlamaServer(program!, { contextLength: 1_024 });
    engine = await openOn(server.url, { runningMax: 4, queueMax: 4 });
  });
  afterAll(async () => {
    await engine?.close();
    await server?.stop();
  });

  engineContract('A llama-server', {
    open: (limits) => openOn(server.url, limits),
    short: question('Count to 15.'),
    endless: { prompt: question('Count to 15.'), sampling: { temperature: 0, ignoreEos: true } },
    weather: question('What is the weather in Oslo?'),
    numbersTokens: false,
    resumes: true,
    logprobs: true,
  });

  const request = (prompt: Prompt) => ({
    requestId: 'req_1',
    model: 'm',
    prompt,
    sampling: { temperature: 0 },
    stop: [],
    priority: 0,
    maxTokens: 60,
  });

  it('tells how long its context is', () => {
    expect(engine.describe().contextLength).toBe(1_024);
  });

  it('tells its tokens, and what they are the tokens of', async () => {
    const text = 'Héllo 👍, world';
    const prompt = { kind: 'text', text } as const;
    const { tokens, pieces } = await engine.tokenize({
      requestId: 'r',
      priority: 0,
      model: 'm',
      prompt,
      addSpecial: false,
      parseSpecial: false,
    });

    expect(tokens.length).toBeGreaterThan(3);
    expect(pieces).toHaveLength(tokens.length);
    expect(Buffer.concat(pieces).toString()).toBe(text);
    expect(await engine.detokenize(tokens)).toBe(text);
  });

  it('renders a chat, and gives the same answer to what it rendered', async () => {
    const chat = question('What is the capital of France?') as Extract<Prompt, { kind: 'chat' }>;
    const text = await engine.renderPrompt(chat);
    expect(text).toContain('What is the capital of France?');

    const answer = await collect(engine.answer(request(chat), NEVER));
    expect(answer.text).toContain('Paris');
    const { tokens } = await engine.tokenize({
      requestId: 'r',
      priority: 0,
      model: 'm',
      prompt: chat,
      addSpecial: true,
      parseSpecial: true,
    });
    const again = await collect(engine.answer(request({ kind: 'tokens', tokens }), NEVER));
    expect(again.text.trim()).toBe(answer.text.trim());
  });

  it('goes on with a message that is begun, and with an answer that broke off', async () => {
    const chat = question('What is the capital of France?') as Extract<Prompt, { kind: 'chat' }>;
    const whole = (await collect(engine.answer(request(chat), NEVER))).text;
    const half = whole.slice(0, whole.indexOf('Paris'));
    const messages = [...chat.messages, { role: 'assistant', content: half }];

    const continued = await collect(engine.answer(request({ ...chat, messages, continueFinal: true }), NEVER));
    expect(half + continued.text).toBe(whole);
    const resumed = await collect(engine.answer({ ...request(chat), resume: { tokens: [], text: half } }, NEVER));
    expect(half + resumed.text).toBe(whole);
  });

  it('tells log-probabilities beside tools, too', async () => {
    const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }];
    const chat = question('What is the capital of France?') as Extract<Prompt, { kind: 'chat' }>;
    const events = engine.answer({ ...request({ ...chat, tools, toolChoice: 'none' }), logprobs: 1 }, NEVER);
    const told: number[] = [];
    for await (const event of events) if (event.kind === 'tokens') told.push(event.logprobs?.length ?? 0);
    expect(Math.max(...told)).toBeGreaterThan(0);
  });

  it('obeys a grammar', async () => {
    const grammar = 'root ::= ("no" | "yes") "!"';
    const asked = { ...request(question('Is it?')), format: { kind: 'grammar', grammar } as const };
    expect((await collect(engine.answer(asked, NEVER))).text).toMatch(/^(no|yes)!$/);
  });
});
