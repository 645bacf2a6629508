import { createLogger, type Logger } from '@millrace/runtime';
import { describe, expect, it } from 'vitest';
import { MemoryResponseCache } from '../cache/adapters/memory-response-cache.js';
import { AnswerCache, type AnswerCacheOptions } from '../cache/answer-cache.js';
import { aModel, aRequest, begun, finished, words } from '../cache/cache.testing.js';
import type { SemanticLookup } from '../cache/semantic-lookup.js';
import { SharedRuns } from '../cache/shared-runs.js';
import { aCall } from '../call.testing.js';
import { RequestLog } from '../request-log/request-log.js';
import {
  ANYONE,
  type CacheAsk,
  type Call,
  LOW_PRIORITY,
  type RequestRecord,
  type SequenceEvent,
  type ValidRequest,
} from '../vocabulary.js';
import { CachedAnswers } from './cached-answers.js';
import type { Entered } from './entrance.js';

const logger: Logger = createLogger({ name: 'test', level: 'silent', format: 'json' });

/** Thinks that every question of a tenant means the same as the one that was noted last. */
class OneMeaning implements SemanticLookup {
  readonly noted: string[] = [];
  asked = 0;

  async find(): Promise<string | undefined> {
    this.asked++;
    return this.noted.at(-1);
  }

  note(_request: unknown, _call: Call, key: string): void {
    this.noted.push(key);
  }

  async close(): Promise<void> {}
}

function opened(semantic: SemanticLookup = new OneMeaning(), options: Partial<AnswerCacheOptions> = {}) {
  const cache = new AnswerCache(
    new MemoryResponseCache({ bytesMax: 1_000_000, ageMsMax: 60_000 }),
    semantic,
    { mode: 'auto', modelCache: () => undefined, entryBytesMax: 100_000, ...options },
    logger,
  );
  const limits = { runBytesMax: 100_000, bytesMax: 1_000_000, requestTimeoutMs: 60_000, backgroundTimeoutMs: 60_000 };
  const cached = new CachedAnswers(cache, new SharedRuns(limits));
  let runs = 0;
  /** The answer names its run. @param by the model that answers. */
  const ask = async (
    content: string,
    cacheAsk?: CacheAsk,
    by = aModel(),
    changes: Partial<ValidRequest> = {},
    caller = ANYONE,
  ) => {
    const headers: Record<string, string> = {};
    const call = aCall({ cacheAsk, caller, tell: (more) => void Object.assign(headers, more) });
    const records: RequestRecord[] = [];
    const record = new RequestLog(logger, [(one) => void records.push(one)]).open('chat', call);
    const messages = [{ role: 'user', content }];
    const request = aRequest({ prompts: [{ kind: 'chat', messages, tools: [], templateVariables: {} }], ...changes });
    record.concerns(request);
    const entered = {
      request,
      call,
      record,
      deadline: { signal: call.clientLeft, remainingMs: () => 1_000 },
    } as unknown as Entered<typeof request>;
    const run = async function* (asking: typeof entered): AsyncGenerator<SequenceEvent> {
      asking.record.sentTo('worker', by);
      yield begun();
      yield words(`run ${++runs}`);
      yield finished();
    };
    let text = '';
    for await (const event of await cached.answer(entered, run)) {
      record.add(event);
      if (event.kind === 'tokens') text += event.text;
    }
    record.close();
    return { text, told: headers['x-millrace-cache'], record: records[0]!, engine: record.answeredBy.engine };
  };
  return { ask, cache };
}

