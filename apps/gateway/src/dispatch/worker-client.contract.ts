import { setTimeout as sleep } from 'node:timers/promises';
import type { EmbedRequest, Prompt } from '@millrace/contracts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SequenceEvent } from '../vocabulary.js';
import type { AnswerAttempt, WorkerClient } from './worker-client.js';

/** A client that is ready, and what is behind it, which does what the last message says: see `Plays`. */
export interface WorkerClientBed {
  readonly client: WorkerClient;
  /** Answers that are worked on behind it. */
  running(): number;
  /** Tokens sent for the last answer that was begun. */
  sent(): number;
  close(): Promise<void>;
}

/**
 * What is asked for: `say one two` answers word by word, `endless` without end, `break` fails after two words with
 * `upstream_failed`, `silent` says nothing.
 */
export type Play = `say ${string}` | 'endless' | 'break' | 'silent';

const FOREVER = new AbortController().signal;

export function chat(play: Play): Prompt {
  return { kind: 'chat', messages: [{ role: 'user', content: play }], tools: [], templateVariables: {} };
}

export function attemptOf(plays: readonly Play[], more: Partial<AnswerAttempt> = {}): AnswerAttempt {
  return {
    requestId: 'req_1',
    attempt: 1,
    trace: undefined,
    model: 'demo',
    nowSeconds: 0,
    sequences: plays.map((play, index) => ({
      index,
      prompt: chat(play),
      promptIndex: undefined,
      seed: undefined,
      resume: undefined,
    })),
    sampling: {},
    maxTokens: undefined,
    stop: [],
    deadlineMs: 10_000,
    priority: 0,
    ...more,
  };
}

/** The text of each sequence, and that its events came in their order. */
async function textsOf(events: AsyncIterable<SequenceEvent>, sequences: number): Promise<string[]> {
  const texts = Array.from({ length: sequences }, () => '');
  const phases = Array.from({ length: sequences }, () => 'new');
  for await (const event of events) {
    const { index, kind } = event;
    const before = phases[index];
    if (kind === 'begun') expect(before).toBe('new');
    if (kind === 'tokens') expect(before).toBe('begun');
    if (kind === 'finished') expect(before).toBe('begun');
    if (kind === 'begun' || kind === 'finished') phases[index] = kind;
    if (kind === 'tokens') texts[index] += event.text;
  }
  expect(phases).toEqual(phases.map(() => 'finished'));
  return texts;
}

async function readUntil(events: AsyncIterator<SequenceEvent>, kind: SequenceEvent['kind']): Promise<SequenceEvent> {
  for (;;) {
    const { done, value } = await events.next();
    if (done) throw new Error(`no ${kind} came`);
    if (value.kind === kind) return value;
  }
}

/** Whether nothing more is sent for a while. */
async function isStill(bed: WorkerClientBed): Promise<boolean> {
  const before = bed.sent();
  await sleep(200);
  return bed.sent() === before;
}

const rejection = (promise: Promise<unknown>) =>
  promise.then(
    () => 'it did not fail',
    (error: unknown) => error,
  );

