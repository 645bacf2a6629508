import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  LISTED_KEYS_MAX,
  type ObjectStore,
  ObjectStoreUnavailable,
  ObjectTooLarge,
  REMOVED_KEYS_MAX,
} from './object-store.js';

const NEVER = new AbortController().signal;
const MIB = 1024 * 1024;

/** What a server may be known to do wrong, though we do it right: nobody should be shown to keep such a promise by it. */
export type ServerFault = 'mixes puts' | 'ranges' | 'order of keys';

/**
 * What every adapter of `ObjectStore` promises.
 *
 * @param open an empty store, with nobody else's files in it.
 * @param faults of the server that it is tried with. What it can't show is left out; whoever starts it says so.
 */
export function objectStoreContract(
  open: () => Promise<ObjectStore>,
  faults: ReadonlySet<ServerFault> = new Set(),
): void {
  const unless = (fault: ServerFault, test: () => void) => {
    if (!faults.has(fault)) test();
  };
  let store: ObjectStore;
  beforeEach(async () => {
    store = await open();
  });
  afterEach(() => store.close());

  const put = (key: string, text: string) => store.put(key, piecesOf(text), NEVER);
  const read = async (key: string, range?: { from: number; bytes?: number }) => {
    const object = await store.open(key, NEVER, range);
    if (object === undefined) return undefined;
    await using _open = object;
    return (await all(object.content)).toString();
  };
  const keys = async (prefix: string, after?: string, limit = LISTED_KEYS_MAX) =>
    (await store.list(prefix, { after, limit }, NEVER)).map(({ key }) => key);

  describe('what is put', () => {
    it.each([0, 1, 100_000, 8 * MIB, 8 * MIB + 1, 20 * MIB])('comes back as it was: %i bytes', async (bytes) => {
      const content = noise(bytes);
      const told = await store.put('files/a.bin', inPieces(content, 65_537), NEVER);
      expect(told).toEqual({ bytes, sha256: createHash('sha256').update(content).digest('hex') });
      await using object = (await store.open('files/a.bin', NEVER))!;
      expect(object.bytes).toBe(bytes);
      expect((await all(object.content)).equals(content)).toBe(true);
    });

    it('takes the place of what was there, and has another version', async () => {
      await put('a', 'one');
      const before = (await store.stat('a', NEVER))!;
      await put('a', 'another');
      const now = (await store.stat('a', NEVER))!;
      expect(await read('a')).toBe('another');
      expect(now).toMatchObject({ key: 'a', bytes: 7 });
      expect(now.version).not.toBe(before.version);
      expect(Math.abs(now.modifiedMs - Date.now())).toBeLessThan(60_000);
    });

    it('is not there before it is whole, and what was there before can be read until then', async () => {
      await put('a', 'before');
      const { promise: gate, resolve } = Promise.withResolvers<void>();
      async function* slowly() {
        yield Buffer.from('after');
        await gate;
        yield Buffer.from('wards');
      }
      const putting = store.put('a', slowly(), NEVER);
      const first = store.put('b', slowly(), NEVER);
      await new Promise((wake) => setTimeout(wake, 50));
      expect(await read('a')).toBe('before');
      expect(await store.stat('b', NEVER)).toBeUndefined();
      expect(await keys('')).toEqual(['a']);
      resolve();
      await Promise.all([putting, first]);
      expect(await read('a')).toBe('afterwards');
      expect(await keys('')).toEqual(['a', 'b']);
    });

    unless('mixes puts', () =>
      it('is one of both, whole, where two are put under one key at a time', async () => {
        const contents = [noise(9 * MIB), noise(9 * MIB)] as const;
        await Promise.all(contents.map((content) => store.put('a', inPieces(content, 100_000), NEVER)));
        await using object = (await store.open('a', NEVER))!;
        const got = await all(object.content);
        expect(contents.some((content) => content.equals(got))).toBe(true);
      }),
    );

    it('is a copy: who goes on writing into the memory that it gave changes nothing', async () => {
      async function* overwritten() {
        const memory = Buffer.from('aaaa');
        yield memory;
        memory.fill('b');
        yield memory;
      }
      await store.put('a', overwritten(), NEVER);
      expect(await read('a')).toBe('aaaabbbb');
    });
  });

  describe('what can not be put whole', () => {
    it.each([1, 9 * MIB])('leaves what was there, and nothing else: its source fails after %i bytes', async (bytes) => {
      await put('a', 'before');
      async function* failing() {
        yield* inPieces(noise(bytes), 100_000);
        throw new Error('the client left');
      }
      await expect(store.put('a', failing(), NEVER)).rejects.toThrow('the client left');
      await expect(store.put('b', failing(), NEVER)).rejects.toThrow('the client left');
      expect(await read('a')).toBe('before');
      expect(await keys('')).toEqual(['a']);
      expect(store.trouble).toBeUndefined();
    });

    it.each([
      Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' }),
      new ObjectStoreUnavailable('the other store is away'),
    ])('is no trouble of the store: %s', async (failure) => {
      async function* failing(): AsyncGenerator<Uint8Array> {
        yield noise(10);
        throw failure;
      }
      await expect(store.put('a', failing(), NEVER)).rejects.toBe(failure);
      expect(store.trouble).toBeUndefined();
    });

    it('is refused as soon as it is too large, with both numbers, and not one byte before', async () => {
      let taken = 0;
      async function* endless() {
        for (;;) {
          taken++;
          yield noise(1_000);
        }
      }
      const tooLarge = store.put('a', endless(), NEVER, { bytesMax: 10_500 });
      await expect(tooLarge).rejects.toThrow(ObjectTooLarge);
      await expect(tooLarge).rejects.toMatchObject({ bytes: 11_000, bytesMax: 10_500 });
      expect(taken).toBe(11);
      expect(await store.stat('a', NEVER)).toBeUndefined();
      await store.put('a', inPieces(noise(10_500), 1_000), NEVER, { bytesMax: 10_500 });
      expect(await store.stat('a', NEVER)).toMatchObject({ bytes: 10_500 });
    });

    it.each([0, 9 * MIB])(
      'is given up at once when nobody wants it: after %i bytes nothing more comes',
      async (bytes) => {
        const leaving = new AbortController();
        const { promise: gate, resolve: goOn } = Promise.withResolvers<void>();
        let returned = false;
        async function* stuck() {
          try {
            yield* inPieces(noise(bytes), 100_000);
            setTimeout(() => leaving.abort(new Error('left')), 20);
            await gate;
          } finally {
            returned = true;
          }
        }
        await expect(store.put('a', stuck(), leaving.signal)).rejects.toThrow('left');
        expect(returned).toBe(false);
        expect(await keys('')).toEqual([]);
        goOn();
        await expect.poll(() => returned, { timeout: 5_000 }).toBe(true);
      },
    );
  });

  describe('what is not there', () => {
    it('is undefined', async () => {
      await put('files/a', 'x');
      for (const key of ['b', 'files', 'files/b', 'files/a.x']) {
        expect(await store.stat(key, NEVER)).toBeUndefined();
        expect(await store.open(key, NEVER)).toBeUndefined();
      }
      expect(await keys('b')).toEqual([]);
    });

    it('is gone when it was removed, and may be removed again', async () => {
      for (const key of ['a', 'files/a', 'files/b']) await put(key, key);
      await store.remove(['files/a', 'a', 'never'], NEVER);
      expect(await keys('')).toEqual(['files/b']);
      await store.remove(['files/a', 'files/b'], NEVER);
      expect(await keys('')).toEqual([]);
      await store.remove([], NEVER);
      // A folder that became empty is in nobody's way.
      await put('files', 'x');
      expect(await read('files')).toBe('x');
    });

    it('can be read to its end by whoever has it open, or is said to be broken off', async () => {
      const content = noise(5 * MIB);
      await store.put('a', inPieces(content, 100_000), NEVER);
      await using object = (await store.open('a', NEVER))!;
      await store.remove(['a'], NEVER);
      const got = await all(object.content).catch((error: unknown) => error);
      if (got instanceof Error) expect(got).toBeInstanceOf(ObjectStoreUnavailable);
      else expect((got as Buffer).equals(content)).toBe(true);
    });
  });

  describe('a part of it', () => {
    unless('ranges', () => {
      it.each([
        [{ from: 0 }, '0123456789'],
        [{ from: 0, bytes: 1 }, '0'],
        [{ from: 3, bytes: 4 }, '3456'],
        [{ from: 7 }, '789'],
        [{ from: 7, bytes: 100 }, '789'],
        [{ from: 9, bytes: 1 }, '9'],
        [{ from: 10 }, ''],
        [{ from: 1_000, bytes: 5 }, ''],
      ])('%o is %s', async (range, expected) => {
        await put('a', '0123456789');
        expect(await read('a', range)).toBe(expected);
        await using object = (await store.open('a', NEVER, range))!;
        expect(object.bytes).toBe(10);
        expect(object.version).toBe((await store.stat('a', NEVER))!.version);
      });

      it('of an empty file is empty', async () => {
        await put('a', '');
        expect(await read('a', { from: 0, bytes: 5 })).toBe('');
        expect(await read('a', { from: 5 })).toBe('');
      });
    });

    it('has to be one', async () => {
      for (const range of [{ from: -1 }, { from: 0.5 }, { from: 0, bytes: 0 }, { from: 0, bytes: -5 }])
        await expect(store.open('a', NEVER, range)).rejects.toThrow(RangeError);
    });

    it('may be all that is read of it: whoever has enough leaves the rest', async () => {
      await store.put('a', inPieces(noise(9 * MIB), 100_000), NEVER);
      for (let round = 0; round < 40; round++) {
        await using object = (await store.open('a', NEVER))!;
        for await (const piece of object.content) if (piece.byteLength > 0) break;
      }
      // Nor need any be read.
      for (let round = 0; round < 40; round++) {
        await using _object = (await store.open('a', NEVER))!;
      }
      expect(await store.stat('a', NEVER)).toMatchObject({ bytes: 9 * MIB });
    });

    it('does not come when nobody wants it any more by then', async () => {
      await put('a', 'x');
      const leaving = new AbortController();
      await using object = (await store.open('a', leaving.signal))!;
      leaving.abort(new Error('left'));
      await expect(all(object.content)).rejects.toThrow('left');
    });

    it('is in nobody’s way, however many leave it unread', async () => {
      await store.put('a', inPieces(noise(9 * MIB), 100_000), NEVER);
      const unread = await Promise.all(Array.from({ length: 60 }, () => store.open('a', NEVER)));
      await put('b', 'x');
      expect(await read('b')).toBe('x');
      for (const object of unread) await object![Symbol.asyncDispose]();
    });

    it('ends when nobody wants more', async () => {
      await store.put('a', inPieces(noise(9 * MIB), 100_000), NEVER);
      const leaving = new AbortController();
      await using object = (await store.open('a', leaving.signal))!;
      const reading = (async () => {
        for await (const _piece of object.content) leaving.abort(new Error('left'));
      })();
      await expect(reading).rejects.toThrow('left');
    });
  });

  describe('a list', () => {
    const SOME = ['a', 'a-b', 'a.b', 'a/b', 'a/b.c', 'a/c/d', 'a0', 'b/x=1', 'b/x_1', 'b/x-1'];

    unless('order of keys', () => {
      it('is in the order of the keys, page by page, and knows of each what it is', async () => {
        const some = SOME.filter((key) => key !== 'a');
        for (const key of some.toReversed()) await put(key, key);
        const sorted = some.toSorted();
        expect(await keys('')).toEqual(sorted);
        for (const limit of [1, 2, 3]) {
          const paged: string[] = [];
          for (let page = await keys('', undefined, limit); page.length > 0; page = await keys('', paged.at(-1), limit))
            paged.push(...page);
          expect(paged).toEqual(sorted);
        }
        for (const info of await store.list('', { limit: 100 }, NEVER))
          expect(await store.stat(info.key, NEVER)).toMatchObject({ bytes: info.key.length, version: info.version });
      });
    });

    it.each([
      ['a/', ['a/b', 'a/b.c', 'a/c/d']],
      ['a/b', ['a/b', 'a/b.c']],
      ['a/c/', ['a/c/d']],
      ['b/x', ['b/x-1', 'b/x=1', 'b/x_1']],
      ['c', []],
    ])('of what begins with %s', async (prefix, expected) => {
      for (const key of SOME.filter((one) => one !== 'a')) await put(key, 'x');
      expect(await keys(prefix)).toEqual(expected);
      expect(await keys(prefix, expected[0])).toEqual(expected.slice(1));
    });

    it('goes on behind a key that is gone', async () => {
      for (const key of ['a/1', 'a/2', 'a/3']) await put(key, 'x');
      expect(await keys('a/', 'a/2x')).toEqual(['a/3']);
      expect(await keys('', 'a')).toEqual(['a/1', 'a/2', 'a/3']);
    });

    it('knows names that look like numbers as they are', async () => {
      const some = ['0', '007', '0x10', '1.0', '1.10', '1e3'];
      for (const key of some) await put(key, key);
      expect(await keys('')).toEqual(some);
      expect(await keys('', '007', 1)).toEqual(['0x10']);
    });

    it('has a limit', async () => {
      for (const limit of [0, -1, 1.5, LISTED_KEYS_MAX + 1])
        await expect(store.list('', { limit }, NEVER)).rejects.toThrow(RangeError);
    });
  });

  it.each([
    '',
    '.',
    '..',
    '../a',
    'a/../b',
    'a/..',
    '/a',
    '/etc/passwd',
    'a//b',
    'a/',
    '.a',
    'a/.b',
    'a\\b',
    'a\0b',
    'a b',
    'a+b',
    'ä',
    'a\n',
    '%2e%2e/a',
    'x'.repeat(201),
    'x/'.repeat(300),
  ])('takes no key that could leave it or hide in it: %j', async (key) => {
    await expect(store.put(key, piecesOf('x'), NEVER)).rejects.toThrow(RangeError);
    await expect(store.open(key, NEVER)).rejects.toThrow(RangeError);
    await expect(store.stat(key, NEVER)).rejects.toThrow(RangeError);
    await expect(store.remove([key], NEVER)).rejects.toThrow(RangeError);
    await expect(store.list('', { after: key, limit: 1 }, NEVER)).rejects.toThrow(RangeError);
  });

  it('removes no more at a time than it says', async () => {
    const many = Array.from({ length: REMOVED_KEYS_MAX + 1 }, (_, index) => `a/${index}`);
    await expect(store.remove(many, NEVER)).rejects.toThrow(RangeError);
    await store.remove(many.slice(1), NEVER);
  });

  it('asks nobody for what nobody waits for any more', async () => {
    const left = AbortSignal.abort(new Error('left'));
    await expect(store.put('a', piecesOf('x'), left)).rejects.toThrow('left');
    await expect(store.open('a', left)).rejects.toThrow('left');
    await expect(store.stat('a', left)).rejects.toThrow('left');
    await expect(store.remove(['a'], left)).rejects.toThrow('left');
    await expect(store.list('', { limit: 1 }, left)).rejects.toThrow('left');
    expect(await store.stat('a', NEVER)).toBeUndefined();
  });

  it('is away once it is closed, and ends what was running', async () => {
    await put('a', 'x');
    async function* endless() {
      for (;;) {
        yield noise(10);
        await new Promise((wake) => setTimeout(wake, 10));
      }
    }
    const putting = store.put('b', endless(), NEVER);
    putting.catch(() => {});
    await new Promise((wake) => setTimeout(wake, 30));
    let ended = false;
    void putting.catch(() => {
      ended = true;
    });
    await store.close();
    expect(ended).toBe(true);
    await expect(putting).rejects.toThrow(ObjectStoreUnavailable);
    await expect(store.stat('a', NEVER)).rejects.toThrow(ObjectStoreUnavailable);
    await expect(store.put('a', piecesOf('x'), NEVER)).rejects.toThrow(ObjectStoreUnavailable);
    await store.close();
  });
}

async function* piecesOf(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

async function* inPieces(content: Buffer, bytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += bytes) yield content.subarray(at, at + bytes);
}

async function all(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of content) pieces.push(piece);
  return Buffer.concat(pieces);
}

let seed = 1;
/** Bytes that are not the same twice, and quickly made. */
function noise(bytes: number): Buffer {
  const block = createHash('sha512').update(String(seed++)).digest();
  return Buffer.alloc(bytes, block);
}
