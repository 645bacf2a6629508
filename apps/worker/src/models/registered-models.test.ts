import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@millrace/runtime';
import { FolderObjectStore, ModelBucket, ModelCache, ModelRegistry, ModelStore } from '@millrace/storage';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RegisteredModels } from './registered-models.js';
import { TrialMemory } from './trial-memory.js';

const DEMO = join(import.meta.dirname, '../../../../models/millrace-demo.gguf');
const never = new AbortController().signal;
const nothing = () => {};
const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });

let root: string;
let store: ModelStore;
let models: RegisteredModels;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'registered-')));
  const bucket = new ModelBucket(new FolderObjectStore(join(root, 'bucket')));
  const sources = { mayAsk: () => true, silenceMsMax: 5_000, hubUrl: '', hubToken: undefined, openBucket: undefined };
  store = new ModelStore({ folder: join(root, 'models'), bucket, sources });
  const cache = new ModelCache(bucket, { folder: join(root, 'cache/models'), bytesMax: 1e9 });
  models = new RegisteredModels(
    {
      registry: new ModelRegistry(join(root, 'models')),
      bucket: { models: bucket, cache },
      digests: new TrialMemory(join(root, 'cache'), logger),
      refreshMs: 20,
    },
    logger,
  );
});
afterEach(() => {
  models.close();
  rmSync(root, { recursive: true, force: true });
});

const add = (id: string, copy = true) => store.add(DEMO, { id, copy, allowPaths: true }, nothing, never);

describe('models of the registry and the bucket', () => {
  it('are found where they are, the registry’s first', async () => {
    await add('a');
    await store.push('a', nothing, never);
    await add('b');
    await store.push('b', nothing, never);
    await store.remove('b', { fromBucket: false }, never);
    expect(await models.look()).toBe(true);
    expect([...models.listed].map(([id, { isHere }]) => `${id} ${isHere}`)).toEqual(['a true', 'b false']);
    expect(models.sentence).toBe('The registry has 1 model, and the bucket 1 more.');
    expect(await models.look()).toBe(false);
  });

  it('are noticed as they come and go', async () => {
    await models.look();
    let changes = 0;
    models.watch(() => changes++);
    await add('a');
    await expect.poll(() => changes).toBe(1);
    await store.remove('a', { fromBucket: false }, never);
    await expect.poll(() => changes).toBe(2);
  });

  it('stay as they were while the registry is broken', async () => {
    await add('a');
    await models.look();
    const path = join(root, 'models/registry.json');
    const text = readFileSync(path);
    writeFileSync(path, '{');
    expect(await models.look()).toBe(false);
    expect([...models.listed.keys()]).toEqual(['a']);
    expect(models.trouble).toMatch(/registry.json can't be used: it is no JSON/);
    writeFileSync(path, text);
    await models.look();
    expect(models.trouble).toBeUndefined();
  });

  it('are brought from the bucket, and from the disk', async () => {
    await add('a');
    await store.push('a', nothing, never);
    await models.look();
    using here = await models.bring('a', nothing, never);
    expect(here.path).toBe(join(root, 'models/a/millrace-demo.gguf'));
    await store.remove('a', { fromBucket: false }, never);
    await models.look();
    const told: string[] = [];
    using fetched = await models.bring('a', (sentence) => told.push(sentence), never);
    expect(fetched.path).toMatch(/cache\/models\/a@8d50b2c1794a52bd\/millrace-demo.gguf$/);
    expect(told.some((sentence) => /is being fetched from the bucket: \d+ %/.test(sentence))).toBe(true);
    await expect(models.bring('none', nothing, never)).rejects.toThrow(/is in the registry no more/);
  });
});

describe('a model of the registry', () => {
  it('is refused where its file was changed since it was added, and says both digests', async () => {
    mkdirSync(join(root, 'own'));
    const path = join(root, 'own/model.gguf');
    copyFileSync(DEMO, path);
    await store.add(path, { id: 'own', allowPaths: true }, nothing, never);
    await models.look();
    (await models.bring('own', nothing, never))[Symbol.dispose]();
    const content = readFileSync(path);
    content[content.length - 1]! ^= 1;
    writeFileSync(path, content);
    await expect(models.bring('own', nothing, never)).rejects.toThrow(
      /has the digest [0-9a-f]{64}, and the registry says 8d50.*--replace/,
    );
    await store.add(path, { id: 'own', replace: true, allowPaths: true }, nothing, never);
    await models.look();
    using _again = await models.bring('own', nothing, never);
    rmSync(path);
    await expect(models.bring('own', nothing, never)).rejects.toThrow(/can't be read \(ENOENT\)/);
  });
});
