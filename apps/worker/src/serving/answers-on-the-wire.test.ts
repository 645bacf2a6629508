import type { AnswerEvent, AnswerRequest, TokenLogprob } from '@millrace/contracts';
import { afterEach, describe, expect, it } from 'vitest';
import { openServer, TestGateway } from './serving.testing.js';
import { TellingEngine } from './telling-engine.testing.js';

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

type Answer = (request: AnswerRequest, signal: AbortSignal) => AsyncIterable<AnswerEvent>;

async function open(answer: Answer) {
  const test = await openServer(new TellingEngine({ answer }));
  const gateway = new TestGateway(test.address);
  closing.push(test.close, () => gateway.close());
  gateway.hello();
  return { gateway, test };
}

const begun: AnswerEvent = { kind: 'begun', promptTokens: 3, cachedTokens: 2, waitedMs: 1 };
const finished = (completionTokens: number): AnswerEvent => ({
  kind: 'finished',
  reason: 'stop',
  usage: { promptTokens: 3, completionTokens, cachedTokens: 2 },
});

function logprob(token: number, alternatives = 0): TokenLogprob {
  const chance = (each: number) => ({ token: each, bytes: Buffer.from(`t${each}`), logprob: -each / 2 });
  return { ...chance(token), top: Array.from({ length: alternatives }, (_, at) => chance(token + at)) };
}

const echoesOf = (gateway: TestGateway, id = 1) => gateway.updates(id).flatMap(({ echo }) => echo ?? []);
const logprobsOf = (gateway: TestGateway, id = 1) => gateway.updates(id).flatMap(({ logprobs }) => logprobs);

describe('log-probabilities on the wire', () => {
  it('travel with the tokens whose text they are of, spelt in bytes, with the likeliest others', async () => {
    const { gateway } = await open(async function* () {
      yield begun;
      yield { kind: 'tokens', tokens: [1, 2], text: 'a', logprobs: [logprob(1, 2)] };
      yield { kind: 'tokens', tokens: [3], text: 'bc', logprobs: [logprob(2), { ...logprob(3), logprob: Number.NaN }] };
      yield finished(3);
    });
    gateway.start(1, { logprobs: 2 });
    await expect.poll(() => gateway.settled(1)?.reason).toBe('stop');
    const [first, second, third] = logprobsOf(gateway);
    expect(first).toMatchObject({ token: 1, logprob: -0.5 });
    expect(Buffer.from(first!.spelling).toString()).toBe('t1');
    expect(first!.top.map(({ token, logprob, top }) => [token, logprob, top])).toEqual([
      [1, -0.5, []],
      [2, -1, []],
    ]);
    expect(second).toMatchObject({ token: 2, top: [] });
    expect(third!.logprob).toBeNaN();
    expect(gateway.updates(1)[0]?.begun).toMatchObject({ promptTokens: 3, cachedTokens: 2 });
  });

  it('go with the last part when there is credit for some tokens only', async () => {
    const { gateway } = await open(async function* () {
      yield begun;
      yield { kind: 'tokens', tokens: [1, 2, 3], text: 'abc', logprobs: [logprob(1), logprob(2), logprob(3)] };
      yield finished(3);
    });
    gateway.start(1, { creditTokens: 2, logprobs: 0 });
    await expect.poll(() => gateway.tokens(1)).toEqual([1, 2]);
    expect(logprobsOf(gateway)).toEqual([]);
    gateway.credit(1, 1);
    await expect.poll(() => gateway.settled(1)?.reason).toBe('stop');
    expect(gateway.text(1)).toBe('abc');
    expect(logprobsOf(gateway).map(({ token }) => token)).toEqual([1, 2, 3]);
  });

  it('do not make a frame larger than a gateway reads, however many come in one turn', async () => {
    const tokens = Array.from({ length: 20_000 }, (_, token) => token);
    const { gateway } = await open(async function* () {
      yield begun;
      yield { kind: 'tokens', tokens, text: 'x', logprobs: tokens.map((token) => logprob(token, 20)) };
      yield finished(tokens.length);
    });
    gateway.start(1, { creditTokens: 100_000, logprobs: 20 });
    await expect.poll(() => gateway.settled(1)?.reason, { timeout: 10_000 }).toBe('stop');
    expect(gateway.error).toBeUndefined();
    expect(logprobsOf(gateway).map(({ token }) => token)).toEqual(tokens);
    expect(gateway.framesOf('step').length).toBeGreaterThan(5);
  });
});

