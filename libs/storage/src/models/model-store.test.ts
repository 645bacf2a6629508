import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FolderObjectStore } from '../adapters/folder-object-store.js';
import { ObjectStoreUnavailable } from '../object-store.js';
import { ModelBucket } from './model-bucket.js';
import { type AddTerms, ModelStore } from './model-store.js';
import { isPublicAddress } from './sources/public-address.js';

const DEMO = join(import.meta.dirname, '../../../../models/millrace-demo.gguf');
const EMBED = join(import.meta.dirname, '../../../../models/millrace-demo-embed.gguf');
const DEMO_DIGEST = '8d50b2c1794a52bd2893075d21579603cc2c895160bb2a161bbf56c2c3a1b2ed';

let root: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'models-')));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const never = new AbortController().signal;
const HERE: AddTerms = { allowPaths: true };
const sources = {
  ...{ mayAsk: isPublicAddress, silenceMsMax: 5_000, hubUrl: 'https://huggingface.co' },
  ...{ hubToken: undefined, openBucket: undefined },
};

function openStore(machine = 'one', { bucket = false, freeBytes = async () => 1e12 } = {}): ModelStore {
  const folder = join(root, machine);
  return new ModelStore({
    ...{ folder, sources, freeBytes },
    bucket: bucket ? new ModelBucket(new FolderObjectStore(join(root, 'bucket'))) : undefined,
  });
}

const add = (store: ModelStore, source = DEMO, terms: Partial<AddTerms> = {}) =>
  store.add(source, { ...HERE, ...terms }, () => {}, never);

