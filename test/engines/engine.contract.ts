import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AnswerEvent,
  type AnswerRequest,
  type CallDelta,
  type Engine,
  InferenceError,
  type Prompt,
  type ResumedAnswer,
  TOKEN_UNKNOWN,
} from '@millrace/contracts';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

export interface EngineLimits {
  /** Answers that run at a time. */
  readonly runningMax: number;
  /** Answers that may wait for a place. */
  readonly queueMax: number;
}

/** An engine, and what is known of the model behind it. */
export interface EngineSubject {
  open(limits: EngineLimits): Promise<Engine>;
  /** Its answer has a dozen tokens or more, and is the same each time at temperature 0. */
  readonly short: Prompt;
  /** Its answer has hundreds of tokens. */
  readonly endless: Pick<AnswerRequest, 'prompt' | 'sampling'>;
  /** Asks for the weather, by the tool of that name. */
  readonly weather: Prompt;
  /** Where the model thinks. */
  readonly thoughtful?: { readonly prompt: Prompt; readonly reasoning: string; readonly text: string };
  /** The engine knows the numbers of its tokens. */
  readonly numbersTokens: boolean;
  /** It goes on where another attempt ended. Without that, it says that it can't. */
  readonly resumes: boolean;
  /** It tells log-probabilities. */
  readonly logprobs: boolean;
}

export interface Whole {
  readonly events: readonly AnswerEvent[];
  readonly text: string;
  readonly reasoning: string;
  readonly calls: readonly { readonly name: string; readonly arguments: string }[];
  readonly tokens: readonly number[];
  readonly unnumbered: number;
  readonly finished: Extract<AnswerEvent, { kind: 'finished' }>;
}

const NEVER = new AbortController().signal;
const ROOMY: EngineLimits = { runningMax: 4, queueMax: 16 };

const WEATHER = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Get the current weather in a city',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string', maxLength: 40 } },
      required: ['city'],
      additionalProperties: false,
    },
  },
};

/** A question to a model, which may be told of the tool `get_weather`. */
export function question(content: string): Prompt {
  return { kind: 'chat', messages: [{ role: 'user', content }], tools: [], templateVariables: {} };
}

/** A case for engines with a certain trait: for others there is nothing to show, and so nothing to skip. */
function itWhere(applies: boolean): (name: string, body: () => Promise<void>) => void {
  return applies ? (name, body) => void it(name, body) : () => undefined;
}

/**
 * What every Engine must do. Nothing here knows what computes, nor whether it is in this process; a trait of the subject
 * that is left out is one that its kind of engine can't have.
 */