describe('channels on the wire', () => {
  it('carry thoughts, calls and citations beside the text, and how the answer ended', async () => {
    const { gateway } = await open(async function* () {
      yield begun;
      yield { kind: 'tokens', tokens: [1], text: '', reasoning: 'hm' };
      yield { kind: 'tokens', tokens: [2], text: 'a', calls: [{ index: 0, name: 'f', arguments: '' }] };
      yield {
        kind: 'tokens',
        tokens: [3],
        text: 'b',
        calls: [{ index: 0, arguments: '{}' }],
        citations: [
          {
            start: 0,
            end: 2,
            sources: [
              { kind: 'document', document: 4 },
              { kind: 'toolResult', callId: 'call_1', result: 2 },
            ],
          },
        ],
      };
      const usage = { promptTokens: 3, completionTokens: 4, cachedTokens: 2, reasoningTokens: 1 };
      yield { kind: 'finished', reason: 'tool_calls', usage };
    });
    gateway.start(1);
    await expect.poll(() => gateway.settled(1)).toMatchObject({ reason: 'tool_calls', reasoningTokens: 1 });
    const updates = gateway.updates(1);
    expect(gateway.text(1)).toBe('ab');
    expect(updates.map(({ reasoning }) => reasoning).join('')).toBe('hm');
    expect(updates.flatMap(({ calls }) => calls)).toEqual([
      { index: 0, name: 'f', arguments: '' },
      { index: 0, name: '', arguments: '{}' },
    ]);
    expect(updates.flatMap(({ citations }) => citations)).toEqual([
      {
        start: 0,
        end: 2,
        sources: [
          { source: { $case: 'document', value: 4 } },
          { source: { $case: 'toolResult', value: { callId: 'call_1', result: 2 } } },
        ],
      },
    ]);
  });

  it('let tokens without numbers take credit like others', async () => {
    let asked = 0;
    const { gateway } = await open(async function* () {
      yield begun;
      for (; asked < 10; asked++) yield { kind: 'tokens', tokens: [], unnumbered: 2, text: `${asked}` };
      yield finished(20);
    });
    gateway.start(1, { creditTokens: 5 });
    const unnumbered = () => gateway.updates(1).reduce((sum, update) => sum + update.unnumberedTokens, 0);
    await expect.poll(unnumbered).toBe(5);
    await new Promise((resolve) => setTimeout(resolve, 30));
    // The third waits for credit, and the engine is not asked for a fourth.
    expect({ sent: unnumbered(), text: gateway.text(1), asked }).toEqual({ sent: 5, text: '01', asked: 2 });
    gateway.credit(1, 100);
    await expect.poll(() => gateway.settled(1)?.reason).toBe('stop');
    expect({ sent: unnumbered(), text: gateway.text(1) }).toEqual({ sent: 20, text: '0123456789' });
  });

  it('do not make a frame larger than a gateway reads, however long the text of one token is', async () => {
    const text = 'x'.repeat(1_000_000);
    const { gateway } = await open(async function* () {
      yield begun;
      for (let sent = 0; sent < 6; sent++) yield { kind: 'tokens', tokens: [], unnumbered: 1, text };
      yield finished(6);
    });
    gateway.start(1);
    await expect.poll(() => gateway.settled(1)?.reason, { timeout: 10_000 }).toBe('stop');
    expect(gateway.error).toBeUndefined();
    expect(gateway.text(1)).toHaveLength(6_000_000);
  });
});

describe('echoes on the wire', () => {
  it('come after begun and before the first token, and cost no credit', async () => {
    const { gateway } = await open(async function* () {
      yield begun;
      yield { kind: 'echo', text: 'one ', logprobs: [] };
      yield { kind: 'echo', text: 'two', logprobs: [] };
      yield { kind: 'tokens', tokens: [7], text: '!' };
      yield finished(1);
    });
    gateway.start(1, { creditTokens: 1, echo: true });
    await expect.poll(() => gateway.settled(1)?.reason).toBe('stop');
    expect(
      echoesOf(gateway)
        .map(({ text }) => text)
        .join(''),
    ).toBe('one two');
    const firstToken = gateway.updates(1).findIndex(({ tokenIds }) => tokenIds.length > 0);
    const lastEcho = gateway.updates(1).findLastIndex(({ echo }) => echo !== undefined);
    expect(lastEcho).toBeLessThanOrEqual(firstToken);
  });

  it('take one of the credit for every log-probability', async () => {
    const { gateway } = await open(async function* () {
      yield begun;
      yield { kind: 'echo', text: 'abc', logprobs: [logprob(1), logprob(2), logprob(3)] };
      yield { kind: 'tokens', tokens: [7], text: '!' };
      yield finished(1);
    });
    gateway.start(1, { creditTokens: 2, echo: true, logprobs: 0 });
    const echoed = () => echoesOf(gateway).flatMap(({ logprobs }) => logprobs.map(({ token }) => token));
    await expect.poll(echoed).toEqual([1, 2]);
    expect(gateway.tokens(1)).toEqual([]);
    gateway.credit(1, 1);
    await expect.poll(echoed).toEqual([1, 2, 3]);
    expect(gateway.settled(1)).toBeUndefined();
    gateway.credit(1, 1);
    await expect.poll(() => gateway.settled(1)?.reason).toBe('stop');
  });

  it('of megabytes come in pieces that a gateway reads, without a broken character', async () => {
    const text = `${'x'.repeat(65_535)}${'😀'.repeat(2_000_000)}`;
    const { gateway } = await open(async function* () {
      yield begun;
      yield { kind: 'echo', text, logprobs: [] };
      yield finished(0);
    });
    gateway.start(1, { echo: true, maxTokens: 0 });
    await expect.poll(() => gateway.settled(1)?.reason, { timeout: 10_000 }).toBe('stop');
    expect(gateway.error).toBeUndefined();
    const pieces = echoesOf(gateway).map((echo) => echo.text);
    expect(pieces.join('') === text).toBe(true);
  });

  it('end when the sequence is cancelled while it waits for credit', async () => {
    const { gateway } = await open(async function* () {
      yield begun;
      yield { kind: 'echo', text: 'ab', logprobs: [logprob(1), logprob(2)] };
      yield finished(0);
    });
    gateway.start(1, { creditTokens: 1, echo: true, maxTokens: 0, logprobs: 1 });
    await expect.poll(() => echoesOf(gateway).flatMap(({ logprobs }) => logprobs)).toHaveLength(1);
    gateway.cancel(1);
    await expect.poll(() => gateway.settled(1)?.reason).toBe('cancelled');
  });
});

