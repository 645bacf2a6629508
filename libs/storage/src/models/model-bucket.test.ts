import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FolderObjectStore } from '../adapters/folder-object-store.js';
import { ModelBucket } from './model-bucket.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'bucket-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const never = new AbortController().signal;

/** Writes down what it is asked, and how much of that at a time. */
class AskedStore extends FolderObjectStore {
  readonly asked: string[] = [];
  atATime = 0;
  atATimeMax = 0;
  override stat: FolderObjectStore['stat'] = (key, ...rest) => {
    this.asked.push(`stat ${key}`);
    return super.stat(key, ...rest);
  };
  override open: FolderObjectStore['open'] = async (key, ...rest) => {
    this.asked.push(`open ${key}`);
    this.atATimeMax = Math.max(this.atATimeMax, ++this.atATime);
    return super.open(key, ...rest).finally(() => this.atATime--);
  };
}

async function put(objects: FolderObjectStore, id: string, text: string): Promise<void> {
  async function* content() {
    yield Buffer.from(text);
  }
  await objects.put(`${id}/model.json`, content(), never);
}

const entry = (task = 'chat') =>
  JSON.stringify({
    ...{ source: 'hf:a/b/c.gguf@main', path: 'x/c.gguf', digest: 'a'.repeat(64), size: 1, format: 'gguf' },
    ...{ task, added: '2026-01-01T00:00:00Z' },
  });

describe('the models of a bucket', () => {
  it('are read once, a few at a time, and again only where they are others', async () => {
    const objects = new AskedStore(root);
    const bucket = new ModelBucket(objects);
    const ids = Array.from({ length: 30 }, (_, at) => `model-${String(at).padStart(2, '0')}`);
    for (const id of ids) await put(objects, id, entry());
    expect([...(await bucket.models(never)).keys()]).toEqual(ids);
    expect(objects.asked).toHaveLength(30);
    expect(objects.atATimeMax).toBeGreaterThan(1);
    expect(objects.atATimeMax).toBeLessThanOrEqual(8);

    objects.asked.length = 0;
    expect((await bucket.models(never)).size).toBe(30);
    expect(objects.asked).toEqual([]);

    await put(objects, 'model-07', entry('embedding'));
    await objects.remove(['model-08/model.json'], never);
    const models = await bucket.models(never);
    expect(objects.asked).toEqual(['open model-07/model.json']);
    expect(models.get('model-07')).toMatchObject({ task: 'embedding' });
    expect(models.has('model-08')).toBe(false);
  });

  it('that are broken are passed over, read once, and told to who asks for them', async () => {
    const objects = new AskedStore(root);
    const bucket = new ModelBucket(objects);
    await put(objects, 'broken', '{');
    await put(objects, 'whole', entry());
    for (let look = 0; look < 3; look++) expect([...(await bucket.models(never)).keys()]).toEqual(['whole']);
    expect(objects.asked.filter((each) => each === 'open broken/model.json')).toHaveLength(1);
    await expect(bucket.find('broken', never)).rejects.toThrow(/broken\/model.json in the bucket can't be used/);
    await put(objects, 'broken', entry());
    expect(await bucket.find('broken', never)).toMatchObject({ task: 'chat' });
  });
});