describe('models of this machine', () => {
  it('are registered where they lie, with what their file says of itself', async () => {
    const store = openStore();
    expect(await add(store, DEMO, { id: 'demo' })).toMatchObject({ id: 'demo', where: 'here' });
    const written = JSON.parse(readFileSync(join(root, 'one/registry.json'), 'utf8'));
    expect(written).toEqual({
      version: 1,
      models: {
        demo: {
          ...{ source: DEMO, path: DEMO, digest: DEMO_DIGEST, size: 5_281_824, format: 'gguf', task: 'chat' },
          ...{ template: null, quantisation: 'F16', licence: 'apache-2.0', added: expect.any(String) },
        },
      },
    });
    expect(await openStore().find('demo', never)).toMatchObject({ entry: { digest: DEMO_DIGEST } });
    await store.remove('demo', { fromBucket: false }, never);
    expect(existsSync(DEMO)).toBe(true);
    await expect(store.find('demo', never)).rejects.toThrow(/The model demo is not in the registry.*models list/);
  });

  it('are copied where that is wanted, and the copy goes with the entry', async () => {
    const store = openStore();
    const { id, entry } = await add(store, EMBED, { copy: true });
    expect({ id, entry }).toMatchObject({
      id: 'millrace-demo-embed',
      entry: { task: 'embedding', path: 'millrace-demo-embed/millrace-demo-embed.gguf' },
    });
    expect(readFileSync(store.registry.pathOf(entry)).equals(readFileSync(EMBED))).toBe(true);
    await store.remove(id, { fromBucket: false }, never);
    expect(existsSync(join(root, 'one', id))).toBe(false);
  });

  it.each([
    '../../etc/passwd',
    '/etc/passwd',
    '.hidden',
    'a/b',
    'a..b',
    '',
    'a b',
    'x'.repeat(101),
    'registry.json',
    '__proto__',
    'a.',
  ])('are never called %j', async (id) => {
    const store = openStore();
    await expect(add(store, DEMO, { id })).rejects.toThrow(/can't be the id of a model: it takes up to 100 letters/);
    await expect(store.find(id, never)).rejects.toThrow(/can't be the id/);
    await expect(store.remove(id, { fromBucket: true }, never)).rejects.toThrow(/can't be the id/);
    expect(existsSync(join(root, 'one'))).toBe(false);
  });

  it('have ids of their own, also where a file system takes two for the same', async () => {
    const store = openStore();
    await add(store, DEMO, { id: 'demo' });
    await expect(add(store, EMBED, { id: 'demo' })).rejects.toThrow(/There is a model demo in the registry already/);
    await expect(add(store, EMBED, { id: 'DEMO' })).rejects.toThrow(/There is a model demo.*take them for the same/);
    expect(await add(store, EMBED, { id: 'demo', replace: true })).toMatchObject({ entry: { task: 'embedding' } });
  });

  it('are replaced by others with nothing left behind, whatever their files are called', async () => {
    const store = openStore();
    mkdirSync(join(root, 'new'));
    copyFileSync(EMBED, join(root, 'new/millrace-demo.gguf'));
    const paths: string[] = [];
    for (const source of [DEMO, join(root, 'new/millrace-demo.gguf'), EMBED, DEMO]) {
      const { entry } = await add(store, source, { id: 'demo', copy: true, replace: true });
      paths.push(store.registry.pathOf(entry));
      expect(await store.verify('demo', () => {}, never)).toEqual([]);
      expect(paths.filter((path) => existsSync(path))).toEqual([paths.at(-1)]);
    }
    await store.remove('demo', { fromBucket: false }, never);
    expect(existsSync(join(root, 'one/demo'))).toBe(false);
  });

  it('are whole where another was to take their place and was not registered', async () => {
    const store = openStore();
    await add(store, DEMO, { id: 'demo', copy: true });
    mkdirSync(join(root, 'new'));
    copyFileSync(EMBED, join(root, 'new/millrace-demo.gguf'));
    // As where it is killed after its files were moved.
    store.registry.add = async () => {
      throw new Error('killed');
    };
    const replaced = add(store, join(root, 'new/millrace-demo.gguf'), { id: 'demo', copy: true, replace: true });
    await expect(replaced).rejects.toThrow('killed');
    expect(await openStore().verify('demo', () => {}, never)).toEqual([]);
  });

  it('stay where they are when others replace them, if they were added where they lay', async () => {
    const store = openStore();
    mkdirSync(join(root, 'one/demo'), { recursive: true });
    const own = join(root, 'one/demo/own.gguf');
    copyFileSync(DEMO, own);
    await add(store, own, { id: 'demo' });
    await add(store, EMBED, { id: 'demo', copy: true, replace: true });
    expect(existsSync(own)).toBe(true);
    expect(await store.verify('demo', () => {}, never)).toEqual([]);
  });

  it('are refused where they are no model, or not the one that was meant', async () => {
    const store = openStore();
    const text = join(root, 'notes.gguf');
    writeFileSync(text, 'These are notes, and no model at all.');
    await expect(add(store, text)).rejects.toThrow(/is no GGUF file that can be run/);
    await expect(add(store, join(root, 'absent.gguf'))).rejects.toThrow(/can't be read \(ENOENT\)/);
    await expect(add(store, DEMO, { sha256: 'a'.repeat(64) })).rejects.toThrow(
      `has the digest ${DEMO_DIGEST}, and should have aaa`,
    );
    mkdirSync(join(root, 'trained'));
    writeFileSync(join(root, 'trained/model.safetensors'), 'x');
    await expect(add(store, join(root, 'trained'))).rejects.toThrow(/millrace models convert/);
    await expect(add(store, DEMO, { allowPaths: false })).rejects.toThrow(/is a path, and a gateway adds no files/);
    expect((await store.registry.models()).size).toBe(0);
  });

  it('of OpenVINO are folders, known by the digest of all their files', async () => {
    const folder = join(root, 'ov');
    mkdirSync(join(folder, 'sub'), { recursive: true });
    for (const name of ['openvino_model.xml', 'openvino_model.bin', 'sub/config.json', '.cache'])
      writeFileSync(join(folder, name), name);
    const store = openStore();
    const { entry } = await add(store, folder, { copy: true, id: 'ov' });
    expect(entry).toMatchObject({ format: 'openvino', path: 'ov', size: 51 });
    expect(entry.files!.map(({ path }) => path)).toEqual([
      'openvino_model.bin',
      'openvino_model.xml',
      'sub/config.json',
    ]);
    expect(await store.verify('ov', () => {}, never)).toEqual([]);
    writeFileSync(join(root, 'one/ov/sub/config.json'), 'other');
    expect(await store.verify('ov', () => {}, never)).toEqual([
      expect.stringMatching(/sub\/config.json has the digest/),
    ]);
  });

  it('are seen to be changed, cut short or gone', async () => {
    const store = openStore();
    const { entry } = await add(store, DEMO, { copy: true, id: 'demo' });
    const path = store.registry.pathOf(entry);
    expect(await store.verify('demo', () => {}, never)).toEqual([]);
    truncateSync(path, 1_000_000);
    expect(await store.verify('demo', () => {}, never)).toEqual([
      expect.stringContaining(`the registry says ${DEMO_DIGEST}`),
    ]);
    rmSync(path);
    expect(await store.verify('demo', () => {}, never)).toEqual([expect.stringMatching(/can't be read/)]);
  });

  it('say nothing to a terminal, and nothing that the registry could not read again', async () => {
    const store = openStore();
    const { entry } = await add(store, DEMO, { id: 'demo', licence: 'mit\x1b]0;owned\x07\u202e' });
    expect(entry.licence).toBe('mit�]0;owned��');
    await expect(add(store, DEMO, { id: 'long', licence: 'x'.repeat(501) })).rejects.toThrow(/licence: .*--licence/);
    const path = join(root, 'one/registry.json');
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll('�', '\\u001b'));
    expect((await openStore().find('demo', never)).entry.licence).toBe('mit�]0;owned��');
  });

  it('are not copied where the disk has no room for them, and nothing is left behind', async () => {
    const store = openStore('one', { freeBytes: async () => 60_000_000 });
    await expect(add(store, DEMO, { copy: true, id: 'demo' })).rejects.toThrow(
      /needs 6 MB more, and .* has 60 MB free, of which 68 MB stay/,
    );
    expect(existsSync(join(root, 'one/demo/millrace-demo.gguf'))).toBe(false);
    expect((await store.registry.models()).size).toBe(0);
  });
});

describe('models of this machine while the bucket is away', () => {
  const openAway = () => {
    const objects = new FolderObjectStore(join(root, 'bucket'));
    const away = async () => {
      throw new ObjectStoreUnavailable('The bucket is away.');
    };
    Object.assign(objects, { stat: away, list: away, open: away });
    return new ModelStore({ folder: join(root, 'one'), sources, bucket: new ModelBucket(objects) });
  };

  it('are listed with what keeps those of the bucket, found, verified and removed', async () => {
    const store = openAway();
    await add(store, DEMO, { id: 'demo' });
    expect(await store.models(never)).toMatchObject({
      models: [{ id: 'demo', where: 'here' }],
      trouble: 'The bucket is away.',
    });
    expect(await store.find('demo', never)).toMatchObject({ id: 'demo', where: 'here' });
    expect(await store.verify('demo', () => {}, never)).toEqual([]);
    expect(await store.remove('demo', { fromBucket: false }, never)).toBe(true);
    await expect(store.find('demo', never)).rejects.toMatchObject({ kind: 'unavailable' });
  });
});

describe('models of a bucket', () => {
  it('are pushed from one machine and pulled to another', async () => {
    const [one, two] = [openStore('one', { bucket: true }), openStore('two', { bucket: true })];
    await add(one, DEMO, { id: 'demo' });
    await one.push('demo', () => {}, never);
    expect(await two.find('demo', never)).toMatchObject({ where: 'bucket' });
    const pulled = await two.pull('demo', { replace: false }, () => {}, never);
    expect(pulled.entry).toMatchObject({ path: 'demo/millrace-demo.gguf', digest: DEMO_DIGEST });
    expect(readFileSync(two.registry.pathOf(pulled.entry)).equals(readFileSync(DEMO))).toBe(true);
    expect(await two.models(never)).toMatchObject({ models: [{ id: 'demo', where: 'both' }], trouble: undefined });
    await two.remove('demo', { fromBucket: true }, never);
    await expect(two.find('demo', never)).rejects.toThrow(/neither in the registry nor in the bucket/);
  });

  it('are sent there once they are added, and not even added where there is none', async () => {
    const [one, alone] = [openStore('one', { bucket: true }), openStore('alone')];
    expect(await add(one, DEMO, { id: 'demo', push: true })).toMatchObject({ where: 'both' });
    expect(await one.find('demo', never)).toMatchObject({ where: 'both' });
    await expect(add(alone, DEMO, { id: 'demo', push: true })).rejects.toThrow(/There is no bucket .* Set s3Url/);
    expect((await alone.registry.models()).size).toBe(0);
  });

  it('take the place of what was there under their id, and the other machine is asked before it has them', async () => {
    const [one, two] = [openStore('one', { bucket: true }), openStore('two', { bucket: true })];
    await add(one, DEMO, { id: 'demo' });
    await one.push('demo', () => {}, never);
    await two.pull('demo', { replace: false }, () => {}, never);
    await add(one, EMBED, { id: 'demo', replace: true });
    await one.push('demo', () => {}, never);
    await expect(two.pull('demo', { replace: false }, () => {}, never)).rejects.toThrow(
      /another model demo, of the digest 8d50.*--replace/,
    );
    expect(await two.pull('demo', { replace: true }, () => {}, never)).toMatchObject({ entry: { task: 'embedding' } });
    expect(await two.verify('demo', () => {}, never)).toEqual([]);
    expect(existsSync(join(root, 'two/demo/millrace-demo.gguf'))).toBe(false);
    // What it replaced is gone from the bucket.
    const store = new FolderObjectStore(join(root, 'bucket'));
    expect((await store.list('', { limit: 10 }, never)).map(({ key }) => key)).toEqual([
      expect.stringMatching(/^demo\/d545ef46930f3f4f\//),
      'demo/model.json',
    ]);
  });

  it('are not sent where the file was changed since it was added', async () => {
    const one = openStore('one', { bucket: true });
    const copy = join(root, 'own.gguf');
    copyFileSync(DEMO, copy);
    await add(one, copy, { id: 'demo' });
    const content = readFileSync(copy);
    content[content.length - 1]! ^= 1;
    writeFileSync(copy, content);
    await expect(one.push('demo', () => {}, never)).rejects.toThrow(/was changed since it was added/);
    expect(await one.bucket!.find('demo', never)).toBeUndefined();
  });

  it('that were damaged there are refused, and not kept', async () => {
    const [one, two] = [openStore('one', { bucket: true }), openStore('two', { bucket: true })];
    await add(one, DEMO, { id: 'demo' });
    await one.push('demo', () => {}, never);
    const path = join(root, 'bucket/demo/8d50b2c1794a52bd/millrace-demo.gguf');
    const content = readFileSync(path);
    content[2_000_000]! ^= 1;
    writeFileSync(path, content);
    await expect(two.pull('demo', { replace: false }, () => {}, never)).rejects.toThrow(
      /has the digest .* and should have 8d50/,
    );
    expect(existsSync(join(root, 'two/demo/millrace-demo.gguf'))).toBe(false);
    expect((await two.registry.models()).size).toBe(0);
  });

  it('whose entry leads out of its folder are refused', async () => {
    const [one, two] = [openStore('one', { bucket: true }), openStore('two', { bucket: true })];
    await add(one, DEMO, { id: 'demo' });
    await one.push('demo', () => {}, never);
    const path = join(root, 'bucket/demo/model.json');
    const entry = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(
      path,
      JSON.stringify({ ...entry, files: [{ path: '../../../etc/cron.d/x', bytes: 1, sha256: 'a'.repeat(64) }] }),
    );
    await expect(two.pull('demo', { replace: false }, () => {}, never)).rejects.toThrow(
      /demo\/model.json in the bucket can't be used: files.0.path/,
    );
    writeFileSync(path, JSON.stringify({ ...entry, path: '..' }));
    await expect(two.pull('demo', { replace: false }, () => {}, never)).rejects.toThrow(/path leads to "..?"/);
    // The others are listed all the same.
    writeFileSync(path, '{');
    expect(await two.models(never)).toEqual({ models: [], trouble: undefined });
  });
});