describe('siblings on the wire', () => {
  it('are asked in one turn, with one prompt object, and are each a sequence of their own', async () => {
    const asked: AnswerRequest[] = [];
    const askedInTurn: number[] = [];
    let turns = 0;
    const { gateway } = await open(async function* (request) {
      if (asked.length === 0) setImmediate(() => turns++);
      asked.push(request);
      askedInTurn.push(turns);
      const seed = request.sampling.seed ?? 0;
      yield begun;
      yield { kind: 'tokens', tokens: [seed], text: `seed ${seed}` };
      yield finished(1);
    });
    gateway.start(1, {
      attempt: 2,
      sampling: { seed: 10, logitBias: [], drySequenceBreakers: undefined },
      siblings: [
        { sequenceId: 2, seed: 11 },
        { sequenceId: 3, seed: undefined },
      ],
    });
    await expect.poll(() => [1, 2, 3].map((id) => gateway.settled(id)?.reason)).toEqual(['stop', 'stop', 'stop']);
    expect([1, 2, 3].map((id) => gateway.text(id))).toEqual(['seed 10', 'seed 11', 'seed 0']);
    expect(new Set(asked.map(({ prompt }) => prompt)).size).toBe(1);
    expect(askedInTurn).toEqual([0, 0, 0]);
    expect(gateway.updates(3).every(({ attempt }) => attempt === 2)).toBe(true);
  });

  it('have each their own credit and can be cancelled alone', async () => {
    const { gateway } = await open(async function* (_request, signal) {
      yield begun;
      for (let token = 0; token < 50; token++) {
        signal.throwIfAborted();
        yield { kind: 'tokens', tokens: [token], text: 'x' };
      }
      yield finished(50);
    });
    gateway.start(1, { creditTokens: 5, siblings: [2, 3].map((sequenceId) => ({ sequenceId, seed: undefined })) });
    await expect.poll(() => [1, 2, 3].map((id) => gateway.tokens(id).length)).toEqual([5, 5, 5]);
    gateway.cancel(2);
    gateway.credit(3, 1_000);
    await expect.poll(() => gateway.settled(2)?.reason).toBe('cancelled');
    await expect.poll(() => gateway.settled(3)?.completionTokens).toBe(50);
    expect(gateway.settled(1)).toBeUndefined();
    gateway.credit(1, 1_000);
    await expect.poll(() => gateway.settled(1)?.reason).toBe('stop');
  });

  it('each get the same failure when the request is impossible', async () => {
    const { gateway } = await open(async function* () {
      yield begun;
    });
    const many = Array.from({ length: 9 }, (_, at) => ({ sequenceId: at + 2, seed: undefined }));
    gateway.start(1, { siblings: many });
    await expect.poll(() => gateway.settled(10)).toBeDefined();
    for (let id = 1; id <= 10; id++) {
      expect(gateway.settled(id)?.failure).toMatchObject({
        code: 'invalid_request',
        param: 'n',
        message: expect.stringMatching(/n is 10; .* at most 8/),
      });
      expect(gateway.updates(id).filter(({ settled }) => settled)).toHaveLength(1);
    }
  });

  it('break the stream when one has an id that is taken', async () => {
    const starts: ((gateway: TestGateway) => void)[] = [
      (gateway) => gateway.start(1, { siblings: [{ sequenceId: 1, seed: undefined }] }),
      (gateway) => gateway.start(1, { siblings: [2, 2].map((sequenceId) => ({ sequenceId, seed: undefined })) }),
      (gateway) => [gateway.start(2), gateway.start(1, { siblings: [{ sequenceId: 2, seed: undefined }] })],
    ];
    for (const start of starts) {
      const { gateway, test } = await open(async function* (_request, signal) {
        yield begun;
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      });
      start(gateway);
      await expect.poll(() => gateway.error?.details).toMatch(/The sequence \d was started twice/);
      await test.server.drain(1_000);
    }
  });
});
