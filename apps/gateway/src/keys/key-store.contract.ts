import { createKeySchema } from '@millrace/contracts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { SqlDatabase } from '../stores/sql-database.js';
import { digestOf, parseApiKey } from './api-key.js';
import { type KeyRow, keyBody } from './key-rows.js';
import { SqlKeySource } from './key-source.js';
import { KeyStore } from './key-store.js';

export const SECRET = 'a secret of at least 32 characters';
const OTHER_SECRET = 'another secret of at least 32 characters';
const LATER = Math.floor(Date.now() / 1_000) + 3_600;

/** A request for a key as validation hands it on. */
export const aKey = (changes: object = {}) => createKeySchema.parse({ name: 'a name', ...changes });

/** What keys are in a database, of whatever kind. `open` gives one with the tables of the migrations. */
export function keyStoreContract(open: () => Promise<SqlDatabase>): void {
  let database: SqlDatabase;
  let store: KeyStore;
  beforeAll(async () => {
    database = await open();
  }, 60_000);
  afterAll(() => database.close());
  beforeEach(async () => {
    await database.query('truncate keys; truncate installation');
    store = storeWith({});
  });

  const storeWith = ({ secret = SECRET, keysMax = 1_000 }) => new KeyStore(database, secret, { keysMax });
  const sourceWith = (secret = SECRET) => new SqlKeySource(database, secret);
  const loaded = async (secret = SECRET) => {
    const rows: KeyRow[] = [];
    const table = await sourceWith(secret).load((row) => rows.push(row));
    return { ...table, rows, ids: rows.map(({ id }) => id).sort() };
  };

  describe('the store of keys', () => {
    it('keeps all that a key was made with, and of the key itself only its digest', async () => {
      const limits = { requests_per_minute: 1, tokens_per_month: 1_000_000_000_000 };
      const asked = { models: ['a/b', 'c*'], limits, priority: -7, expires_at: LATER, log_messages: false };
      const { row, text } = await store.create(aKey(asked));
      expect(keyBody(row, Date.now())).toMatchObject({ name: 'a name', ...asked, state: 'valid', revoked_at: null });
      expect(await store.find(row.id)).toEqual(row);
      expect(parseApiKey(text)?.id).toBe(row.id);
      expect(row.digest).toEqual(digestOf(text, SECRET));
      expect(JSON.stringify(await database.query('select * from keys'))).not.toContain(text.split('-')[3]);
    });

    it('leaves out what was not asked for', async () => {
      const { row } = await store.create(aKey({ limits: { tokens_per_minute: null }, models: null }));
      const nothing = { models: null, limits: {}, expires_at: null, log_messages: null, priority: 0 };
      expect(keyBody(row, Date.now())).toMatchObject(nothing);
    });

    it.each([`'); drop table keys; --`, `"quoted" \\ back \\' slash`, '%_ $1 :name ? {}', 'Ünïcödé 🔑 \u202e'])(
      'takes SQL and worse for the text that it is: %s',
      async (name) => {
        const { row } = await store.create(aKey({ name }));
        await store.create(aKey({ name: 'another' }));
        expect((await store.find(row.id)).name).toBe(name);
        expect((await store.change(row.id, { name: `${name}!` })).name).toBe(`${name}!`);
        expect((await store.list({ after: undefined, limit: 10, name })).rows.map(({ id }) => id)).toEqual([row.id]);
        await expect(store.find(name)).rejects.toMatchObject({ code: 'key_not_found' });
        await expect(store.revoke(name)).rejects.toMatchObject({ code: 'key_not_found' });
        await expect(store.rotate(name, 0)).rejects.toMatchObject({ code: 'key_not_found' });
        await expect(store.change(name, { priority: 1 })).rejects.toMatchObject({ code: 'key_not_found' });
        await expect(store.list({ after: name, limit: 1, name: undefined })).rejects.toMatchObject({
          code: 'key_not_found',
        });
      },
    );

    it('lists page by page, newest first, each once', async () => {
      const made: string[] = [];
      for (let at = 0; at < 7; at++) made.unshift((await store.create(aKey({ name: `number ${at}` }))).row.id);
      const seen: string[] = [];
      let page = await store.list({ after: undefined, limit: 3, name: undefined });
      for (;;) {
        seen.push(...page.rows.map(({ id }) => id));
        if (!page.hasMore) break;
        page = await store.list({ after: seen.at(-1), limit: 3, name: undefined });
      }
      expect(seen).toEqual(made);
      const found = await store.list({ after: undefined, limit: 3, name: 'NUMBER 4' });
      expect([found.rows.map(({ name }) => name), found.hasMore]).toEqual([['number 4'], false]);
    });

    it('changes what is named and leaves the rest; null takes a limit away', async () => {
      const limits = { requests_per_minute: 1, tokens_per_day: 2 };
      const { row } = await store.create(aKey({ models: ['a'], limits, expires_at: LATER, log_messages: true }));
      const changed = await store.change(row.id, { limits: { tokens_per_day: null, concurrent_requests: 3 } });
      expect(changed).toEqual({ ...row, limits: { requests_per_minute: 1, concurrent_requests: 3 } });
      const freed = await store.change(row.id, { models: null, expires_at: null, log_messages: null });
      expect(freed).toEqual({ ...changed, models: null, expires_at: null, log_messages: null });
    });

    it('revokes once and for all', async () => {
      const { row } = await store.create(aKey());
      const revoked = await store.revoke(row.id);
      expect(keyBody(revoked, Date.now()).state).toBe('revoked');
      expect(await store.revoke(row.id)).toEqual(revoked);
      for (const attempt of [() => store.change(row.id, { priority: 1 }), () => store.rotate(row.id, 60)]) {
        await expect(attempt()).rejects.toMatchObject({
          code: 'invalid_request',
          message: expect.stringContaining('revoked'),
        });
      }
    });

    it('rotates to a new secret of the same id, with the former beside it for as long as was said', async () => {
      const { row, text } = await store.create(aKey({ priority: 5 }));
      const next = await store.rotate(row.id, 60);
      expect(parseApiKey(next.text)?.id).toBe(row.id);
      expect(next.row).toMatchObject({
        priority: 5,
        digest: digestOf(next.text, SECRET),
        digest_former: digestOf(text, SECRET),
      });
      const aheadMs = next.row.former_expires_at!.getTime() - Date.now();
      expect(aheadMs).toBeGreaterThan(50_000);
      expect(aheadMs).toBeLessThan(70_000);
      const last = await store.rotate(row.id, 0);
      expect(last.row).toMatchObject({ digest_former: null, former_expires_at: null });
    });

    it('refuses to rotate a key that has expired, since the new one would be as useless', async () => {
      const { row } = await store.create(aKey());
      await store.change(row.id, { expires_at: 1 });
      await expect(store.rotate(row.id, 0)).rejects.toMatchObject({ code: 'invalid_request' });
    });
  });

  describe('keysMax', () => {
    it('says both numbers, and counts neither revoked nor expired keys', async () => {
      const few = storeWith({ keysMax: 2 });
      const [one, two] = [await few.create(aKey()), await few.create(aKey())];
      await expect(few.create(aKey())).rejects.toMatchObject({
        message: expect.stringMatching(/2 valid keys; keysMax is 2/),
      });
      await few.revoke(one.row.id);
      await few.create(aKey());
      await few.change(two.row.id, { expires_at: 1 });
      await few.create(aKey());
      // One that expired comes back only if there is room.
      await expect(few.change(two.row.id, { expires_at: LATER })).rejects.toMatchObject({ code: 'invalid_request' });
      await few.change(two.row.id, { name: 'still expired' });
    });

    it('holds though many are made at the same time', async () => {
      const stores = [storeWith({ keysMax: 5 }), storeWith({ keysMax: 5 })];
      const attempts = Array.from({ length: 16 }, (_, at) => stores[at % 2]!.create(aKey()));
      const settled = await Promise.allSettled(attempts);
      expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(5);
      expect((await loaded()).ids).toHaveLength(5);
    });
  });

  describe('the secret of the keys', () => {
    it('is that of whoever made the first one; another is told, and makes none', async () => {
      expect((await loaded(OTHER_SECRET)).otherSecret).toBe(false);
      const { row } = await store.create(aKey());
      const foreign = storeWith({ secret: OTHER_SECRET });
      for (const attempt of [
        () => foreign.create(aKey()),
        () => foreign.rotate(row.id, 0),
        () => foreign.change(row.id, { priority: 1 }),
      ]) {
        await expect(attempt()).rejects.toMatchObject({ message: expect.stringContaining('another keySecret') });
      }
      expect([(await loaded()).otherSecret, (await loaded(OTHER_SECRET)).otherSecret]).toEqual([false, true]);
      const changes = await sourceWith(OTHER_SECRET).changesSince('1');
      expect(changes?.otherSecret).toBe(true);
      await foreign.revoke(row.id);
    });

    it('may be another once no key is valid any more', async () => {
      const { row } = await store.create(aKey());
      await store.revoke(row.id);
      const expired = (await store.create(aKey())).row.id;
      await store.change(expired, { expires_at: 1 });
      const foreign = storeWith({ secret: OTHER_SECRET });
      // Brought back by another secret, it would be valid and accepted by nobody.
      await expect(foreign.change(expired, { expires_at: LATER })).rejects.toMatchObject({ code: 'store_unavailable' });
      expect((await loaded()).otherSecret).toBe(false);
      await foreign.create(aKey());
      expect([(await loaded()).otherSecret, (await loaded(OTHER_SECRET)).otherSecret]).toEqual([true, false]);
    });
  });

  describe('what the ring reads', () => {
    it('is every valid key at first, and whether there was ever any', async () => {
      expect(await loaded()).toMatchObject({ rows: [], anyKey: false });
      const [valid, revoked, late] = [
        await store.create(aKey()),
        await store.create(aKey()),
        await store.create(aKey()),
      ];
      await store.revoke(revoked.row.id);
      await store.change(late.row.id, { expires_at: 1 });
      expect(await loaded()).toMatchObject({ ids: [valid.row.id], anyKey: true });
      await store.revoke(valid.row.id);
      expect(await loaded()).toMatchObject({ ids: [], anyKey: true });
    });

    it('is what has changed afterwards, in whatever way', async () => {
      const rows = [await store.create(aKey()), await store.create(aKey()), await store.create(aKey())].map(
        ({ row }) => row,
      );
      const [first, second, third] = rows.map(({ id }) => id) as [string, string, string];
      let { seen } = await loaded();
      const changed = async () => {
        const changes = await sourceWith().changesSince(seen);
        seen = changes!.seen;
        return changes!.rows.map(({ id }) => id).sort();
      };
      expect(await changed()).toEqual([]);
      const made = (await store.create(aKey())).row.id;
      await store.revoke(first);
      await store.rotate(second, 0);
      expect(await changed()).toEqual([made, first, second].sort());
      // Also by hand.
      await database.query('update keys set expires_at = now() where id = $1', [third]);
      expect(await changed()).toEqual([third]);
      expect(await changed()).toEqual([]);
    });

    it('is all of it again when it can not be told what has changed', async () => {
      const { seen } = await loaded();
      expect(await sourceWith().changesSince(String(BigInt(seen) + 1_000_000n))).toBeUndefined();
    });

    it('is not all of it for ever in a database that was restored from one that had counted further', async () => {
      await database.query(
        `insert into keys (id, name, digest) select lpad(n::text, 16, 'x'), 'made', '\\x00' from generate_series(1, 1234) as n`,
      );
      await database.query('alter table keys disable trigger keys_changed');
      await database.query(`update keys set changed_in = '9000000000'`);
      await database.query('alter table keys enable trigger keys_changed');
      const { seen } = await loaded();
      expect(await sourceWith().changesSince(seen)).toMatchObject({ rows: [] });
      await database.query(`update keys set name = 'changed' where id like '%7'`);
      expect((await sourceWith().changesSince(seen))?.rows).toHaveLength(123);
    });

    it('is complete however many keys there are', async () => {
      await database.query(
        `insert into keys (id, name, digest) select lpad(n::text, 16, 'x'), 'made', '\\x00' from generate_series(1, 2345) as n`,
      );
      const { ids, seen } = await loaded();
      expect(new Set(ids).size).toBe(2345);
      await database.query(`update keys set name = 'changed'`);
      expect(await sourceWith().changesSince(seen)).toBeUndefined();
    });
  });
}
