import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort, type Program, Stage, startGateway, startWorker } from '../bench/programs.js';
import { ROOT } from './stack.js';

const GGUF = join(ROOT, 'models/millrace-demo.gguf');
const entry = (id: string, more = '') => `  - { id: ${id}, path: ${GGUF}, context: 2048${more} }\n`;
const QUESTION = [{ role: 'user', content: 'What is the capital of France?' }] as const;
const START_MS_MAX = 60_000;
const HELD_MS = 4_000;

/** Two pools as the chart makes them: one that is always there, and one of which there is no worker until somebody waits for it. */
describe('a gateway with a worker of one model, asked for another whose pool rests at zero', () => {
  const stage = new Stage();
  let workerPort: number;
  let patient: Program;
  let hasty: Program;

  function modelsFile(name: string, text: string): string {
    const path = join(stage.folder(name), 'models.yaml');
    writeFileSync(path, `models:\n${text}`);
    return path;
  }

  const clientOf = (gateway: Program) => new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'any', maxRetries: 0 });
  const ask = (gateway: Program, model: string) =>
    clientOf(gateway).chat.completions.create({ model, messages: [...QUESTION], temperature: 0, max_tokens: 20 });
  const waitingFor = async (gateway: Program, model: string): Promise<number> => {
    const page = await (await fetch(`${gateway.url}/metrics`)).text();
    const series = page.split('\n').filter((line) => line.startsWith('millrace_waiting_requests{'));
    return Number(
      series
        .find((line) => line.includes(`model="${model}"`))
        ?.split(' ')
        .at(-1),
    );
  };

  beforeAll(async () => {
    const small = await startWorker(stage, { modelsFile: modelsFile('small', entry('small')) });
    workerPort = await freePort();
    const gatewayFile = modelsFile('gateways', entry('small') + entry('large', ', restsAtZero: true'));
    const start = (name: string, waitMs: number) =>
      startGateway(stage, {
        name,
        worker: small,
        dataFolder: stage.folder(name),
        modelsFile: gatewayFile,
        // In place of the one address that a gateway of the tests has: what is said last counts.
        args: [`--workers=127.0.0.1:${small.port},127.0.0.1:${workerPort}`, `--cold-start-wait-ms=${waitMs}`],
      });
    [patient, hasty] = [await start('patient', START_MS_MAX), await start('hasty', HELD_MS)];
  }, 240_000);
  afterAll(() => stage[Symbol.asyncDispose]());

  it('tells after coldStartWaitMs how long it has waited, and when to come again', async () => {
    const refused = await fetch(`${hasty.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'large', messages: QUESTION }),
    });
    expect(refused.status).toBe(503);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await refused.json()).toMatchObject({
      error: {
        type: 'server_error',
        code: 'model_not_ready',
        message: expect.stringMatching(
          /^No worker has come for the model `large`: this request waited 4,\d{3} ms for one, and the most is 4,000/,
        ),
      },
    });
  });

  it('keeps nothing of a client that hangs up', async () => {
    const leaving = new AbortController();
    const left = clientOf(patient)
      .chat.completions.create({ model: 'large', messages: [...QUESTION] }, { signal: leaving.signal })
      .catch((error: Error) => error.name);
    await expect.poll(() => waitingFor(patient, 'large')).toBe(1);
    leaving.abort();
    expect(await left).not.toBeUndefined();
    await expect.poll(() => waitingFor(patient, 'large')).toBe(0);
  });

  it('calls a model unknown at once that nobody has configured', async () => {
    await expect(ask(patient, 'larg')).rejects.toMatchObject({ status: 404 });
  });

  it('holds what is asked of it, answers others meanwhile, and answers it when its worker has come', async () => {
    const held = ask(patient, 'large');
    const streamed = clientOf(patient).chat.completions.create({
      model: 'large',
      messages: [...QUESTION],
      stream: true,
      temperature: 0,
    });
    await expect.poll(() => waitingFor(patient, 'large')).toBe(2);
    expect(await waitingFor(patient, 'small')).toBe(0);
    expect((await ask(patient, 'small')).choices[0]?.message.content).toContain('Paris');
    await startWorker(stage, {
      modelsFile: modelsFile('large', entry('large')),
      args: [`--worker-port=${workerPort}`],
    });
    expect((await held).choices[0]?.message.content).toContain('Paris');
    let text = '';
    for await (const chunk of await streamed) text += chunk.choices[0]?.delta.content ?? '';
    expect(text).toContain('Paris');
    await expect.poll(() => waitingFor(patient, 'large')).toBe(0);
  }, 120_000);
});
