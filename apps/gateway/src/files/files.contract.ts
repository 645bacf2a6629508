import { createHash } from 'node:crypto';
import { InferenceError } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import { type ObjectStore, ObjectStoreUnavailable, type OpenObject } from '@millrace/storage';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { UnreliableDatabase } from '../request-log/database.testing.js';
import { DatabaseUnavailable, type SqlDatabase, type SqlQuery } from '../stores/sql-database.js';
import type { FileRow } from './file-rows.js';
import { FileSweep } from './file-sweep.js';
import { filesOn, keysIn, piecesOf, silent } from './files.testing.js';
import type { StoredFilesSettings } from './stored-files.js';

const NEVER = new AbortController().signal;
const NOTHING = { files: 0, uploads: 0, parts: 0, objects: 0 };

/** What holds on every database and every object store. */
export function filesContract(open: () => Promise<{ database: SqlDatabase; objects: ObjectStore }>): void {
  let database: SqlDatabase;
  let objects: ObjectStore;
  beforeAll(async () => {
    ({ database, objects } = await open());
  });
  afterEach(async () => {
    await database.query('delete from files; delete from uploads; delete from record_chores');
    const keys = await keysIn(objects);
    await objects.remove(keys, NEVER);
  });
  afterAll(async () => {
    await objects?.close();
    await database?.close();
  });

  const files = (limits: Partial<StoredFilesSettings> = {}) => filesOn(database, objects, limits);
  const A_FILE = { filename: 'a.txt', purpose: 'user_data' } as const;
  const AN_UPLOAD = { bytes: 6, filename: 'b.bin', mime_type: 'text/plain', purpose: 'user_data' } as const;
  const state = async () => {
    const count = async (table: string) => (await database.query(`select from ${table}`)).length;
    return {
      files: await count('files'),
      uploads: await count('uploads'),
      parts: await count('upload_parts'),
      objects: (await keysIn(objects)).length,
    };
  };
  const textOf = async (content: OpenObject) => {
    await using opened = content;
    const pieces: Uint8Array[] = [];
    for await (const piece of opened.content) pieces.push(piece);
    return Buffer.concat(pieces).toString();
  };
  const sweep = (over: ObjectStore = objects) => new FileSweep(database, over, silent).sweep(NEVER);
  const code = (wanted: string) => expect.objectContaining({ code: wanted });

  describe('a file', () => {
    it('is kept with its details, whenever they are told, read in parts, and removed', async () => {
      const { store } = files();
      const order: string[] = [];
      async function* content() {
        yield* piecesOf('one ', 'two');
        order.push('content');
      }
      const details = async () => {
        order.push('details');
        return A_FILE;
      };
      const file = await store.create('key', content(), details, NEVER);
      expect(order).toEqual(['content', 'details']);
      const sha256 = createHash('sha256').update('one two').digest('hex');
      expect(file).toMatchObject({ ...A_FILE, bytes: 7, sha256, expires_at: null, created_at: expect.any(Date) });
      expect(await store.find('key', file.id)).toEqual(file);
      expect(await textOf(await store.open(file, NEVER))).toBe('one two');
      expect(await textOf(await store.open(file, NEVER, { from: 4, bytes: 2 }))).toBe('tw');
      for (const owner of ['other', undefined])
        await expect(store.find(owner, file.id)).rejects.toEqual(code('file_not_found'));
      await store.remove('key', file.id);
      await expect(store.remove('key', file.id)).rejects.toEqual(code('file_not_found'));
      await expect(store.open(file, NEVER)).rejects.toEqual(code('file_not_found'));
      expect(await state()).toEqual(NOTHING);
    });

    it.each(['', 'x', "file-'; drop table files", '../../etc/passwd', 'file-'.padEnd(37, 'g'), '\u0000'])(
      'is not there under what is no id: %j',
      async (id) => {
        await expect(files().store.find('key', id)).rejects.toEqual(code('file_not_found'));
        await expect(files().store.remove('key', id)).rejects.toEqual(code('file_not_found'));
      },
    );

    it('leaves nothing where its content fails, its details do, it is too large, or nobody wants it any more', async () => {
      const { store } = files({ fileBytesMax: 5 });
      async function* failing() {
        yield* piecesOf('12');
        throw new Error('the form breaks off');
      }
      const refused = async () => {
        throw new InferenceError('invalid_request', 'no');
      };
      const leaving = new AbortController();
      async function* left() {
        yield* piecesOf('12');
        leaving.abort(new Error('the client left'));
        yield* piecesOf('3');
      }
      await expect(store.create('key', failing(), A_FILE, NEVER)).rejects.toThrow('the form breaks off');
      await expect(store.create('key', piecesOf('12'), refused, NEVER)).rejects.toEqual(code('invalid_request'));
      await expect(store.create('key', piecesOf('123', '456'), A_FILE, NEVER)).rejects.toEqual(code('file_too_large'));
      await expect(store.create('key', left(), A_FILE, leaving.signal)).rejects.toThrow('the client left');
      const together = async () => {
        throw new Error('what belongs to it could not be written');
      };
      await expect(store.create('key', piecesOf('1'), A_FILE, NEVER, { together })).rejects.toThrow('what belongs');
      await expect.poll(state).toEqual(NOTHING);
    });

    it.each([true, false])(
      'whose commit went through unheard stays where something else tells of it, and only there: %s',
      async (told) => {
        const unreliable = new UnreliableDatabase(database);
        const { store } = filesOn(unreliable, objects);
        const { id: teller } = await files().uploads.create('key', AN_UPLOAD);
        const together = async (query: SqlQuery, { id }: FileRow) => {
          await query('update uploads set file_id = $2 where id = $1', [teller, id]);
        };
        async function* content() {
          yield* piecesOf('x');
          let statements = 0;
          unreliable.fate = () => (statements++ === 0 ? 'fails after' : 'works');
        }
        const created = store.create('key', content(), A_FILE, NEVER, told ? { together } : {});
        await expect(created).rejects.toBeInstanceOf(DatabaseUnavailable);
        await store.close(); // Whatever it removes is removed by then.
        const [row] = await database.query<{ file_id: string }>('select file_id from uploads');
        if (told) expect(await textOf(await store.open(await store.find('key', row!.file_id), NEVER))).toBe('x');
        expect(await state()).toMatchObject({ files: told ? 1 : 0, objects: told ? 1 : 0 });
        if (told) await store.remove('key', row!.file_id);
        expect(await state()).toMatchObject({ files: 0, objects: 0 });
      },
    );

    it('is seen by nobody until it is whole', async () => {
      const { store } = files();
      const more = Promise.withResolvers<void>();
      async function* slow() {
        yield* piecesOf('1');
        await more.promise;
        yield* piecesOf('2');
      }
      const created = store.create('key', slow(), A_FILE, NEVER);
      await expect.poll(state).toMatchObject({ files: 1 });
      expect(await store.list('key', { limit: 10, order: 'asc' })).toEqual({ rows: [], hasMore: false });
      const [row] = await database.query<{ id: string }>('select id from files');
      await expect(store.find('key', row!.id)).rejects.toEqual(code('file_not_found'));
      await sweep(); // It is still on its way.
      more.resolve();
      expect(await created).toMatchObject({ id: row!.id, bytes: 2 });
    });

    it('is lists that go on behind what is gone', async () => {
      const { store } = files();
      const ids: string[] = [];
      for (const text of ['0', '1', '2', '3']) ids.push((await store.create('key', piecesOf(text), A_FILE, NEVER)).id);
      await store.create('other', piecesOf('x'), A_FILE, NEVER);
      await store.remove('key', ids[1]!);
      const page = async (after: string | undefined, order: 'asc' | 'desc') =>
        (await store.list('key', { after, limit: 2, order })).rows.map(({ id }) => ids.indexOf(id));
      expect(await page(undefined, 'asc')).toEqual([0, 2]);
      expect(await page(ids[1], 'asc')).toEqual([2, 3]);
      expect(await page(ids[2], 'desc')).toEqual([0]);
      expect((await store.list('key', { limit: 3, order: 'desc' })).hasMore).toBe(false);
    });
  });

  it('is closed soon, though the store is silent', async () => {
    const silentStore: ObjectStore = Object.assign(Object.create(objects), {
      remove: (_keys: readonly string[], signal: AbortSignal) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      put: objects.put.bind(objects),
    });
    const { store, close } = filesOn(database, silentStore);
    const { id } = await store.create('key', piecesOf('x'), A_FILE, NEVER);
    const removed = store.remove('key', id);
    await expect.poll(() => database.query("select from files where state = 'removing'")).toHaveLength(1);
    await close();
    await removed;
    await sweep();
    expect(await state()).toEqual(NOTHING);
  });

  describe('the sweep', () => {
    it('removes what has expired and what a process that was killed left behind, whichever step it had come to', async () => {
      const { store } = files();
      const kept = await store.create('key', piecesOf('kept'), A_FILE, NEVER);
      const expired = await store.create('key', piecesOf('expired'), { ...A_FILE, expiresAfterSeconds: 3_600 }, NEVER);
      await database.query("update files set expires_at = now() - interval '1 second' where id = $1", [expired.id]);
      const leave = async (digit: string, fileState: string, hasContent: boolean, age: string) => {
        const id = `file-${digit.repeat(32)}`;
        if (hasContent) await objects.put(id, piecesOf('left'), NEVER);
        await database.query(
          `insert into files (id, key_id, state, bytes, expires_at) values ($1, 'key', $2, 0, now() - $3::interval)`,
          [id, fileState, age],
        );
      };
      await leave('a', 'pending', false, '1 second');
      await leave('b', 'pending', true, '1 second');
      await leave('c', 'removing', true, '-1 hour');
      await leave('d', 'removing', false, '-1 hour');
      await leave('e', 'pending', true, '-1 hour'); // It may still be on its way.
      await sweep();
      expect(await keysIn(objects)).toEqual([kept.id, `file-${'e'.repeat(32)}`].sort());
      expect(await state()).toMatchObject({ files: 2 });
    });

    it('goes on where a store was away: nothing is forgotten before its content is gone', async () => {
      const { store } = files();
      const { id } = await store.create('key', piecesOf('x'), A_FILE, NEVER);
      const away: ObjectStore = Object.assign(Object.create(objects), {
        remove: async () => {
          throw new ObjectStoreUnavailable('It is away.');
        },
      });
      await filesOn(database, away).store.remove('key', id);
      await expect(store.find('key', id)).rejects.toEqual(code('file_not_found'));
      await expect(sweep(away)).rejects.toThrow('It is away');
      expect(await state()).toMatchObject({ files: 1, objects: 1 });
      await sweep();
      expect(await state()).toEqual(NOTHING);
    });

    it('passes over what can not be removed, and removes everything behind it', async () => {
      const expired = async (table: string, ids: readonly string[], columns: string, values: string) => {
        for (const id of ids) {
          await database.query(
            `insert into ${table} (id, key_id, bytes, expires_at, ${columns})
              values ($1, 'key', 1, now() - interval '1 second', ${values})`,
            [id],
          );
        }
      };
      const idsOf = (kind: string) =>
        Array.from({ length: 3 }, (_, digit) => `${kind}${digit}`.padEnd(kind.length + 32, '0'));
      const [fileIds, uploadIds] = [idsOf('file-'), idsOf('upload_')];
      await expired('files', fileIds, 'state', "'ready'");
      await expired(
        'uploads',
        uploadIds,
        'state, filename, purpose, mime_type',
        "'pending', 'a', 'vision', 'text/plain'",
      );
      const partOf = (uploadId: string) => `${uploadId}/part_${'0'.repeat(32)}`;
      for (const key of [...fileIds, ...uploadIds.map(partOf)]) await objects.put(key, piecesOf('x'), NEVER);
      const held = [fileIds[0]!, partOf(uploadIds[0]!)];
      const holding: ObjectStore = Object.assign(Object.create(objects), {
        list: objects.list.bind(objects),
        remove: async (keys: readonly string[], signal: AbortSignal) => {
          if (keys.some((key) => held.includes(key))) throw new ObjectStoreUnavailable('It is held.');
          return objects.remove(keys, signal);
        },
      });
      await expect(sweep(holding)).rejects.toThrow(/^2 removals failed.*It is held/);
      expect(await keysIn(objects)).toEqual(held);
      expect(await state()).toMatchObject({ files: 1, uploads: 1 });
      await sweep();
      expect(await state()).toEqual(NOTHING);
    });

    it('says once that something stays, and goes on to what has no row though a listing fails', async () => {
      const warnings: unknown[] = [];
      const told = createLogger({ name: 'test', level: 'silent', format: 'json' });
      told.warn = ((_: unknown, text: unknown) => void warnings.push(text)) as typeof told.warn;
      const listed: string[] = [];
      const deaf: ObjectStore = Object.assign(Object.create(objects), {
        list: async (prefix: string) => {
          listed.push(prefix);
          throw new ObjectStoreUnavailable('It is deaf.');
        },
      });
      const running = new FileSweep(database, deaf, told, { everyMs: 1, choreMinutes: 0 });
      running.start();
      await expect.poll(() => listed.filter((prefix) => prefix === 'upload_').length).toBeGreaterThan(2);
      await running.close();
      expect(warnings).toEqual([expect.stringMatching(/not all files/)]);
    });

    it('removes old content that the database does not know, but not where that looks like another database', async () => {
      const { store } = files();
      const old: ObjectStore = Object.assign(Object.create(objects), {
        list: async (...asked: Parameters<ObjectStore['list']>) =>
          (await objects.list(...asked)).map((info) => ({ ...info, modifiedMs: 0 })),
        remove: objects.remove.bind(objects),
      });
      const strayed = `file-${'0'.repeat(32)}`;
      const part = `upload_${'0'.repeat(32)}/part_${'0'.repeat(32)}`;
      for (const key of [strayed, part, 'others/file', 'file-of-somebody'])
        await objects.put(key, piecesOf('x'), NEVER);
      const kept = await store.create('key', piecesOf('kept'), A_FILE, NEVER);
      await sweep();
      expect(await state()).toMatchObject({ objects: 5 }); // They are too young to be sure.
      await sweep(old);
      expect(await keysIn(objects)).toEqual(['file-of-somebody', kept.id, 'others/file'].sort());
      for (let digit = 0; digit < 16; digit++)
        await objects.put(`file-${digit.toString(16).repeat(32)}`, piecesOf('x'), NEVER);
      await sweep(old);
      expect(await state()).toMatchObject({ objects: 19 });
    });

    it('falls to one gateway of several', async () => {
      let sweeps = 0;
      const counted: ObjectStore = Object.assign(Object.create(objects), {
        list: async (prefix: string) => {
          if (prefix === 'file-') sweeps++;
          return [];
        },
      });
      const all = Array.from({ length: 5 }, () => new FileSweep(database, counted, silent));
      for (const one of all) one.start();
      await expect.poll(() => sweeps).toBe(1);
      for (const one of all) await one.close();
      expect(sweeps).toBe(1);
    });
  });

  describe('an upload', () => {
    const sent = async (uploads: ReturnType<typeof files>['uploads'], id: string, text: string) =>
      (await uploads.addPart('key', id, piecesOf(text), NEVER, text.length)).id;
    const md5Of = (text: string) => createHash('md5').update(text).digest('hex');

    it('becomes one file, in the order that is asked for, however often and by however many it is completed', async () => {
      const [one, other] = [files(), files()];
      const { id } = await one.uploads.create('key', AN_UPLOAD);
      const [two, first] = [await sent(one.uploads, id, 'two'), await sent(other.uploads, id, 'one')];
      const body = { part_ids: [first, two], md5: md5Of('onetwo').toUpperCase() };
      const asked = [one, other, one, other].map(({ completion }) => completion.complete('key', id, body, NEVER));
      const all = await Promise.all(asked);
      expect(new Set(all.map(({ file }) => file?.id)).size).toBe(1);
      expect(all[0]!.upload).toMatchObject({ state: 'completed', part_ids: [first, two] });
      expect(await textOf(await one.store.open(all[0]!.file!, NEVER))).toBe('onetwo');
      expect(await one.completion.complete('key', id, body, NEVER)).toEqual(all[0]);
      const otherwise = one.completion.complete('key', id, { part_ids: [two, first] }, NEVER);
      await expect(otherwise).rejects.toThrow(/completed, with other parts/);
      await expect.poll(async () => (await keysIn(objects)).length).toBe(1);
      await expect(sent(one.uploads, id, 'late')).rejects.toThrow(/is completed/);
      await expect(one.uploads.cancel('key', id)).rejects.toThrow(/is completed/);
      await one.store.remove('key', all[0]!.file!.id);
      expect((await one.completion.complete('key', id, body, NEVER)).file).toBeUndefined();
    });

    it('says what is wrong with its parts, and can be completed all the same', async () => {
      const { uploads, completion } = files();
      const { id } = await uploads.create('key', AN_UPLOAD);
      const { id: another } = await uploads.create('key', AN_UPLOAD);
      const [one, two] = [await sent(uploads, id, 'one'), await sent(uploads, id, 'two')];
      const foreign = await sent(uploads, another, 'xyz');
      const complete = (part_ids: string[], md5?: string) =>
        completion.complete('key', id, { part_ids, ...(md5 && { md5 }) }, NEVER);
      await expect(complete([one])).rejects.toThrow(/3 bytes together, and 6 were promised/);
      await expect(complete([one, one])).rejects.toThrow(/part_ids\[1\]/);
      await expect(complete([one, foreign])).rejects.toThrow(/part_ids\[1\]/);
      for (const nonsense of ['nonsense', 'part_\u0000'])
        await expect(complete([one, nonsense])).rejects.toEqual(code('invalid_request'));
      await expect(complete([two, one], md5Of('onetwo'))).rejects.toThrow(/`md5` is .* and that of the parts/);
      await expect(completion.complete('other', id, { part_ids: [one, two] }, NEVER)).rejects.toEqual(
        code('upload_not_found'),
      );
      await expect.poll(state).toMatchObject({ files: 0, objects: 3 });
      expect((await complete([one, two], md5Of('onetwo'))).file).toMatchObject({ bytes: 6, filename: 'b.bin' });
    });

    it('that is cancelled or has expired takes nothing more, and leaves nothing', async () => {
      const { uploads, completion } = files();
      const { id } = await uploads.create('key', AN_UPLOAD);
      const part = await sent(uploads, id, 'onetwo');
      expect(await uploads.cancel('key', id)).toMatchObject({ state: 'cancelled' });
      expect(await uploads.cancel('key', id)).toMatchObject({ state: 'cancelled' });
      await expect(sent(uploads, id, 'x')).rejects.toThrow(/is cancelled/);
      await expect(completion.complete('key', id, { part_ids: [part] }, NEVER)).rejects.toThrow(/is cancelled/);
      expect(await keysIn(objects)).toEqual([]);
      const { id: second } = await uploads.create('key', AN_UPLOAD);
      await sent(uploads, second, 'one');
      await database.query("update uploads set expires_at = now() - interval '1 second'");
      await expect(sent(uploads, second, 'two')).rejects.toThrow(/has expired/);
      await expect.poll(async () => (await keysIn(objects)).length).toBe(1);
      await sweep();
      expect(await state()).toEqual(NOTHING);
    });

    it('goes on when whoever asked for it has left', async () => {
      const { uploads, completion } = files();
      const { id } = await uploads.create('key', AN_UPLOAD);
      const parts = [await sent(uploads, id, 'one'), await sent(uploads, id, 'two')];
      const leaving = new AbortController();
      const asked = completion.complete('key', id, { part_ids: parts }, leaving.signal);
      await expect.poll(() => database.query("select from uploads where state <> 'pending'")).toHaveLength(1);
      leaving.abort(new Error('left'));
      await asked.catch(() => {});
      await expect.poll(state).toMatchObject({ files: 1, objects: 1 });
      expect((await completion.complete('key', id, { part_ids: parts }, NEVER)).file).toBeDefined();
    });

    it('is taken over where whoever completed it is gone, and one who is late makes no second file', async () => {
      const { uploads, completion } = files();
      const { id } = await uploads.create('key', AN_UPLOAD);
      const parts = [await sent(uploads, id, 'one'), await sent(uploads, id, 'two')];
      const halt = Promise.withResolvers<void>();
      const slow: ObjectStore = Object.assign(Object.create(objects), {
        open: async (...asked: Parameters<ObjectStore['open']>) => {
          await halt.promise;
          return objects.open(...asked);
        },
        put: objects.put.bind(objects),
        remove: objects.remove.bind(objects),
        list: objects.list.bind(objects),
      });
      const late = filesOn(database, slow).completion.complete('key', id, { part_ids: parts }, NEVER);
      await expect.poll(() => database.query("select from uploads where state = 'completing'")).toHaveLength(1);
      await database.query("update uploads set lease_expires_at = now() - interval '1 second'");
      const { file } = await completion.complete('key', id, { part_ids: parts }, NEVER);
      halt.resolve();
      const answered = await late.catch((error) => error);
      if (answered instanceof Error) expect(answered).toBeInstanceOf(Error);
      else expect(answered.file).toEqual(file);
      await expect.poll(state).toMatchObject({ files: 1, objects: 1 });
    });

    it('stays cancelled, whatever becomes of a completion that was given up before', async () => {
      const { uploads } = files();
      const { id } = await uploads.create('key', AN_UPLOAD);
      const parts = [await sent(uploads, id, 'onetwo')];
      const halt = Promise.withResolvers<void>();
      const failing: ObjectStore = Object.assign(Object.create(objects), {
        open: async () => {
          await halt.promise;
          throw new ObjectStoreUnavailable('It is away.');
        },
        put: objects.put.bind(objects),
        remove: objects.remove.bind(objects),
      });
      const late = filesOn(database, failing).completion.complete('key', id, { part_ids: parts }, NEVER);
      await expect.poll(() => database.query("select from uploads where state = 'completing'")).toHaveLength(1);
      await database.query("update uploads set lease_expires_at = now() - interval '1 second'");
      await uploads.cancel('key', id);
      halt.resolve();
      await expect(late).rejects.toThrow('It is away');
      expect(await uploads.find('key', id)).toMatchObject({ state: 'cancelled' });
    });

    it('that was completed by a commit that went through unheard is completed for whoever asks again', async () => {
      const unreliable = new UnreliableDatabase(database);
      const { uploads, completion, close } = filesOn(unreliable, objects);
      const { id } = await uploads.create('key', AN_UPLOAD);
      const part_ids = [await sent(uploads, id, 'onetwo')];
      // Its taking and the beginning of its file are heard of, its file's becoming visible is not.
      let transactions = 0;
      const transaction = unreliable.transaction.bind(unreliable);
      unreliable.transaction = (work) => {
        unreliable.fate = () => (++transactions === 3 ? 'fails after' : 'works');
        return transaction(work).finally(() => {
          unreliable.fate = () => 'works';
        });
      };
      await expect(completion.complete('key', id, { part_ids }, NEVER)).rejects.toBeInstanceOf(DatabaseUnavailable);
      await close();
      const { file } = await files().completion.complete('key', id, { part_ids }, NEVER);
      expect(await textOf(await files().store.open(file!, NEVER))).toBe('onetwo');
    });

    it('counts as what it promised, and its parts stay within that', async () => {
      const { uploads, store } = files({ fileBytesPerKeyMax: 1_000, uploadBytesMax: 900, filesPerKeyMax: 3 });
      const create = (bytes: number) => uploads.create('key', { ...AN_UPLOAD, bytes });
      await expect(create(901)).rejects.toThrow(/901 bytes or more; this server takes 900.*uploadBytesMax/);
      const { id } = await create(800);
      await expect(create(300)).rejects.toEqual(code('storage_limit_exceeded'));
      await expect(store.create('key', piecesOf('x'.repeat(201)), A_FILE, NEVER)).rejects.toEqual(
        code('storage_limit_exceeded'),
      );
      await uploads.cancel('key', id);
      await create(900);
    });

    it('takes parts within what it promised and as much again, and within the limit of its key', async () => {
      const { uploads } = files({ fileBytesPerKeyMax: 1_000 });
      const { id: small } = await uploads.create('key', { ...AN_UPLOAD, bytes: 10 });
      await expect(uploads.addPart('key', small, piecesOf('x'), NEVER, 67_108_865)).rejects.toThrow(
        /67,108,865 bytes or more; a part may have 67,108,864/,
      );
      await expect(uploads.addPart('key', small, piecesOf('x'), NEVER, 21)).rejects.toThrow(
        /21 bytes.*10 were promised.*20/,
      );
      // Nobody said how much comes, and many come at once.
      const text = 'x'.repeat(10);
      const all = Array.from({ length: 5 }, () => uploads.addPart('key', small, piecesOf(text), NEVER, undefined));
      const ended = await Promise.allSettled(all);
      expect(ended.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
      await expect(uploads.addPart('key', small, piecesOf('x'), NEVER, undefined)).rejects.toThrow(
        /21 bytes.*10 were promised.*20/,
      );
      await expect.poll(state).toMatchObject({ parts: 2, objects: 2 });
      // Its twenty bytes count, not the ten.
      await expect(uploads.create('key', { ...AN_UPLOAD, bytes: 981 })).rejects.toThrow(/have 20 bytes.*981.*1,000/);
      const { id } = await uploads.create('key', { ...AN_UPLOAD, bytes: 900 });
      await uploads.addPart('key', id, piecesOf('x'.repeat(900)), NEVER, undefined);
      const more = (bytesExpected: number | undefined) =>
        uploads.addPart('key', id, piecesOf('x'.repeat(81)), NEVER, bytesExpected);
      for (const bytes of [undefined, 81]) await expect(more(bytes)).rejects.toThrow(/have 920 bytes.*81.*1,000/);
      await uploads.addPart('key', id, piecesOf('x'.repeat(80)), NEVER, 80);
    });

    it('leaves nothing of a part that breaks off', async () => {
      const { uploads } = files();
      const { id } = await uploads.create('key', AN_UPLOAD);
      async function* failing() {
        yield* piecesOf('12');
        throw new Error('broken off');
      }
      await expect(uploads.addPart('key', id, failing(), NEVER, undefined)).rejects.toThrow('broken off');
      await expect.poll(state).toEqual({ files: 0, uploads: 1, parts: 0, objects: 0 });
    });
  });

  it('is unavailable where the database is, and keeps no content then', async () => {
    const broken: SqlDatabase = {
      ...NO_DATABASE,
      transaction: async (work) => {
        const result = await database.transaction(work);
        broken.transaction = NO_DATABASE.transaction; // From the second on.
        return result;
      },
    };
    const { store } = filesOn(broken, objects);
    await expect(store.create('key', piecesOf('x'), A_FILE, NEVER)).rejects.toBeInstanceOf(DatabaseUnavailable);
    await expect.poll(state).toMatchObject({ files: 1 });
    await database.query("update files set expires_at = now() - interval '1 second'");
    await sweep();
    expect(await state()).toEqual(NOTHING);
  });
}

const NO_DATABASE: SqlDatabase = {
  query: async () => {
    throw new DatabaseUnavailable('It is away.');
  },
  transaction: async () => {
    throw new DatabaseUnavailable('It is away.');
  },
  trouble: undefined,
  close: async () => {},
};