describe('a question that means the same as one that was answered', () => {
  it('has its answer where it asks for that, and is not kept under its own words', async () => {
    const semantic = new OneMeaning();
    const { ask } = opened(semantic);
    expect(await ask('Hello?', 'semantic')).toMatchObject({ text: 'run 1', told: 'miss' });
    await expect.poll(() => semantic.noted.length).toBe(1);
    const alike = await ask('Hi?', 'semantic');
    expect(alike).toMatchObject({ text: 'run 1', told: 'hit', record: { cached: true, attempts: 0 } });
    expect(semantic.noted).toHaveLength(1);
    // Who doesn't ask for it is not answered so.
    expect(await ask('Hi?')).toMatchObject({ text: 'run 2', told: 'miss' });
    expect(await ask('Hi?', 'semantic')).toMatchObject({ text: 'run 2', told: 'hit' });
  });

  it('is not looked for where the very question was answered, nor where nobody wants that', async () => {
    const semantic = new OneMeaning();
    const { ask } = opened(semantic);
    for (const asked of [undefined, 'on', 'refresh', 'off'] as const) await ask('Hello?', asked);
    expect([semantic.asked, semantic.noted]).toEqual([0, []]);
    await ask('Hello?', 'semantic');
    expect(semantic.asked).toBe(0);
  });

  it('is run where what was found is not kept any more, or has another number of answers', async () => {
    const semantic = new OneMeaning();
    const { ask } = opened(semantic);
    semantic.noted.push('forgotten');
    expect(await ask('Hello?', 'semantic')).toMatchObject({ text: 'run 1', told: 'miss' });
    await expect.poll(() => semantic.noted.length).toBe(2);
    const several = ask('Hi?', 'semantic', aModel(), { n: 2, bestOf: 2 });
    expect(await several).toMatchObject({ text: 'run 2', told: 'miss' });
  });

  it('is looked for once for all who ask it at a time, and for none of those who want the very question', async () => {
    const semantic = new OneMeaning();
    const { ask } = opened(semantic);
    await ask('Hello?', 'semantic');
    await expect.poll(() => semantic.noted.length).toBe(1);
    const before = semantic.asked;
    const answers = await Promise.all([
      ...Array.from({ length: 20 }, () => ask('Hi?', 'semantic')),
      ...Array.from({ length: 20 }, () => ask('Hi?', 'on')),
    ]);
    expect(semantic.asked - before).toBe(1);
    expect(answers.slice(0, 20).every(({ text, record }) => text === 'run 1' && record.cached)).toBe(true);
    expect(answers.slice(20).every(({ text }) => text === 'run 2')).toBe(true);
  });
});

describe('those who ask the same at a time', () => {
  it('have it computed once for those for whom somebody waits, and once for the others, which rests meanwhile', async () => {
    const { ask } = opened();
    const background = { ...ANYONE, priority: LOW_PRIORITY };
    const answers = await Promise.all(
      [background, background, ANYONE, ANYONE].map((caller) => ask('Hello?', undefined, aModel(), {}, caller)),
    );
    expect(answers.map(({ text }) => text)).toEqual(['run 1', 'run 1', 'run 2', 'run 2']);
    // What was kept is for everybody.
    expect(await ask('Hello?')).toMatchObject({ told: 'hit' });
  });
});

describe('an answer', () => {
  it('of another model than was asked is not kept', async () => {
    const { ask } = opened();
    const other = aModel({ id: 'other', engine: 'other 1' });
    expect(await ask('Hello?', undefined, other)).toMatchObject({ text: 'run 1', told: 'miss' });
    expect(await ask('Hello?')).toMatchObject({ text: 'run 2', told: 'miss' });
    expect(await ask('Hello?')).toMatchObject({ text: 'run 2', told: 'hit' });
  });

  it('that was kept says by which engine it was given then', async () => {
    const { ask } = opened();
    // A worker of a newer version than the one that describes the model.
    await ask('Hello?', undefined, aModel({ engine: 'fake 2' }));
    expect(await ask('Hello?')).toMatchObject({ told: 'hit', engine: 'fake 2' });
  });

  it('is kept or not as the model’s entry says, and follows its edits', async () => {
    let mode: 'auto' | 'off' = 'off';
    const { ask } = opened(new OneMeaning(), { modelCache: () => ({ mode, semantic: false }) });
    expect((await ask('Hello?', 'on')).told).toBeUndefined();
    mode = 'auto';
    expect((await ask('Hello?')).told).toBe('miss');
    expect((await ask('Hello?')).told).toBe('hit');
    mode = 'off';
    expect((await ask('Hello?')).told).toBeUndefined();
  });
});