export function engineContract(name: string, subject: EngineSubject): void {
  describe(`${name} as an Engine`, () => {
    let engine: Engine;
    beforeAll(async () => {
      engine = await subject.open(ROOMY);
    });
    afterAll(() => engine.close());

    const { short, endless, weather, thoughtful } = subject;
    const requestOf = (more: Partial<AnswerRequest> = {}): AnswerRequest => ({
      requestId: 'req_contract',
      model: engine.describe().id,
      prompt: short,
      sampling: { temperature: 0 },
      stop: [],
      priority: 0,
      maxTokens: 100,
      ...more,
    });
    const answer = (more: Partial<AnswerRequest> = {}, signal = NEVER, of = engine) =>
      of.answer(requestOf(more), signal);
    const whole = (more: Partial<AnswerRequest> = {}) => collect(answer(more));
    const long = (more: Partial<AnswerRequest> = {}) => ({ ...endless, maxTokens: 400, ...more });
    const idle = (of = engine) => expect.poll(() => of.load(), { timeout: 5_000 }).toEqual({ running: 0, waiting: 0 });

    it('describes what it serves', () => {
      const { id, engine: kind, contextLength, capabilities } = engine.describe();
      expect(id).not.toBe('');
      expect(kind).not.toBe('');
      expect(contextLength).toBeGreaterThan(0);
      expect(capabilities).toContain('chat');
    });

    describe('an answer', () => {
      it('begins once, brings its tokens, and finishes once', async () => {
        const { events, text, finished } = await whole();
        expect(events[0]!.kind).toBe('begun');
        expect(events.at(-1)!.kind).toBe('finished');
        expect(new Set(events.slice(1, -1).map(({ kind }) => kind))).toEqual(new Set(['tokens']));
        expect(text.length).toBeGreaterThan(10);
        expect(finished.reason).toBe('stop');
        await idle();
      });

      it('counts what it read and what it wrote', async () => {
        const { events, tokens, unnumbered, finished } = await whole();
        const [begun] = events as [Extract<AnswerEvent, { kind: 'begun' }>];
        const { promptTokens, completionTokens, cachedTokens } = finished.usage;
        expect(promptTokens).toBeGreaterThan(0);
        expect(completionTokens).toBeGreaterThan(0);
        expect(cachedTokens).toBeLessThanOrEqual(promptTokens);
        expect(begun.waitedMs).toBeGreaterThanOrEqual(0);
        expect(tokens.length + unnumbered).toBeGreaterThan(0);
        if (!subject.numbersTokens) return;
        expect(begun.promptTokens).toBe(promptTokens);
        // The token that ends an answer may be told or not; it is counted.
        expect([tokens.length, tokens.length + 1]).toContain(completionTokens);
        expect(unnumbered).toBe(0);
        expect(tokens.every((token) => Number.isInteger(token) && token >= 0 && token < TOKEN_UNKNOWN)).toBe(true);
      });

      it('comes in whole characters, and the same each time', async () => {
        const { events, text } = await whole();
        for (const event of events) if (event.kind === 'tokens') expect(event.text.isWellFormed()).toBe(true);
        expect(text).not.toContain('\ufffd');
        expect((await whole()).text).toBe(text);
      });

      it('ends for its length where that is reached', async () => {
        const { finished } = await whole({ maxTokens: 5 });
        expect(finished).toMatchObject({ reason: 'length', usage: { completionTokens: 5 } });
      });

      it('ends before a stop text, wherever that is', async () => {
        const { text } = await whole();
        for (const at of [1, Math.floor(text.length / 2)]) {
          const stop = text.slice(at, at + 3);
          const stopped = await whole({ stop: ['never written', stop] });
          expect(stopped.text).toBe(text.slice(0, text.indexOf(stop)));
          expect(stopped.finished.reason).toBe('stop');
        }
        await idle();
      });

      it('is one of several to the same prompt, each for itself', async () => {
        const answers = await Promise.all([1, 2, 3].map((seed) => whole({ sampling: { temperature: 0, seed } })));
        expect(answers[0]!.text).not.toBe('');
        expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
        for (const { finished } of answers)
          expect(finished.usage.promptTokens).toBe(answers[0]!.finished.usage.promptTokens);
      });

      itWhere(subject.logprobs)('tells how likely it was, if that is asked for', async () => {
        const { events, text } = await whole({ logprobs: 2 });
        const logprobs = events.flatMap((event) => (event.kind === 'tokens' ? (event.logprobs ?? []) : []));
        expect(logprobs.length).toBeGreaterThan(0);
        expect(Buffer.concat(logprobs.map(({ bytes }) => bytes)).toString()).toBe(text);
        for (const { logprob, top } of logprobs) {
          expect(logprob).toBeLessThanOrEqual(0);
          expect(top.length).toBeLessThanOrEqual(2);
        }
        expect((await whole()).events.some((event) => event.kind === 'tokens' && event.logprobs?.length)).toBe(false);
      });

      itWhere(subject.resumes)('goes on after what another attempt has delivered', async () => {
        const { tokens, unnumbered, text, finished } = await whole();
        const first = await whole({ maxTokens: Math.floor((tokens.length + unnumbered) / 2) });
        const resume = { tokens: first.tokens, unnumbered: first.unnumbered, text: first.text };
        const rest = await whole({ resume });
        expect(first.text.length).toBeGreaterThan(0);
        expect(first.text + rest.text).toBe(text);
        expect(rest.finished.reason).toBe('stop');
        const { completionTokens } = rest.finished.usage;
        if (subject.numbersTokens) expect(completionTokens).toBe(finished.usage.completionTokens);
        // Where tokens have no numbers they are counted otherwise, but never left out.
        else expect(completionTokens).toBeGreaterThan(first.tokens.length + first.unnumbered);
      });

      itWhere(subject.resumes)('ends at its limit, whoever reached it', async () => {
        const { tokens, unnumbered, text } = await whole({ maxTokens: 5 });
        const maxTokens = tokens.length + unnumbered;
        const rest = await whole({ maxTokens, resume: { tokens, unnumbered, text } });
        expect(rest).toMatchObject({
          text: '',
          finished: { reason: 'length', usage: { completionTokens: maxTokens } },
        });
      });

      itWhere(!subject.resumes)('says so when it can’t go on after another attempt', async () => {
        const failure = await failureOf(answer({ resume: { tokens: [1, 2], text: 'a' } }));
        expect(failure).toBeInstanceOf(InferenceError);
        expect((failure as InferenceError).code).toBe('answer_broken_off');
        expect((failure as Error).message).toMatch(/\.$/);
      });
    });

    describe('channels', () => {
      const tools = [WEATHER];
      const asked = (more: object) => ({ ...(weather as Extract<Prompt, { kind: 'chat' }>), tools, ...more });

      it.each([{ name: 'get_weather' }, 'required', 'auto'] as const)(
        'bring a call, whose arguments obey the schema, for the choice %j',
        async (toolChoice) => {
          const { events, calls, text, finished } = await whole({
            prompt: asked({ toolChoice, parallelCalls: false }),
          });
          expect(calls.map(({ name }) => name)).toEqual(['get_weather']);
          const valid = new Ajv2020().compile(WEATHER.function.parameters);
          expect(valid(JSON.parse(calls[0]!.arguments)), JSON.stringify(valid.errors)).toBe(true);
          expect(finished.reason).toBe('tool_calls');
          expect(text.trim()).toBe('');
          const deltas = deltasOf({ events });
          expect(deltas.filter(({ name }) => name !== undefined)).toHaveLength(1);
          expect(deltas[0]!.name).toBe('get_weather');
          expect(deltas.every(({ index }) => index === 0)).toBe(true);
        },
      );

      /** What an answer had delivered when it broke off, after `count` tokens or a few more. */
      async function brokenOff(
        prompt: Prompt,
        count: number,
      ): Promise<ResumedAnswer & { readonly calls: CallDelta[] }> {
        const delivered = { tokens: [] as number[], text: '', reasoning: '', calls: [] as CallDelta[] };
        for await (const event of answer({ prompt })) {
          if (event.kind !== 'tokens') continue;
          delivered.tokens.push(...event.tokens);
          delivered.text += event.text;
          delivered.reasoning += event.reasoning ?? '';
          delivered.calls.push(...(event.calls ?? []));
          if (delivered.tokens.length >= count) break;
        }
        return delivered;
      }

      itWhere(subject.numbersTokens)('go on within a call that another attempt began', async () => {
        const prompt = asked({ toolChoice: { name: 'get_weather' } });
        const undisturbed = await whole({ prompt });
        for (let cut = 1; cut < undisturbed.tokens.length; cut += 1 + Math.floor(undisturbed.tokens.length / 9)) {
          const resume = await brokenOff(prompt, cut);
          const rest = await whole({ prompt, resume });
          expect(callsOf([...resume.calls, ...deltasOf(rest)])).toEqual(undisturbed.calls);
          expect(rest.finished.reason).toBe('tool_calls');
          expect(rest.finished.usage.completionTokens).toBe(undisturbed.finished.usage.completionTokens);
        }
        await idle();
      });

      itWhere(thoughtful !== undefined && subject.numbersTokens)('go on within a thought', async () => {
        const { prompt, reasoning, text } = thoughtful!;
        const undisturbed = await whole({ prompt });
        for (let cut = 1; cut < undisturbed.tokens.length; cut += 5) {
          const resume = await brokenOff(prompt, cut);
          const rest = await whole({ prompt, resume });
          expect((resume.reasoning + rest.reasoning).trim()).toBe(reasoning);
          expect((resume.text + rest.text).trim()).toBe(text);
        }
      });

      it('bring no call where none is allowed', async () => {
        const { calls, finished } = await whole({ prompt: asked({ toolChoice: 'none' }), maxTokens: 40 });
        expect(calls).toEqual([]);
        expect(['stop', 'length']).toContain(finished.reason);
      });

      itWhere(thoughtful !== undefined)('bring what was thought apart from what is said', async () => {
        const { reasoning, text, finished } = await whole({ prompt: thoughtful!.prompt });
        expect(reasoning.trim()).toBe(thoughtful!.reasoning);
        expect(text.trim()).toBe(thoughtful!.text);
        expect(finished.usage.reasoningTokens ?? 0).toBeLessThan(finished.usage.completionTokens);
      });

      it('bring JSON of the schema that is asked for', async () => {
        const schema = {
          type: 'object',
          properties: { n: { type: 'integer', maximum: 9, minimum: 0 } },
          required: ['n'],
          additionalProperties: false,
        };
        const { text, finished } = await whole({ format: { kind: 'schema', schema } });
        expect(finished.reason).toBe('stop');
        expect(JSON.parse(text)).toEqual({ n: expect.any(Number) });
      });
    });

    describe('a reader', () => {
      it('that leaves by its signal frees the place at once', async () => {
        const leaving = new AbortController();
        const events = answer(long(), leaving.signal)[Symbol.asyncIterator]();
        await events.next();
        await events.next();
        expect(engine.load().running).toBe(1);
        leaving.abort(new Error('gone'));
        await expect(drain(events)).rejects.toThrow();
        await idle();
      });

      it('that leaves before it reads, or before it asks, costs nothing', async () => {
        await expect(collect(answer({}, AbortSignal.abort(new Error('gone'))))).rejects.toThrow('gone');
        const leaving = new AbortController();
        const events = answer(long(), leaving.signal);
        leaving.abort(new Error('gone'));
        await expect(collect(events)).rejects.toThrow();
        await idle();
      });

      it('that returns frees the place, before the first event and behind it', async () => {
        for (const reads of [0, 1, 3]) {
          const events = answer(long())[Symbol.asyncIterator]();
          for (let read = 0; read < reads; read++) await events.next();
          expect(await events.return?.()).toMatchObject({ done: true });
          expect(await events.next()).toMatchObject({ done: true });
          await idle();
        }
      });

      it('that does not ask pauses its own answer and no other', async () => {
        const paused = answer(long({ maxTokens: 120 }))[Symbol.asyncIterator]();
        await paused.next();
        const others = await Promise.all([1, 2].map(() => whole()));
        expect(others.every(({ finished }) => finished.reason === 'stop')).toBe(true);
        const rest: AnswerEvent[] = [];
        for (let next = await paused.next(); !next.done; next = await paused.next()) rest.push(next.value);
        expect(rest.at(-1)).toMatchObject({ kind: 'finished', reason: 'length', usage: { completionTokens: 120 } });
      });

      it('that is slow gets the same text as one that is not', async () => {
        const quick = await whole();
        let text = '';
        for await (const event of answer()) {
          if (event.kind === 'tokens') text += event.text;
          await sleep(2);
        }
        expect(text).toBe(quick.text);
      });
    });

    describe('limits', () => {
      const opened: Engine[] = [];
      const openNarrow = async (): Promise<Engine> => {
        const narrow = await subject.open({ runningMax: 1, queueMax: 1 });
        opened.push(narrow);
        return narrow;
      };
      afterEach(async () => {
        for (const each of opened.splice(0)) await each.close();
      });

      it('end an answer at its deadline', async () => {
        const failure = await failureOf(answer(long({ deadlineMs: 5 })));
        expect(failure).toMatchObject({ code: 'deadline_exceeded' });
        await idle();
      });

      it('refuse at once what finds no room to wait, and let it in later', async () => {
        const narrow = await openNarrow();
        const [running, waiting] = [0, 1].map(() => answer(long(), NEVER, narrow)[Symbol.asyncIterator]());
        await running!.next();
        const waited = waiting!.next();
        await expect.poll(() => narrow.load()).toEqual({ running: 1, waiting: 1 });
        expect(await failureOf(answer({}, NEVER, narrow))).toMatchObject({ code: 'rate_limit_exceeded' });
        await running!.return?.();
        // The protocol between gateway and worker has no fractions of a millisecond.
        expect((await waited).value).toMatchObject({ kind: 'begun', waitedMs: expect.toSatisfy(Number.isSafeInteger) });
        await waiting!.return?.();
        await idle(narrow);
        expect((await collect(answer({}, NEVER, narrow))).finished.reason).toBe('stop');
      });

      it('let a waiting reader leave', async () => {
        const narrow = await openNarrow();
        const running = answer(long(), NEVER, narrow)[Symbol.asyncIterator]();
        await running.next();
        const leaving = new AbortController();
        const waiting = collect(answer({}, leaving.signal, narrow));
        await expect.poll(() => narrow.load().waiting).toBe(1);
        leaving.abort(new Error('gone'));
        await expect(waiting).rejects.toThrow();
        await expect.poll(() => narrow.load()).toEqual({ running: 1, waiting: 0 });
        await running.return?.();
      });

      it('fail what waits and what runs when the engine closes, and let nothing in', async () => {
        const narrow = await openNarrow();
        const running = answer(long(), NEVER, narrow)[Symbol.asyncIterator]();
        await running.next();
        const waiting = failureOf(answer({}, NEVER, narrow));
        await expect.poll(() => narrow.load().waiting).toBe(1);
        const closing = narrow.close();
        expect(await waiting).toBeInstanceOf(InferenceError);
        await expect(drain(running)).rejects.toBeInstanceOf(InferenceError);
        await closing;
        expect(await failureOf(answer({}, NEVER, narrow))).toBeInstanceOf(InferenceError);
        expect(narrow.load()).toEqual({ running: 0, waiting: 0 });
        opened.length = 0;
      });
    });

    describe('refusals', () => {
      it('name what is too long', async () => {
        const { contextLength } = engine.describe();
        const prompt = question('word '.repeat(contextLength * 2));
        const failure = await failureOf(answer({ prompt }));
        expect(failure).toMatchObject({ code: 'context_length_exceeded' });
        await idle();
      });

      it('name what the model does not do', async () => {
        const work = { requestId: 'req_contract', model: engine.describe().id, priority: 0 };
        const inputs = [{ kind: 'text', text: 'a' } as const];
        await expect(engine.embed({ ...work, inputs }, NEVER)).rejects.toMatchObject({
          code: 'embeddings_not_supported',
        });
        await expect(engine.rerank({ ...work, query: 'a', documents: ['b'] }, NEVER)).rejects.toMatchObject({
          code: 'rerank_not_supported',
        });
      });

      itWhere(subject.numbersTokens)('name a token that is none of the model’s', async () => {
        for (const token of [-1, 1.5, 0x7fff_ffff]) {
          const failure = await failureOf(answer({ prompt: { kind: 'tokens', tokens: [token] } }));
          expect(failure).toMatchObject({ code: 'invalid_request' });
        }
        await idle();
      });

      it('name a schema that can’t be expressed', async () => {
        const schema = { $ref: '#/definitions/missing' };
        expect(await failureOf(answer({ format: { kind: 'schema', schema } }))).toMatchObject({
          code: 'invalid_request',
        });
        await idle();
      });
    });

    it('takes many at once, some of whom leave, and is idle afterwards', async () => {
      const readers = Array.from({ length: 12 }, async (_, index) => {
        const leaving = new AbortController();
        const events = answer(index % 3 === 0 ? long() : {}, leaving.signal);
        let seen = 0;
        for await (const event of events) {
          if (event.kind === 'finished') return 'finished';
          if (index % 3 === 0 && ++seen > index / 3) {
            if (index % 2 === 0) break;
            leaving.abort(new Error('gone'));
          }
        }
        return 'left';
      });
      const ends = await Promise.allSettled(readers);
      for (const [index, end] of ends.entries()) {
        if (index % 3 !== 0) expect(end).toEqual({ status: 'fulfilled', value: 'finished' });
      }
      await idle();
    });
  });
}

