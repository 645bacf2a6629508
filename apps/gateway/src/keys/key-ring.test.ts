import { createLogger } from '@millrace/runtime';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ANYONE } from '../vocabulary.js';
import { MemoryKeyNews } from './adapters/memory-key-news.js';
import { digestOf, makeApiKey, parseApiKey } from './api-key.js';
import { KeyRing } from './key-ring.js';
import { FakeKeyTable, KEY_SECRET } from './key-ring.testing.js';

const ADMIN_KEY = 'mr-admin-that-nobody-guesses';
const REFRESH_MS = 2_000;

describe('KeyRing', () => {
  let table: FakeKeyTable;
  let news: MemoryKeyNews;
  const lines: { level: string; msg: string }[] = [];
  const rings: KeyRing[] = [];

  beforeEach(() => {
    vi.useFakeTimers();
    table = new FakeKeyTable();
    news = new MemoryKeyNews();
  });
  afterEach(async () => {
    for (const ring of rings.splice(0)) await ring.close();
    lines.length = 0;
    // Whatever waits, a timer among it, would go on for ever.
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });

  function makeRing(changes: { openWithoutKeys?: boolean; ownNews?: MemoryKeyNews } = {}): KeyRing {
    const logger = createLogger(
      { name: 'test', level: 'debug', format: 'json' },
      { write: (line: string) => void lines.push(JSON.parse(line)) },
    );
    const { openWithoutKeys = false, ownNews = news } = changes;
    const options = { keySecret: KEY_SECRET, adminKey: ADMIN_KEY, keyRefreshMs: REFRESH_MS, openWithoutKeys };
    const ring = new KeyRing(table, ownNews, options, logger);
    rings.push(ring);
    return ring;
  }

  async function readyRing(changes = {}): Promise<KeyRing> {
    const ring = makeRing(changes);
    await vi.advanceTimersByTimeAsync(1);
    return ring;
  }

  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
  const idOf = (text: string) => parseApiKey(text)!.id;
  /** The answer, or the code of the refusal, once there is one; undefined: it still waits. */
  function ask(ring: KeyRing, presented: string | undefined) {
    const outcome: { code?: string; message?: string; keyId?: string | undefined; waited?: boolean } = {};
    const refused = ({ code, message }: { code: string; message: string }) => Object.assign(outcome, { code, message });
    try {
      const answer = ring.authenticate(presented);
      if (answer instanceof Promise)
        answer.then(({ keyId }) => Object.assign(outcome, { keyId, waited: true }), refused);
      else Object.assign(outcome, { keyId: answer.keyId, waited: false });
    } catch (error) {
      refused(error as { code: string; message: string });
    }
    return outcome;
  }

  describe('with keys that it knows', () => {
    it('tells their callers in the same turn, and without the database', async () => {
      const limits = { requests_per_minute: 3, tokens_per_day: 5 };
      const text = table.create({ name: 'alice', models: ['a*'], limits, priority: 2, log_messages: true });
      const ring = await readyRing();
      table.away = true;
      expect(ring.authenticate(text)).toEqual({
        keyId: idOf(text),
        keyName: 'alice',
        models: ['a*'],
        limits: { requestsPerMinute: 3, tokensPerDay: 5 },
        priority: 2,
        logMessages: true,
      });
    });

    it('looks at the clock at each use', async () => {
      const text = table.create({ expires_at: new Date(Date.now() + 60_000) });
      const ring = await readyRing();
      await pass(59_000);
      expect(ask(ring, text)).toMatchObject({ waited: false });
      await pass(1_000);
      expect(ask(ring, text)).toMatchObject({
        code: 'invalid_api_key',
        message: expect.stringContaining('expired on'),
      });
    });

    it('accepts the former beside the new one for as long as it was told', async () => {
      const former = table.create();
      const ring = await readyRing();
      const { text } = makeApiKey(idOf(former));
      const digests = { digest: digestOf(text, KEY_SECRET), digest_former: digestOf(former, KEY_SECRET) };
      table.change(idOf(former), { ...digests, former_expires_at: new Date(Date.now() + 60_000) });
      await pass(REFRESH_MS);
      expect([ask(ring, text).waited, ask(ring, former).waited]).toEqual([false, false]);
      await pass(60_000);
      const refused = ask(ring, former);
      await pass(1_500);
      expect(refused.code).toBe('invalid_api_key');
      expect(ask(ring, text).waited).toBe(false);
    });
  });

  describe('with something that is no key', () => {
    it.each([
      ['nothing', undefined],
      ['an empty text', ''],
      ['a megabyte', 'x'.repeat(1_000_000)],
      ['NUL', '\0'],
      ["somebody else's key", `sk-proj-${'a'.repeat(59)}`],
      ['SQL', "' or '1'='1"],
      ['the admin key', ADMIN_KEY],
    ])('refuses %s at once, without repeating it, and without a look at the database', async (_, presented) => {
      table.create();
      const ring = await readyRing();
      const { looks } = table;
      const { code, message } = ask(ring, presented);
      expect(code).toBe('invalid_api_key');
      expect(message!.length).toBeLessThan(300);
      if (presented) expect(message).not.toContain(presented);
      expect(table.looks).toBe(looks);
    });

    it('names a key that is wrong by its public part alone', async () => {
      const text = table.create();
      const ring = await readyRing();
      const wrong = makeApiKey(idOf(text)).text;
      const refused = ask(ring, wrong);
      await pass(1_500);
      expect(refused.code).toBe('invalid_api_key');
      expect(refused.message).toContain(`sk-mr-${idOf(text)} `);
      expect(refused.message).not.toContain(wrong.split('-')[3]);
    });
  });

  describe('without keys', () => {
    it('serves anyone where it may, whatever they send', async () => {
      const ring = await readyRing({ openWithoutKeys: true });
      for (const presented of [undefined, 'anything', makeApiKey().text]) {
        expect(ring.authenticate(presented)).toBe(ANYONE);
      }
    });

    it('serves nobody where it may not, and says how to make the first key', async () => {
      const ring = await readyRing();
      expect(ask(ring, undefined)).toMatchObject({
        code: 'invalid_api_key',
        message: expect.stringContaining('millrace keys create'),
      });
    });

    it('wants one from everybody from the first on, also when all are revoked again', async () => {
      const ring = await readyRing({ openWithoutKeys: true });
      const text = table.create();
      await Promise.all([ring.lookNow(), pass(1)]);
      expect(ask(ring, undefined).code).toBe('invalid_api_key');
      table.change(idOf(text), { revoked_at: new Date() });
      await Promise.all([ring.lookNow(), pass(1)]);
      expect(ask(ring, undefined).code).toBe('invalid_api_key');
      const again = await readyRing({ openWithoutKeys: true });
      expect(ask(again, undefined).code).toBe('invalid_api_key');
    });

    it('notices at last that all were deleted by hand', async () => {
      const text = table.create();
      const ring = await readyRing({ openWithoutKeys: true });
      table.delete(idOf(text));
      await pass(610_000);
      expect(ask(ring, undefined).waited).toBe(false);
    });
  });

  describe('when keys change', () => {
    it('refuses a revoked key as soon as there is news', async () => {
      const text = table.create();
      const ring = await readyRing();
      table.change(idOf(text), { revoked_at: new Date() });
      expect(ask(ring, text).waited).toBe(false);
      void news.tell();
      await pass(25);
      expect(ask(ring, text).waited).toBeUndefined();
      await pass(1_500);
    });

    it('refuses it within keyRefreshMs without news', async () => {
      const text = table.create();
      const ring = await readyRing({ ownNews: new MemoryKeyNews() });
      table.change(idOf(text), { revoked_at: new Date() });
      await pass(REFRESH_MS + 1);
      const refused = ask(ring, text);
      await pass(1_500);
      expect(refused.code).toBe('invalid_api_key');
    });

    it('looks once for many pieces of news', async () => {
      table.create();
      await readyRing();
      const { looks } = table;
      for (let at = 0; at < 1_000; at++) void news.tell();
      await pass(30);
      expect(table.looks).toBe(looks + 1);
    });

    it('hears news that comes during a look, which may have missed it', async () => {
      const text = table.create();
      const ring = await readyRing();
      const release = Promise.withResolvers<void>();
      table.held = release.promise;
      void news.tell();
      await pass(30); // This look has begun, and saw the key as it was.
      table.change(idOf(text), { revoked_at: new Date() });
      void news.tell();
      table.held = undefined;
      release.resolve();
      await pass(30);
      const refused = ask(ring, text);
      await pass(1_500);
      expect(refused.code).toBe('invalid_api_key');
    });
  });

  describe('with a key that it does not know', () => {
    it('asks the database before it refuses: another gateway may have made it a moment ago', async () => {
      table.create();
      const ring = await readyRing({ ownNews: new MemoryKeyNews() });
      const text = table.create();
      const answer = ask(ring, text);
      expect(answer).toEqual({});
      await pass(1_000);
      expect(answer).toEqual({ keyId: idOf(text), waited: true });
      expect(ask(ring, text).waited).toBe(false);
    });

    it('asks once a second at most, however many strangers come, and each only once', async () => {
      table.create();
      const ring = await readyRing();
      const { looks } = table;
      const strangers = Array.from({ length: 500 }, () => makeApiKey().text);
      const first = strangers.map((text) => ask(ring, text));
      await pass(1_000);
      expect(first.every(({ code }) => code === 'invalid_api_key')).toBe(true);
      expect(table.looks).toBe(looks + 1);
      // The second time they are known to be none.
      expect(strangers.every((text) => ask(ring, text).code === 'invalid_api_key')).toBe(true);
      expect(table.looks).toBe(looks + 1);
    });

    it('lets only so many wait, and tells the rest to come back', async () => {
      table.create();
      const ring = await readyRing();
      const asked = Array.from({ length: 1_001 }, () => ask(ring, makeApiKey().text));
      await pass(0);
      expect(asked[1_000]).toMatchObject({ code: 'store_unavailable' });
      expect(asked[999]).toEqual({});
      await pass(1_000);
      expect(asked[999]).toMatchObject({ code: 'invalid_api_key' });
    });

    it('does not wait for a database that hangs', async () => {
      table.create();
      const ring = await readyRing();
      const release = Promise.withResolvers<void>();
      table.held = release.promise;
      const answer = ask(ring, makeApiKey().text);
      await pass(4_900);
      expect(answer).toEqual({});
      await pass(200);
      expect(answer.code).toBe('store_unavailable');
      release.resolve();
    });
  });

  describe('while the database is away', () => {
    it('goes on with the keys that it knows, says so, and recovers by itself', async () => {
      const text = table.create();
      const ring = await readyRing();
      expect(ring.trouble).toBeUndefined();
      table.away = true;
      await pass(3_600_000);
      expect(ask(ring, text).waited).toBe(false);
      expect(ring.usable).toBe(true);
      expect(ring.trouble).toContain('known stay valid');
      // Said once, however long it lasts.
      expect(lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
      table.away = false;
      await pass(REFRESH_MS);
      expect(ring.trouble).toBeUndefined();
    });

    it('keeps what it knew of expiry and revocation', async () => {
      const [brief, revoked] = [table.create({ expires_at: new Date(Date.now() + 60_000) }), table.create()];
      table.change(idOf(revoked), { revoked_at: new Date() });
      const ring = await readyRing();
      table.away = true;
      await pass(61_000);
      expect(ask(ring, brief).code).toBe('invalid_api_key');
    });

    it('calls a key that it does not know neither valid nor invalid', async () => {
      table.create();
      const ring = await readyRing();
      table.away = true;
      const answer = ask(ring, table.create());
      await pass(1_500);
      expect(answer).toMatchObject({ code: 'store_unavailable', message: expect.stringContaining('Try again') });
    });

    it('serves nobody when it could never read them, and everybody who has one as soon as it could', async () => {
      const text = table.create();
      table.away = true;
      const ring = makeRing({ openWithoutKeys: true });
      const refused = ask(ring, text);
      await pass(4_900);
      expect(refused).toEqual({});
      await pass(200);
      expect(refused.code).toBe('store_unavailable');
      expect(ring.usable).toBe(false);
      expect(ring.trouble).toContain('could not be read yet');
      const served = ask(ring, text);
      table.away = false;
      await pass(600);
      expect(served).toEqual({ keyId: idOf(text), waited: true });
      expect(ring.usable).toBe(true);
    });
  });

  describe('with another secret than the keys were made with', () => {
    it('serves nobody rather than call every key invalid, and says what to do', async () => {
      const text = table.create();
      table.otherSecret = true;
      const ring = await readyRing({ openWithoutKeys: true });
      expect(ask(ring, text).code).toBe('store_unavailable');
      expect(ask(ring, undefined).code).toBe('store_unavailable');
      expect(ring.usable).toBe(false);
      expect(ring.trouble).toContain('MILLRACE_KEY_SECRET');
      expect(lines.filter(({ level }) => level === 'error')).toHaveLength(1);
    });

    it('does not mind while there is no key that is valid', async () => {
      table.otherSecret = true;
      const ring = await readyRing({ openWithoutKeys: true });
      expect(ring.authenticate(undefined)).toBe(ANYONE);
      expect(ring.trouble).toBeUndefined();
    });
  });

  describe('with a row that somebody wrote by hand', () => {
    it.each([
      ['a digest that is none', { digest: Buffer.from('short') }],
      ['a former digest that is none', { digest_former: Buffer.alloc(0) }],
      ['an end that is no time', { expires_at: Number.POSITIVE_INFINITY as unknown as Date }],
      ['limits that are none', { limits: null as never }],
    ])('does not accept that one, %s, and all others', async (_, changes) => {
      const [wrong, right] = [table.create(), table.create()];
      const ring = await readyRing();
      table.change(idOf(wrong), changes);
      await pass(REFRESH_MS);
      const refused = ask(ring, wrong);
      expect(ask(ring, right).waited).toBe(false);
      await pass(1_500);
      expect(refused.code).toBe('invalid_api_key');
      expect(ring.trouble).toBeUndefined();
      expect(lines.filter(({ level }) => level === 'warn').length).toBeGreaterThan(0);
    });
  });

  describe('at the door of the admin API', () => {
    it('admits the admin key alone', async () => {
      const text = table.create();
      const ring = await readyRing();
      expect(() => ring.admitAdmin(ADMIN_KEY)).not.toThrow();
      for (const presented of [undefined, '', text, `${ADMIN_KEY} `, ADMIN_KEY.slice(0, -1), ADMIN_KEY.toUpperCase()]) {
        expect(() => ring.admitAdmin(presented)).toThrow(expect.objectContaining({ code: 'invalid_api_key' }));
      }
    });
  });

  it('ends with everybody answered who waits for it', async () => {
    table.create();
    const ring = await readyRing();
    const answer = ask(ring, makeApiKey().text);
    await ring.close();
    await pass(0);
    expect(answer.code).toBe('store_unavailable');
  });

  describe('a key in whose name work goes on', () => {
    it('has its caller as long as it is valid', async () => {
      const id = idOf(table.create({ name: 'night' }));
      const ring = await readyRing();
      expect(await ring.callerOfKey(id)).toMatchObject({ keyId: id, keyName: 'night' });
      table.change(id, { revoked_at: new Date() });
      await pass(REFRESH_MS);
      const answer = ring.callerOfKey(id);
      await pass(REFRESH_MS);
      expect(await answer).toBeUndefined();
    });

    it('is valid no more when it has expired', async () => {
      const id = idOf(table.create({ expires_at: new Date(Date.now() + 60_000) }));
      const ring = await readyRing();
      expect(await ring.callerOfKey(id)).toBeDefined();
      await pass(60_001);
      expect(await ring.callerOfKey(id)).toBeUndefined();
    });

    it('is found when another gateway made it a moment ago', async () => {
      const ring = await readyRing();
      const id = idOf(table.create());
      const answer = ring.callerOfKey(id);
      await pass(REFRESH_MS);
      expect(await answer).toMatchObject({ keyId: id });
    });

    it('is not called invalid while the database can not be asked', async () => {
      const ring = await readyRing();
      table.away = true;
      const answer = expect(ring.callerOfKey('unknown')).rejects.toMatchObject({ code: 'store_unavailable' });
      await pass(REFRESH_MS + 5_000);
      await answer;
    });
  });
});