/** What every way to a worker must do. Each adapter's test runs this, then adds what is true of it alone. */
export function workerClientContract(adapter: string, open: () => Promise<WorkerClientBed>): void {
  describe(`${adapter} as a WorkerClient`, () => {
    let bed: WorkerClientBed;
    beforeEach(async () => {
      bed = await open();
    });
    afterEach(() => bed.close());

    const ask = (plays: readonly Play[], signal = FOREVER, more: Partial<AnswerAttempt> = {}) =>
      bed.client.answer(attemptOf(plays, more), signal);

    it('is ready, and knows its model', () => {
      expect(bed.client.state()).toMatchObject({ phase: 'ready', outstanding: 0, address: bed.client.address });
      expect(bed.client.models).toMatchObject([{ id: 'demo' }]);
      expect(bed.client.heard).toBe(true);
    });

    it('gives the events of an answer in their order', async () => {
      expect(await textsOf(ask(['say one two three']), 1)).toEqual(['one two three']);
      await expect.poll(() => bed.running()).toBe(0);
    });

    it('gives several answers, each its own, and ends when all have', async () => {
      const plays = ['say one', 'say two three', 'say four five six'] as const;
      expect(await textsOf(ask(plays), 3)).toEqual(['one', 'two three', 'four five six']);
    });

    it('begins at once, and counts what is outstanding until it ends', async () => {
      const events = ask(['endless', 'endless'])[Symbol.asyncIterator]();
      expect(bed.client.state().outstanding).toBe(2);
      await expect.poll(() => bed.running()).toBe(2);
      await events.return?.();
      expect(bed.client.state().outstanding).toBe(0);
    });

    it('frees all places when its reader leaves', async () => {
      const events = ask(['endless', 'say one', 'endless'])[Symbol.asyncIterator]();
      await readUntil(events, 'tokens');
      await events.return?.();
      await expect.poll(() => bed.running()).toBe(0);
      expect(await events.next()).toEqual({ done: true, value: undefined });
    });

    it('frees a place when its reader leaves while it waits for the next event', async () => {
      const events = ask(['silent'])[Symbol.asyncIterator]();
      void rejection(events.next());
      await events.return?.();
      await expect.poll(() => bed.running()).toBe(0);
      expect(bed.client.state().outstanding).toBe(0);
    });

    it.each(['endless', 'silent'] as const)(
      'frees its places when the signal aborts, and says its reason: %s',
      async (play) => {
        const leaving = new AbortController();
        const events = ask([play, 'endless'], leaving.signal)[Symbol.asyncIterator]();
        await readUntil(events, 'tokens');
        const reason = new Error('left');
        leaving.abort(reason);
        expect(bed.client.state().outstanding).toBe(0);
        const failed = (async () => {
          for (;;) if ((await events.next()).done) return 'it ended';
        })();
        expect(await rejection(failed)).toBe(reason);
        await expect.poll(() => bed.running()).toBe(0);
      },
    );

    it('ends the other answers when one fails, after what came before', async () => {
      const events = ask(['endless', 'break'])[Symbol.asyncIterator]();
      const texts = ['', ''];
      const failed = (async () => {
        for (;;) {
          const { done, value } = await events.next();
          if (done) return 'it ended';
          if (value.kind === 'tokens') texts[value.index] += value.text;
        }
      })();
      expect(await rejection(failed)).toMatchObject({ code: 'upstream_failed' });
      expect(texts[1]).toContain('one ');
      await expect.poll(() => bed.running()).toBe(0);
      expect(bed.client.state().outstanding).toBe(0);
      expect(await events.next()).toEqual({ done: true, value: undefined });
    });

    it('pauses an answer that nobody reads, and no other', async () => {
      const paused = ask(['endless'])[Symbol.asyncIterator]();
      await readUntil(paused, 'tokens');
      await expect.poll(() => isStill(bed), { timeout: 8_000 }).toBe(true);
      expect(await textsOf(ask(['say one two']), 1)).toEqual(['one two']);
      await paused.return?.();
      await expect.poll(() => bed.running()).toBe(0);
    });

    it('refuses what takes no vectors, and rejects work with the reason of its signal', async () => {
      const request: EmbedRequest = {
        requestId: 'r',
        model: 'demo',
        inputs: [{ kind: 'text', text: 'silent' }],
        deadlineMs: 5_000,
        priority: 0,
      };
      const leaving = new AbortController();
      const work = rejection(bed.client.embed(request, leaving.signal));
      expect(bed.client.state().outstanding).toBe(1);
      const reason = new Error('left');
      leaving.abort(reason);
      expect(await work).toBe(reason);
      expect(bed.client.state().outstanding).toBe(0);
    });

    it('makes vectors of 32-bit floats, one for each text', async () => {
      const inputs = ['one', 'two'].map((text) => ({ kind: 'text', text }) as const);
      const { vectors, promptTokens } = await bed.client.embed(
        { requestId: 'r', model: 'demo', priority: 0, inputs },
        FOREVER,
      );
      expect(vectors.map(({ byteLength }) => byteLength)).toEqual([32, 32]);
      expect(promptTokens).toBe(2);
      const [first] = vectors.map((bytes) => new Float32Array(Uint8Array.from(bytes).buffer));
      expect(Math.hypot(...first!)).toBeCloseTo(1, 5);
    });

    it('fails what runs when it is closed, says so at once, and answers nobody any more', async () => {
      let told = 0;
      bed.client.watch(() => told++);
      const failed = rejection(textsOf(ask(['endless', 'silent']), 2));
      const work = rejection(
        bed.client.embed(
          { requestId: 'r', model: 'demo', priority: 0, inputs: [{ kind: 'text', text: 'silent' }] },
          FOREVER,
        ),
      );
      await expect.poll(() => bed.running()).toBe(2);
      const closed = bed.client.close();
      expect(told).toBe(1);
      expect(bed.client.state().phase).not.toBe('ready');
      await closed;
      expect(await failed).toMatchObject({ code: 'worker_lost' });
      expect(await work).toMatchObject({ code: 'worker_lost' });
      expect(() => ask(['say one'])).toThrow(expect.objectContaining({ code: 'worker_lost' }));
      await expect.poll(() => bed.running()).toBe(0);
      expect(bed.client.state().outstanding).toBe(0);
    });

    it('stops telling whoever no longer watches', async () => {
      let told = 0;
      bed.client.watch(() => told++)();
      await bed.client.close();
      expect(told).toBe(0);
    });
  });
}