/** Reads an answer to its end, or throws what it throws. */
export async function collect(answer: AsyncIterable<AnswerEvent>): Promise<Whole> {
  const events: AnswerEvent[] = [];
  for await (const event of answer) events.push(event);
  const pieces = events.filter((event) => event.kind === 'tokens');
  const finished = events.filter((event) => event.kind === 'finished');
  expect(finished).toHaveLength(1);
  return {
    events,
    text: pieces.map(({ text }) => text).join(''),
    reasoning: pieces.map(({ reasoning = '' }) => reasoning).join(''),
    calls: callsOf(deltasOf({ events })),
    tokens: pieces.flatMap(({ tokens }) => tokens),
    unnumbered: pieces.reduce((sum, { unnumbered = 0 }) => sum + unnumbered, 0),
    finished: finished[0]!,
  };
}

function deltasOf({ events }: Pick<Whole, 'events'>): readonly CallDelta[] {
  return events.flatMap((event) => (event.kind === 'tokens' ? (event.calls ?? []) : []));
}

function callsOf(deltas: readonly CallDelta[]): Whole['calls'] {
  const calls: { name: string; arguments: string }[] = [];
  for (const { index, name, arguments: text } of deltas) {
    if (name !== undefined) calls[index] = { name, arguments: '' };
    // One that another attempt began has had its name.
    calls[index] ??= { name: '', arguments: '' };
    calls[index].arguments += text;
  }
  return calls;
}

async function drain(events: AsyncIterator<AnswerEvent>): Promise<void> {
  while (!(await events.next()).done) {
    // What it says does not matter here.
  }
}

/** What an answer failed with. */
async function failureOf(answer: AsyncIterable<AnswerEvent>): Promise<unknown> {
  try {
    await drain(answer[Symbol.asyncIterator]());
  } catch (error) {
    return error;
  }
  throw new Error('The answer did not fail.');
}
