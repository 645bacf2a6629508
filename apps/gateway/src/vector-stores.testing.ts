import type { Settings } from '@millrace/contracts';
import type { EmbedRequest } from '@millrace/contracts/protocol';
import type { ObjectStore } from '@millrace/storage';
import OpenAI, { toFile } from 'openai';
import { expect } from 'vitest';
import type { FakeWorkerOptions } from './dispatch/fake-worker.testing.js';
import { FakeWorker } from './dispatch/fake-worker.testing.js';
import { filesOn } from './files/files.testing.js';
import { settingsWith, TestBed } from './gateway.testing.js';
import { EVERYBODY } from './keys/authenticator.js';
import type { Parts } from './open-parts.js';
import type { SqlDatabase } from './stores/sql-database.js';
import type { VectorStore } from './stores/vector-store.js';
import { vectorStoreTables } from './vector-stores/vector-store-tables.js';
import { ANYONE } from './vocabulary.js';

export const VECTORS = { id: 'vectors', capabilities: ['embedding'], embeddingLength: 8, contextLength: 512 };

/** Whoever calls is the key that they send; `any`, which the client sends by itself, is nobody in particular. */
const byName = {
  ...EVERYBODY,
  callerOfKey: async (keyId: string) => (keyId === 'revoked' ? undefined : { ...ANYONE, keyId, keyName: keyId }),
  authenticate: (presented = 'any') =>
    presented === 'any' ? ANYONE : { ...ANYONE, keyId: presented, keyName: presented },
};

export interface StoreBed {
  readonly database: SqlDatabase;
  readonly objects: ObjectStore;
  readonly vectors: VectorStore;
}

/** A gateway on these stores, with workers whose vectors depend on the text alone. */
export function vectorStoreBed(
  { database, objects, vectors }: StoreBed,
  settings: Partial<Settings> = {},
  workers: readonly (FakeWorkerOptions | FakeWorker)[] = [{}],
  leaseMs?: number,
  parts: Partial<Parts> = {},
): Promise<TestBed> {
  const all = settingsWith(settings);
  return TestBed.start(
    settings,
    workers.map((one) => (one instanceof FakeWorker ? one : { models: [VECTORS], ...one })),
    workers.length > 0,
    '127.0.0.1',
    {
      authenticator: byName,
      objects,
      vectors,
      files: filesOn(database, objects, all),
      vectorTables: vectorStoreTables(database, all, leaseMs),
      ...parts,
    },
  );
}

export async function upload(client: OpenAI, name: string, content: string | Uint8Array): Promise<string> {
  const file = await toFile(Buffer.from(content as string), name);
  return (await client.files.create({ file, purpose: 'assistants' })).id;
}

export function clientOf({ url }: TestBed, apiKey: string): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
}

/** When a file is no longer being read. */
export async function settled(client: OpenAI, store: string, file: string) {
  const find = () => client.vectorStores.files.retrieve(file, { vector_store_id: store });
  await expect.poll(async () => (await find()).status, { timeout: 30_000 }).not.toBe('in_progress');
  return find();
}

/** What is left of a store in the tables and among the vectors. */
export async function remainsOf({ database, vectors }: StoreBed, store: string) {
  const [row] = await database.query<{ files: number; chunks: number }>(
    `select count(distinct f.id) as files, count(c.number) as chunks
     from vector_store_files f left join vector_store_chunks c on c.entry_id = f.id where f.store_id = $1`,
    [store],
  );
  const collection = vectors.collection({ name: 'vector_stores_8', dimension: 8 });
  return { ...row!, vectors: await collection.count({ store }, new AbortController().signal) };
}

/** The texts that a worker was asked to make vectors of. */
export function inputsOf(message: object): string[] {
  const inputs = (message as Partial<EmbedRequest>).inputs ?? [];
  return inputs.flatMap(({ input }) => (input?.$case === 'text' ? [input.value] : []));
}
