import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type CollectionSpec,
  NEAREST_MAX,
  REMOVED_IDS_MAX,
  UPSERT_POINTS_MAX,
  type VectorCollection,
  type VectorPoint,
  VectorSizeConflict,
  type VectorStore,
  VectorStoreUnavailable,
} from './vector-store.js';

/** A store that is there is asked nothing that would take it so long. */
const PATIENCE_MS = 20_000;

/** What every VectorStore promises. Collections are made under names of their own, and dropped. */
export function vectorStoreContract(open: () => Promise<VectorStore>): void {
  let store: VectorStore;
  const names: string[] = [];
  const { signal } = new AbortController();
  beforeAll(async () => {
    store = await open();
  });
  afterAll(async () => {
    for (const name of names) await store.drop(name, signal);
    await store.close();
  });

  const newSpec = (dimension = 3): CollectionSpec => {
    const name = `test_${randomUUID()}`;
    names.push(name);
    return { name, dimension };
  };
  const newCollection = async (points: readonly VectorPoint[] = [], dimension = 3): Promise<VectorCollection> => {
    const collection = store.collection(newSpec(dimension));
    await collection.upsert(points, signal);
    return collection;
  };
  const point = (id: string, vector: readonly number[], attributes: VectorPoint['attributes'] = {}): VectorPoint => ({
    id,
    vector,
    attributes,
  });
  const idsOf = async (
    collection: VectorCollection,
    vector: readonly number[],
    filter?: Record<string, never> | object,
  ) => (await collection.nearest({ vector, limit: 10, filter: filter as never }, signal)).map(({ id }) => id);

  describe('a collection', () => {
    it('is empty before anything was put into it', async () => {
      const collection = store.collection(newSpec());
      expect(await collection.nearest({ vector: [1, 0, 0], limit: 5 }, signal)).toEqual([]);
      expect(await collection.count({}, signal)).toBe(0);
      await collection.remove({ ids: ['a'] }, signal);
      await collection.remove({ filter: { a: 1 } }, signal);
      await collection.upsert([], signal);
      expect(store.trouble).toBeUndefined();
    });

    it('gives the nearest first, with the cosine, whatever the length of the vectors', async () => {
      const collection = await newCollection([
        point('along', [10, 0, 0]),
        point('aslant', [0.5, 0.5, 0]),
        point('across', [0, 3, 0]),
        point('against', [-1, 0, 0]),
      ]);
      const near = await collection.nearest({ vector: [2, 0, 0], limit: 10 }, signal);
      expect(near.map(({ id }) => id)).toEqual(['along', 'aslant', 'across', 'against']);
      for (const [at, score] of [1, Math.SQRT1_2, 0, -1].entries()) expect(near[at]?.score).toBeCloseTo(score, 5);
    });

    it('gives no more than are asked for, and none that is too far', async () => {
      const collection = await newCollection([point('a', [1, 0, 0]), point('b', [1, 0.1, 0]), point('c', [0, 1, 0])]);
      const ask = async (limit: number, scoreMin?: number) =>
        (await collection.nearest({ vector: [1, 0, 0], limit, scoreMin }, signal)).map(({ id }) => id);
      expect(await ask(1)).toEqual(['a']);
      expect(await ask(NEAREST_MAX)).toEqual(['a', 'b', 'c']);
      expect(await ask(10, 0.9)).toEqual(['a', 'b']);
      expect(await ask(10, 0.999)).toEqual(['a']);
      expect(await ask(10, -1)).toHaveLength(3);
    });

    it('gives back ids and attributes as they were', async () => {
      const id = `"'; drop table vector_points; --\\ 😀 ß/../%20\u0001`;
      const attributes = {
        text: `"'\\😀\u0001`,
        empty: '',
        whole: 42,
        fraction: 0.1,
        negative: -1e-7,
        large: 2 ** 53 - 1,
        yes: true,
        no: false,
      };
      const collection = await newCollection([point(id, [0.1, 0.2, 0.3], attributes)]);
      expect(await collection.nearest({ vector: [0.1, 0.2, 0.3], limit: 1 }, signal)).toEqual([
        { id, score: expect.closeTo(1, 5), attributes },
      ]);
    });

    it('has one point for each id, the last that came', async () => {
      const collection = await newCollection([point('a', [1, 0, 0], { turn: 1 }), point('a', [0, 1, 0], { turn: 2 })]);
      await collection.upsert([point('b', [1, 0, 0]), point('a', [0, 0, 1], { turn: 3 })], signal);
      expect(await collection.count({}, signal)).toBe(2);
      const [first] = await collection.nearest({ vector: [0, 0, 1], limit: 1 }, signal);
      expect(first).toEqual({ id: 'a', score: expect.closeTo(1, 5), attributes: { turn: 3 } });
    });

    it(
      'takes as many points at a time as is said, and vectors of a thousand numbers',
      async () => {
        const vectorAt = (at: number) =>
          Float32Array.from({ length: 1_024 }, (_, index) => Math.sin(at * 1_024 + index));
        const points = Array.from({ length: UPSERT_POINTS_MAX }, (_, at) => ({
          id: `${at}`,
          vector: vectorAt(at),
          attributes: { at },
        }));
        const collection = store.collection(newSpec(1_024));
        for (let from = 0; from < points.length; from += 100)
          await collection.upsert(points.slice(from, from + 100), signal);
        expect(await collection.count({}, signal)).toBe(UPSERT_POINTS_MAX);
        const [near] = await collection.nearest({ vector: vectorAt(77), limit: 1 }, signal);
        expect(near).toEqual({ id: '77', score: expect.closeTo(1, 4), attributes: { at: 77 } });
        await collection.remove({ ids: points.slice(0, 50).map(({ id }) => id) }, signal);
        expect(await collection.count({}, signal)).toBe(UPSERT_POINTS_MAX - 50);
        await collection.remove({ filter: { at: { below: UPSERT_POINTS_MAX } } }, signal);
        expect(await collection.count({}, signal)).toBe(0);
      },
      PATIENCE_MS,
    );

    it('is by itself: nothing of another is found, counted or removed', async () => {
      const one = await newCollection([point('a', [1, 0, 0], { in: 'one' })]);
      const other = await newCollection([point('a', [1, 0, 0], { in: 'other' })]);
      await one.remove({ filter: {} }, signal);
      expect(await one.count({}, signal)).toBe(0);
      expect(await other.nearest({ vector: [1, 0, 0], limit: 9 }, signal)).toMatchObject([
        { attributes: { in: 'other' } },
      ]);
    });

    it('is gone when it was dropped, and can be made anew, of another size too', async () => {
      const spec = newSpec();
      await store.collection(spec).upsert([point('a', [1, 0, 0])], signal);
      await store.drop(spec.name, signal);
      await store.drop(spec.name, signal);
      expect(await store.collection(spec).count({}, signal)).toBe(0);
      const larger = store.collection({ ...spec, dimension: 4 });
      await larger.upsert([point('a', [1, 0, 0, 0])], signal);
      expect(await larger.count({}, signal)).toBe(1);
    });

    it('that many begin to fill at once is made once, and has everything', async () => {
      const spec = newSpec();
      await Promise.all(
        Array.from({ length: 8 }, (_, at) => store.collection(spec).upsert([point(`${at}`, [1, at, 0])], signal)),
      );
      expect(await store.collection(spec).count({}, signal)).toBe(8);
    });
  });

  describe('a filter', () => {
    const fill = () =>
      newCollection([
        point('1', [1, 0, 0], { who: 'a', size: 1, new: true }),
        point('2', [1, 0, 0], { who: 'a', size: 2, new: false }),
        point('3', [1, 0, 0], { who: 'b', size: 3, new: true }),
        point('4', [1, 0, 0], { who: '1', size: '3' }),
        point('5', [1, 0, 0]),
      ]);

    it.each<[string, object, string[]]>([
      ['nothing', {}, ['1', '2', '3', '4', '5']],
      ['text', { who: 'a' }, ['1', '2']],
      ['a number, and not its text', { size: 3 }, ['3']],
      ['text, and not its number', { size: '3' }, ['4']],
      ['a truth', { new: true }, ['1', '3']],
      ['an untruth, which is not the same as nothing', { new: false }, ['2']],
      ['all of several', { who: 'a', new: true }, ['1']],
      ['less than a number', { size: { below: 3 } }, ['1', '2']],
      ['less than a number, and something else', { size: { below: 3 }, new: true }, ['1']],
      ['one of several texts', { who: { in: ['b', '1', 'c'] } }, ['3', '4']],
      ['one of several texts, and something else', { who: { in: ['a', 'b'] }, new: true }, ['1', '3']],
      ['one of several texts, which is no number', { size: { in: ['1', '3'] } }, ['4']],
      ['one of none', { who: { in: [] } }, []],
      ['what nobody has', { colour: 'red' }, []],
      ['less of what nobody has', { colour: { below: 9 } }, []],
      ['what would be a statement', { who: `a' or true --` }, []],
    ])('lets through what has %s', async (_name, filter, ids) => {
      const collection = await fill();
      expect((await idsOf(collection, [1, 0, 0], filter)).sort()).toEqual(ids);
      expect(await collection.count(filter as never, signal)).toBe(ids.length);
      await collection.remove({ filter: filter as never }, signal);
      expect(await collection.count({}, signal)).toBe(5 - ids.length);
    });

    it('is applied before the nearest are counted', async () => {
      const far = Array.from({ length: 50 }, (_, at) => point(`near${at}`, [1, at / 1_000, 0], { who: 'other' }));
      const collection = await newCollection([...far, point('mine', [0, 1, 0], { who: 'me' })]);
      expect(await idsOf(collection, [1, 0, 0], { who: 'me' })).toEqual(['mine']);
    });
  });

  describe('what is wrong', () => {
    it('with the size of a collection is told with both numbers, and nothing is changed', async () => {
      const spec = newSpec(3);
      await store.collection(spec).upsert([point('a', [1, 0, 0])], signal);
      const other = store.collection({ ...spec, dimension: 4 });
      const both = new RegExp(`${spec.name}.* 3 numbers.* 4\\. .*delete it`, 's');
      await expect(other.upsert([point('b', [1, 0, 0, 0])], signal)).rejects.toThrow(VectorSizeConflict);
      await expect(other.nearest({ vector: [1, 0, 0, 0], limit: 1 }, signal)).rejects.toThrow(both);
      expect(store.trouble).toMatch(both);
      expect(await store.collection(spec).count({}, signal)).toBe(1);
      expect(store.trouble).toBeUndefined();
    });

    it.each<[string, (collection: VectorCollection) => Promise<unknown>]>([
      ['a vector of another length', (c) => c.upsert([point('a', [1, 0])], signal)],
      ['a question of another length', (c) => c.nearest({ vector: [1, 0, 0, 0], limit: 1 }, signal)],
      ['what is no number', (c) => c.upsert([point('a', [1, Number.NaN, 0])], signal)],
      ['infinity', (c) => c.nearest({ vector: [Number.POSITIVE_INFINITY, 0, 0], limit: 1 }, signal)],
      ['what is infinite in 32 bits', (c) => c.upsert([point('a', [1e300, 0, 0])], signal)],
      ['a vector that points nowhere', (c) => c.upsert([point('a', [0, 0, 1e-300])], signal)],
      ['no id', (c) => c.upsert([point('', [1, 0, 0])], signal)],
      ['a very long id', (c) => c.upsert([point('x'.repeat(257), [1, 0, 0])], signal)],
      ['NUL', (c) => c.upsert([point('a\0', [1, 0, 0])], signal)],
      ['NUL in an attribute', (c) => c.upsert([point('a', [1, 0, 0], { text: '\0' })], signal)],
      ['half a character', (c) => c.count({ text: '\ud800' }, signal)],
      ['a very long attribute', (c) => c.upsert([point('a', [1, 0, 0], { text: 'x'.repeat(513) })], signal)],
      ['an attribute that is no number', (c) => c.count({ size: Number.NaN }, signal)],
      ['an odd name of an attribute', (c) => c.count({ 'a.b': 1 }, signal)],
      ['too many texts', (c) => c.count({ who: { in: new Array<string>(10_001).fill('a') } }, signal)],
      ['a text with NUL among several', (c) => c.count({ who: { in: ['a', 'b\0'] } }, signal)],
      ['less than what is no number', (c) => c.count({ size: { below: Number.NaN } }, signal)],
      [
        'too many points',
        (c) =>
          c.upsert(
            Array.from({ length: UPSERT_POINTS_MAX + 1 }, (_, at) => point(`${at}`, [1, 0, 0])),
            signal,
          ),
      ],
      ['too many ids', (c) => c.remove({ ids: Array.from({ length: REMOVED_IDS_MAX + 1 }, String) }, signal)],
      ['none of the nearest', (c) => c.nearest({ vector: [1, 0, 0], limit: 0 }, signal)],
      ['too many of the nearest', (c) => c.nearest({ vector: [1, 0, 0], limit: NEAREST_MAX + 1 }, signal)],
      ['a cosine beyond 1', (c) => c.nearest({ vector: [1, 0, 0], limit: 1, scoreMin: 1.1 }, signal)],
    ])('with what is asked is a RangeError: %s', async (_name, ask) => {
      await expect(ask(store.collection(newSpec()))).rejects.toThrow(RangeError);
      expect(store.trouble).toBeUndefined();
    });

    it.each(['', 'a b', '../x', 'a;b', 'x'.repeat(101)])('with a name is a RangeError: %j', async (name) => {
      expect(() => store.collection({ name, dimension: 3 })).toThrow(RangeError);
      await expect(store.drop(name, signal)).rejects.toThrow(RangeError);
    });

    it.each([0, 1.5, -1, 16_001, Number.NaN])('with a size is a RangeError: %j', (dimension) => {
      expect(() => store.collection({ name: 'test', dimension })).toThrow(RangeError);
    });
  });

  describe('the end', () => {
    it('comes when the signal says so, with its reason', async () => {
      const collection = await newCollection([point('a', [1, 0, 0])]);
      const reason = new Error('changed my mind');
      await expect(collection.count({}, AbortSignal.abort(reason))).rejects.toBe(reason);
      const later = new AbortController();
      const asked = collection.nearest({ vector: [1, 0, 0], limit: 1 }, later.signal);
      later.abort(reason);
      await expect(asked).rejects.toBe(reason);
      expect(await collection.count({}, signal)).toBe(1);
    });

    it('comes to everything once it is closed', async () => {
      const closed = await open();
      await closed.close();
      await expect(closed.collection(newSpec()).count({}, signal)).rejects.toThrow(VectorStoreUnavailable);
      await closed.close();
    });
  });
}
