import type { SearchResultsBody } from '@millrace/contracts';
import type OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestBed } from './gateway.testing.js';
import { docxOf, pdfOf, zipOf } from './vector-stores/documents/documents.testing.js';
import {
  clientOf,
  inputsOf,
  remainsOf,
  type StoreBed,
  settled,
  upload,
  vectorStoreBed,
} from './vector-stores.testing.js';

/** What vector stores promise, on whatever the tables and the vectors are kept. */
export function vectorStoresContract(open: () => Promise<StoreBed & AsyncDisposable>): void {
  let on: StoreBed & AsyncDisposable;
  let bed: TestBed;
  let client: OpenAI;
  beforeAll(async () => {
    on = await open();
    bed = await vectorStoreBed(on);
    client = bed.client;
  });
  afterAll(async () => {
    await bed?.[Symbol.asyncDispose]();
    await on?.[Symbol.asyncDispose]();
  });

  /** A store with a file for each text, named a.txt, b.txt …, all of them read. */
  async function filled(texts: readonly string[], attributes: readonly object[] = [], of = client) {
    const store = await of.vectorStores.create({});
    const files = await Promise.all(texts.map((text, at) => upload(of, `${'abcdefgh'[at]}.txt`, text)));
    const asked = files.map((file_id, at) => ({
      file_id,
      attributes: (attributes[at] ?? {}) as Record<string, string>,
    }));
    await of.vectorStores.fileBatches.createAndPoll(store.id, { files: asked }, { pollIntervalMs: 50 });
    return { store: store.id, files };
  }

  const found = async (store: string, body: object, of = client) => {
    const page = await of.vectorStores.search(store, { query: 'x', ...body });
    return page.data.map(({ filename }) => filename);
  };

  it('makes a store, attaches a file, and finds what is in it', async () => {
    const { vectorStores } = client;
    const store = await vectorStores.create({ name: 'books', metadata: { of: 'mine' } });
    expect(store).toEqual({
      id: expect.stringMatching(/^vs_[0-9a-f]{32}$/),
      object: 'vector_store',
      created_at: expect.any(Number),
      name: 'books',
      description: null,
      usage_bytes: 0,
      file_counts: { in_progress: 0, completed: 0, failed: 0, cancelled: 0, total: 0 },
      status: 'completed',
      expires_after: null,
      expires_at: null,
      last_active_at: expect.any(Number),
      metadata: { of: 'mine' },
      embedding_model: null,
    });
    const file = await upload(client, 'one.txt', 'The whole of a short text.');
    const attached = await vectorStores.files.create(store.id, { file_id: file, attributes: { year: 1984 } });
    expect(attached).toMatchObject({ id: file, object: 'vector_store.file', status: 'in_progress', last_error: null });
    expect(await settled(client, store.id, file)).toEqual({
      ...attached,
      status: 'completed',
      usage_bytes: 26 + 8 * 4,
      chunking_strategy: { type: 'static', static: { max_chunk_size_tokens: 409, chunk_overlap_tokens: 204 } },
    });
    const found = await vectorStores.search(store.id, { query: 'The whole of a short text.' });
    expect(found.data).toEqual([
      {
        file_id: file,
        filename: 'one.txt',
        score: expect.closeTo(1, 5),
        attributes: { year: 1984 },
        content: [{ type: 'text', text: 'The whole of a short text.' }],
      },
    ]);
  });

  describe('a store', () => {
    it('is made, listed, changed and deleted', async () => {
      const mine = clientOf(bed, 'lister');
      const names = ['one', 'two', 'three'];
      const ids: string[] = [];
      for (const name of names) ids.push((await mine.vectorStores.create({ name, description: 'of tests' })).id);
      const all: string[] = [];
      for await (const { name } of mine.vectorStores.list({ limit: 2 })) all.push(name);
      expect(all).toEqual(['three', 'two', 'one']);
      const page = await mine.vectorStores.list({ order: 'asc', after: ids[0]!, limit: 1 });
      expect(page.data.map(({ name }) => name)).toEqual(['two']);
      const before = await mine.vectorStores.list({ order: 'asc', before: ids[2]!, limit: 1 });
      expect(before.data.map(({ name }) => name)).toEqual(['two']);
      for (const path of ['', `/${ids[0]}`])
        expect(
          (await bed.post(`/v1/vector_stores${path}`, '', { headers: { authorization: 'Bearer lister' } })).status,
          path,
        ).toBe(200);

      const changed = await mine.vectorStores.update(ids[0]!, {
        name: 'first',
        metadata: { a: 'b' },
        expires_after: { anchor: 'last_active_at', days: 7 },
      });
      expect(changed).toMatchObject({ name: 'first', metadata: { a: 'b' }, expires_after: { days: 7 } });
      expect(changed.expires_at! - changed.last_active_at!).toBe(7 * 86_400);
      expect(await mine.vectorStores.update(ids[0]!, { expires_after: null })).toMatchObject({
        name: 'first',
        metadata: { a: 'b' },
        expires_after: null,
        expires_at: null,
      });
      expect(await mine.vectorStores.delete(ids[0]!)).toEqual({
        id: ids[0],
        object: 'vector_store.deleted',
        deleted: true,
      });
      await expect(mine.vectorStores.retrieve(ids[0]!)).rejects.toMatchObject({ status: 404 });
      await expect(mine.vectorStores.delete(ids[0]!)).rejects.toMatchObject({ status: 404 });
    });

    it('of another key is not there', async () => {
      const mine = clientOf(bed, 'owner');
      const { store, files } = await filled(['mine'], [], mine);
      const batch = await mine.vectorStores.fileBatches.create(store, { file_ids: files });
      const other = clientOf(bed, 'stranger');
      const { vectorStores } = other;
      const at = { vector_store_id: store };
      const theirs = await upload(other, 'theirs.txt', 'theirs');
      const tries: Record<string, () => PromiseLike<unknown>> = {
        retrieve: () => vectorStores.retrieve(store),
        update: () => vectorStores.update(store, { name: 'x' }),
        search: () => vectorStores.search(store, { query: 'mine' }),
        attach: () => vectorStores.files.create(store, { file_id: theirs }),
        files: () => vectorStores.files.list(store),
        file: () => vectorStores.files.retrieve(files[0]!, at),
        change: () => vectorStores.files.update(files[0]!, { ...at, attributes: {} }),
        content: () => vectorStores.files.content(files[0]!, at),
        remove: () => vectorStores.files.delete(files[0]!, at),
        attachAll: () => vectorStores.fileBatches.create(store, { file_ids: [theirs] }),
        batch: () => vectorStores.fileBatches.retrieve(batch.id, at),
        cancel: () => vectorStores.fileBatches.cancel(batch.id, at),
        batchFiles: () => vectorStores.fileBatches.listFiles(batch.id, at),
        delete: () => vectorStores.delete(store),
      };
      for (const [name, attempt] of Object.entries(tries)) {
        await expect(attempt(), name).rejects.toMatchObject({ status: 404, code: 'vector_store_not_found' });
      }
      expect((await vectorStores.list()).data).toEqual([]);
      const own = await vectorStores.create({});
      await expect(vectorStores.files.create(own.id, { file_id: files[0]! })).rejects.toMatchObject({
        status: 404,
        code: 'file_not_found',
      });
      await expect(client.vectorStores.retrieve(store)).rejects.toMatchObject({ status: 404 });
      expect(await found(store, { query: 'mine' }, mine)).toEqual(['a.txt']);
    });

    it('is made with files at once, and says how far they are', async () => {
      const files = [await upload(client, 'a.md', '# One'), await upload(client, 'b.pptx', 'no')];
      const made = await client.vectorStores.create({
        file_ids: files,
        chunking_strategy: { type: 'static', static: { max_chunk_size_tokens: 100, chunk_overlap_tokens: 50 } },
      });
      expect(made.file_counts.total).toBe(2);
      const find = () => client.vectorStores.retrieve(made.id);
      await expect.poll(async () => (await find()).status, { timeout: 30_000 }).toBe('completed');
      expect(await find()).toMatchObject({
        file_counts: { in_progress: 0, completed: 1, failed: 1, cancelled: 0, total: 2 },
        usage_bytes: 5 + 8 * 4,
        embedding_model: 'vectors',
      });
    });

    it('that has expired tells nothing, and keeps nothing', async () => {
      const { store, files } = await filled(['to be forgotten']);
      await client.vectorStores.update(store, { expires_after: { anchor: 'last_active_at', days: 1 } });
      await on.database.query("update vector_stores set last_active_at = now() - interval '2 days' where id = $1", [
        store,
      ]);
      expect(await client.vectorStores.retrieve(store)).toMatchObject({ status: 'expired' });
      const refusal = { status: 400, message: expect.stringContaining('has expired') };
      await expect(client.vectorStores.search(store, { query: 'x' })).rejects.toMatchObject(refusal);
      await expect(client.vectorStores.files.create(store, { file_id: files[0]! })).rejects.toMatchObject(refusal);
      await using _another = await vectorStoreBed(on); // It tidies when it starts.
      await expect.poll(() => remainsOf(on, store), { timeout: 30_000 }).toEqual({ files: 0, chunks: 0, vectors: 0 });
      expect(await client.vectorStores.retrieve(store)).toMatchObject({ status: 'expired', usage_bytes: 0 });
    });

    it('that is deleted leaves nothing behind', async () => {
      const { store } = await filled(['one', 'two', 'three']);
      expect(await remainsOf(on, store)).toEqual({ files: 3, chunks: 3, vectors: 3 });
      await client.vectorStores.delete(store);
      await expect.poll(() => remainsOf(on, store), { timeout: 30_000 }).toEqual({ files: 0, chunks: 0, vectors: 0 });
      await expect
        .poll(async () => (await on.database.query('select from vector_stores where id = $1', [store])).length, {
          timeout: 30_000,
        })
        .toBe(0);
    });
  });

  describe('files of a store', () => {
    it('are read whatever they are, and what can not be says why', async () => {
      const long = Array.from({ length: 300 }, (_, at) => `Sentence number ${at} of the long one.`).join(' ');
      const files: Record<string, [string, string | Uint8Array]> = {
        text: ['a.txt', long],
        page: ['b.html', '<p>A page<script>no</script>'],
        pdf: ['c.pdf', pdfOf('A portable document')],
        word: ['d.docx', docxOf('A word document')],
        bomb: ['e.docx', zipOf([{ name: 'word/document.xml', content: 'x', saysBytes: 4_000_000_000 }])],
        nul: ['h.docx', zipOf([{ name: '/\0x', content: 'y' }])],
        binary: ['f.txt', Buffer.from([0x61, 0, 0x62])],
        empty: ['g.md', ' '],
      };
      const store = await client.vectorStores.create({});
      const ids: Record<string, string> = {};
      for (const [name, [filename, content]] of Object.entries(files))
        ids[name] = await upload(client, filename, content);
      const at = { vector_store_id: store.id };
      const batch = await client.vectorStores.fileBatches.createAndPoll(
        store.id,
        { file_ids: Object.values(ids), attributes: { of: 'all' } },
        { pollIntervalMs: 50 },
      );
      expect(batch).toMatchObject({
        object: 'vector_store.files_batch',
        status: 'completed',
        vector_store_id: store.id,
        file_counts: { in_progress: 0, completed: 4, failed: 4, cancelled: 0, total: 8 },
      });
      const errorOf = async (name: string) => (await client.vectorStores.files.retrieve(ids[name]!, at)).last_error;
      expect(await errorOf('bomb')).toMatchObject({ code: 'invalid_file', message: expect.stringMatching(/unpacked/) });
      expect(await errorOf('binary')).toMatchObject({
        code: 'unsupported_file',
        message: expect.stringMatching(/NUL/),
      });
      expect(await errorOf('empty')).toMatchObject({ code: 'invalid_file', message: expect.stringMatching(/no text/) });
      expect(await errorOf('text')).toBeNull();
      const content = async (name: string) =>
        (await client.vectorStores.files.content(ids[name]!, at)).data.map(({ text }) => text).join('');
      expect(await content('text')).toBe(long);
      expect(await content('page')).toBe('A page\n');
      expect((await content('pdf')).trim()).toBe('A portable document');
      expect((await content('word')).trim()).toBe('A word document');
      expect(await content('bomb')).toBe('');

      const failed = await client.vectorStores.fileBatches.listFiles(batch.id, {
        ...at,
        filter: 'failed',
        order: 'asc',
      });
      expect(failed.data.map(({ id }) => id)).toEqual([ids.bomb, ids.nul, ids.binary, ids.empty]);
      const listed: string[] = [];
      for await (const { id } of client.vectorStores.files.list(store.id, { limit: 3, order: 'asc' })) listed.push(id);
      expect(listed).toEqual(Object.values(ids));
      // What failed leaves nothing behind but what is told of it.
      const { chunks, vectors } = await remainsOf(on, store.id);
      expect(chunks).toBeGreaterThan(5);
      await expect.poll(async () => (await remainsOf(on, store.id)).vectors).toBe(vectors);
      expect(vectors).toBe(chunks);
    });

    it('that is removed is found no more, and attached again it is', async () => {
      const { store, files } = await filled(['first', 'second']);
      const at = { vector_store_id: store };
      expect(await client.vectorStores.files.delete(files[0]!, at)).toEqual({
        id: files[0],
        object: 'vector_store.file.deleted',
        deleted: true,
      });
      expect(await found(store, { query: 'first' })).toEqual(['b.txt']);
      await expect(client.vectorStores.files.retrieve(files[0]!, at)).rejects.toMatchObject({ status: 404 });
      await expect(client.vectorStores.files.delete(files[0]!, at)).rejects.toMatchObject({ status: 404 });
      await client.vectorStores.files.create(store, { file_id: files[0]! });
      await settled(client, store, files[0]!);
      expect(await found(store, { query: 'first' })).toEqual(['a.txt', 'b.txt']);
      await expect.poll(() => remainsOf(on, store), { timeout: 30_000 }).toEqual({ files: 2, chunks: 2, vectors: 2 });
    });

    it('that is attached twice is there once, and read again only where it is cut otherwise', async () => {
      const { store, files } = await filled(['word '.repeat(200)]);
      const attach = (changes: object) => client.vectorStores.files.create(store, { file_id: files[0]!, ...changes });
      expect(await attach({ attributes: { a: 1 } })).toMatchObject({ status: 'completed', attributes: { a: 1 } });
      expect(await attach({})).toMatchObject({ status: 'completed', attributes: { a: 1 } });
      const sizes = { max_chunk_size_tokens: 100, chunk_overlap_tokens: 10 };
      const again = await attach({ chunking_strategy: { type: 'static', static: sizes } });
      expect(again).toMatchObject({ status: 'in_progress', attributes: { a: 1 } });
      expect((await settled(client, store, files[0]!)).chunking_strategy).toEqual({ type: 'static', static: sizes });
      await expect.poll(async () => (await remainsOf(on, store)).files, { timeout: 30_000 }).toBe(1);
      expect((await client.vectorStores.files.list(store)).data).toHaveLength(1);
      expect(await attach({ attributes: {}, chunking_strategy: { type: 'static', static: sizes } })).toMatchObject({
        attributes: {},
      });
    });
  });

  describe('a search', () => {
    it('finds the nearest first, as many as are wanted, and no less near than is wanted', async () => {
      const { store } = await filled(['one', 'two', 'three', 'four']);
      const asked = { query: 'three', max_num_results: 2, rewrite_query: true };
      const page = (await (await bed.post(`/v1/vector_stores/${store}/search`, asked)).json()) as SearchResultsBody;
      expect(page).toMatchObject({
        object: 'vector_store.search_results.page',
        search_query: ['three'],
        has_more: false,
        next_page: null,
      });
      expect(page.data).toHaveLength(2);
      expect(page.data[0]).toMatchObject({
        filename: 'c.txt',
        score: expect.closeTo(1, 4),
        content: [{ text: 'three' }],
      });
      expect(page.data[1]!.score).toBeLessThan(0.99);
      const near = { ranking_options: { ranker: 'auto', score_threshold: 0.99 } } as const;
      expect(await found(store, { query: 'three', ...near })).toEqual(['c.txt']);
      expect(await found(store, { query: 'nothing of the kind', ...near })).toEqual([]);
      expect((await found(store, { query: ['two', 'four'], ...near })).sort()).toEqual(['b.txt', 'd.txt']);
    });

    it('of an empty store finds nothing', async () => {
      const { id } = await client.vectorStores.create({});
      expect(await found(id, { query: 'x' })).toEqual([]);
    });

    describe('with a filter', () => {
      let store: string;
      let files: readonly string[];
      beforeAll(async () => {
        ({ store, files } = await filled(
          ['one', 'two', 'three', 'four', 'five'],
          [
            { year: 2020, of: 'x', done: true },
            { year: 2021.5, of: 'y' },
            { year: '2022', of: 'z', done: false },
            {},
            { "o'dd key": 'a"b' },
          ],
        ));
      });

      it.each<[object, string]>([
        [{ type: 'eq', key: 'of', value: 'x' }, 'a'],
        [{ type: 'eq', key: 'year', value: 2020 }, 'a'],
        [{ type: 'eq', key: 'year', value: '2022' }, 'c'],
        [{ type: 'eq', key: 'done', value: false }, 'c'],
        [{ type: 'ne', key: 'of', value: 'x' }, 'bcde'],
        [{ type: 'gt', key: 'year', value: 2020 }, 'b'],
        [{ type: 'gte', key: 'year', value: 2020 }, 'ab'],
        [{ type: 'lt', key: 'year', value: 2021.5 }, 'a'],
        [{ type: 'lte', key: 'year', value: 2021.5 }, 'ab'],
        [{ type: 'gte', key: 'of', value: 'y' }, 'bc'],
        [{ type: 'in', key: 'year', value: [2020, '2022', 7] }, 'ac'],
        [{ type: 'nin', key: 'of', value: ['x', 'y'] }, 'cde'],
        [{ type: 'in', key: 'of', value: [] }, ''],
        [{ type: 'eq', key: "o'dd key", value: 'a"b' }, 'e'],
        [{ type: 'eq', key: 'of', value: "x' or true --" }, ''],
        [
          {
            type: 'and',
            filters: [
              { type: 'gte', key: 'year', value: 2000 },
              { type: 'eq', key: 'of', value: 'y' },
            ],
          },
          'b',
        ],
        [
          {
            type: 'or',
            filters: [
              { type: 'eq', key: 'done', value: true },
              { type: 'eq', key: 'of', value: 'z' },
            ],
          },
          'ac',
        ],
        [{ type: 'and', filters: [] }, 'abcde'],
        [{ type: 'or', filters: [] }, ''],
        [
          {
            type: 'and',
            filters: [
              { type: 'ne', key: 'of', value: 'z' },
              {
                type: 'or',
                filters: [
                  { type: 'lt', key: 'year', value: 2021 },
                  { type: 'eq', key: 'of', value: 'y' },
                ],
              },
            ],
          },
          'ab',
        ],
      ])('%j finds %s', async (filters, names) => {
        const all = await found(store, { filters });
        expect(
          all
            .map((name) => name[0])
            .sort()
            .join(''),
        ).toBe(names);
      });

      it('goes by attributes as they are now', async () => {
        const at = { vector_store_id: store };
        const filters = { type: 'eq', key: 'new', value: 'yes' };
        expect(await found(store, { filters })).toEqual([]);
        const changed = await client.vectorStores.files.update(files[3]!, { ...at, attributes: { new: 'yes' } });
        expect(changed).toMatchObject({ id: files[3], status: 'completed', attributes: { new: 'yes' } });
        expect(await found(store, { filters })).toEqual(['d.txt']);
        expect(await client.vectorStores.files.update(files[3]!, { ...at, attributes: null })).toMatchObject({
          attributes: {},
        });
        expect(await found(store, { filters })).toEqual([]);
      });
    });
  });

  describe('what is wrong', () => {
    const eq = { type: 'eq', key: 'a', value: 1 };
    it.each<[string, string, object, string]>([
      ['an unknown parameter', '', { colour: 'red' }, 'colour'],
      ['a long name', '', { name: 'x'.repeat(257) }, 'name'],
      ['an unknown model', '', { embedding_model: 'none' }, 'embedding_model'],
      ['another anchor', '', { expires_after: { anchor: 'created_at', days: 1 } }, 'expires_after.anchor'],
      ['no days', '', { expires_after: { anchor: 'last_active_at', days: 0 } }, 'expires_after.days'],
      [
        'too much metadata',
        '',
        { metadata: Object.fromEntries(Array.from({ length: 17 }, (_, at) => [`k${at}`, 'x'])) },
        'metadata',
      ],
      [
        'a small chunk',
        '/files',
        {
          file_id: 'f',
          chunking_strategy: { type: 'static', static: { max_chunk_size_tokens: 99, chunk_overlap_tokens: 0 } },
        },
        'chunking_strategy.static.max_chunk_size_tokens',
      ],
      [
        'a large overlap',
        '/files',
        {
          file_id: 'f',
          chunking_strategy: { type: 'static', static: { max_chunk_size_tokens: 100, chunk_overlap_tokens: 51 } },
        },
        'chunking_strategy.static.chunk_overlap_tokens',
      ],
      ['another strategy', '/files', { file_id: 'f', chunking_strategy: { type: 'other' } }, 'chunking_strategy.type'],
      ['an attribute that is a list', '/files', { file_id: 'f', attributes: { a: [] } }, 'attributes.a'],
      ['a long attribute', '/files', { file_id: 'f', attributes: { a: 'x'.repeat(513) } }, 'attributes.a'],
      ['no file', '/files', {}, 'file_id'],
      ['files twice over', '/file_batches', { file_ids: ['a'], files: [{ file_id: 'b' }] }, 'file_ids'],
      ['no files', '/file_batches', {}, 'file_ids'],
      ['too many files', '/file_batches', { file_ids: new Array(2_001).fill('f') }, 'file_ids'],
      ['no query', '/search', {}, 'query'],
      ['an empty query', '/search', { query: '' }, 'query'],
      ['too many results', '/search', { query: 'x', max_num_results: 51 }, 'max_num_results'],
      [
        'a threshold above 1',
        '/search',
        { query: 'x', ranking_options: { score_threshold: 1.1 } },
        'ranking_options.score_threshold',
      ],
      [
        'a mistyped threshold',
        '/search',
        { query: 'x', ranking_options: { score_treshold: 0.9 } },
        'ranking_options.score_treshold',
      ],
      ['a filter of no type', '/search', { query: 'x', filters: {} }, 'filters.type'],
      ['a filter without a value', '/search', { query: 'x', filters: { type: 'eq', key: 'a' } }, 'filters.value'],
      [
        'a filter that is more than a truth',
        '/search',
        { query: 'x', filters: { type: 'gt', key: 'a', value: true } },
        'filters.value',
      ],
      ['a filter with something else', '/search', { query: 'x', filters: { ...eq, vlaue: 1 } }, 'filters.vlaue'],
      [
        'a wrong filter within',
        '/search',
        { query: 'x', filters: { type: 'or', filters: [eq, { type: 'x' }] } },
        'filters.filters[1].type',
      ],
    ])('is told by name: %s', async (_what, path, body, param) => {
      const { id } = await client.vectorStores.create({});
      const response = await bed.post(`/v1/vector_stores${path === '' ? '' : `/${id}${path}`}`, body);
      expect(response.status).toBe(param === 'embedding_model' ? 404 : 400);
      expect(await response.json()).toMatchObject({ error: { param, type: 'invalid_request_error' } });
    });

    it('is told of filters that are very deep, very many or infinite', async () => {
      const { id } = await client.vectorStores.create({});
      const ask = async (filters: string) =>
        (await bed.post(`/v1/vector_stores/${id}/search`, `{"query":"x","filters":${filters}}`)).json();
      const deep = `${'{"type":"and","filters":['.repeat(9)}${']}'.repeat(9)}`;
      expect(await ask(deep)).toMatchObject({ error: { message: expect.stringContaining('9 filters deep') } });
      const deepest = `${'{"type":"and","filters":['.repeat(5_000)}${']}'.repeat(5_000)}`;
      expect(await ask(deepest)).toMatchObject({ error: { message: expect.stringContaining('64 levels') } });
      const joined = `{"type":"or","filters":[${new Array(200).fill('{"type":"and","filters":[]}').join()}]}`;
      expect(await ask(joined)).toMatchObject({ error: { message: expect.stringContaining('200 filters') } });
      const infinite = {
        error: { param: 'filters.value', message: expect.stringMatching(/must be .* a finite number/) },
      };
      expect(await ask('{"type":"eq","key":"a","value":1e400}')).toMatchObject(infinite);
      const many = JSON.stringify({ type: 'or', filters: new Array(101).fill(eq) });
      expect(await ask(many)).toMatchObject({ error: { message: expect.stringContaining('100 comparisons') } });
    });

    it('is told of what no database takes', async () => {
      const { store, files } = await filled(['one']);
      const file = files[0]!;
      const half = '\ud800';
      const tries: [string, object][] = [
        ['', { name: 'a\0' }],
        ['', { metadata: { a: 'b\0' } }],
        ['', { metadata: { [half]: 'x' } }],
        [`/${store}/files`, { file_id: 'file-\0' }],
        [`/${store}/files`, { file_id: file, attributes: { a: '\0' } }],
        [`/${store}/files/${file}`, { attributes: { 'a\0': 'x' } }],
        [`/${store}/search`, { query: 'x', filters: { type: 'eq', key: 'a', value: '\0' } }],
        [`/${store}/search`, { query: 'x', filters: { type: 'in', key: 'a\0', value: [half] } }],
        [`/${store}/files/a%00b`, { attributes: {} }],
      ];
      for (const [path, body] of tries) {
        const { status } = await bed.post(`/v1/vector_stores${path}`, body);
        expect([400, 404], `${path} ${JSON.stringify(body)}`).toContain(status);
      }
      const odd = [
        '?limit=0',
        '?limit=101',
        '?limit=x',
        '?order=up',
        '?colour=red',
        '?limit=1&limit=2',
        '?filter=lost',
      ];
      for (const query of odd) {
        const response = await fetch(`${bed.url}/v1/vector_stores/${store}/files${query}`);
        expect(response.status, query).toBe(400);
      }
      for (const query of ['?after=a%00b', '?before=%ed%a0%80']) {
        const response = await fetch(`${bed.url}/v1/vector_stores/${store}/files${query}`);
        expect([400, 404], query).toContain(response.status);
        const stores = await fetch(`${bed.url}/v1/vector_stores${query}`);
        expect([200, 400, 404], query).toContain(stores.status);
      }
    });

    it('is told of ids that are none', async () => {
      for (const id of ['vs_none', '..%2f..%2fetc', 'x'.repeat(500), `vs_${'0'.repeat(32)}`]) {
        const response = await fetch(`${bed.url}/v1/vector_stores/${id}`);
        expect(response.status).toBe(404);
      }
    });
  });

  describe('limits', () => {
    it('hold for stores of a key, files of a store, bytes of a file and chunks of a store', async () => {
      const settings = {
        vectorStoresPerKeyMax: 1,
        vectorStoreFilesMax: 2,
        vectorFileBytesMax: 2_000,
        vectorStoreChunksMax: 3,
      };
      await using narrow = await vectorStoreBed(on, settings);
      const mine = clientOf(narrow, 'narrow');
      const { id } = await mine.vectorStores.create({});
      await expect(mine.vectorStores.create({})).rejects.toMatchObject({
        status: 400,
        message: expect.stringContaining('vectorStoresPerKeyMax'),
      });
      const files = await Promise.all(
        ['x'.repeat(2_001), 'word '.repeat(390), 'c'].map((text) => upload(mine, 'a.txt', text)),
      );
      await expect(mine.vectorStores.fileBatches.create(id, { file_ids: files })).rejects.toMatchObject({
        status: 400,
        message: expect.stringMatching(/would have 3 files; it may have 2/),
      });
      expect((await mine.vectorStores.files.list(id)).data).toEqual([]);
      const errorOf = async (file: string) => {
        await mine.vectorStores.files.create(id, { file_id: file });
        return (await settled(mine, id, file)).last_error;
      };
      expect(await errorOf(files[0]!)).toMatchObject({ message: expect.stringMatching(/2,001 bytes; at most 2,000/) });
      expect(await errorOf(files[1]!)).toMatchObject({
        message: expect.stringMatching(/more chunks than the 3 .*vectorStoreChunksMax/),
      });
    });
  });

  it('asks for vectors on the account of the key', async () => {
    const before = bed.records().length;
    await filled(['accounted for'], [], clientOf(bed, 'payer'));
    const records = bed
      .records()
      .slice(before)
      .filter(({ endpoint }) => endpoint === 'embeddings');
    expect(records).toMatchObject([{ keyId: 'payer', model: 'vectors', promptTokens: 2, outcome: 'served' }]);
    expect(bed.worker.work.asked.flatMap(inputsOf)).toContain('accounted for');
  });
}
