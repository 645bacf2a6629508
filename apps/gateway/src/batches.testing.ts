import type { Settings } from '@millrace/contracts';
import type { ObjectStore } from '@millrace/storage';
import type OpenAI from 'openai';
import { toFile } from 'openai';
import { expect } from 'vitest';
import { BatchStore } from './batch-jobs/batch-store.js';
import type { FakeWorker, FakeWorkerOptions } from './dispatch/fake-worker.testing.js';
import { filesOn, folderOfItsOwn } from './files/files.testing.js';
import { settingsWith, TestBed } from './gateway.testing.js';
import { EVERYBODY } from './keys/authenticator.js';
import type { Parts } from './open-parts.js';
import { openEmbedded, openPostgres } from './request-log/database.testing.js';
import { SqlJobQueue } from './stores/adapters/sql-job-queue.js';
import type { SqlDatabase } from './stores/sql-database.js';
import { ANYONE } from './vocabulary.js';

/** Short, so that a test need not wait long for what a killed gateway had. */
const LEASE_MS = 1_000;
/** A slow machine takes its time. */
export const PATIENCE = { timeout: 60_000, interval: 50 };

/** Stores that gateways of a test share. */
export interface BatchStores extends AsyncDisposable {
  readonly database: SqlDatabase;
  readonly objects: ObjectStore;
}

/** @param postgresUrl of a real Postgres; absent: the embedded database. */
export async function openBatchStores(postgresUrl?: string): Promise<BatchStores> {
  const database = postgresUrl === undefined ? await openEmbedded() : await openPostgres(postgresUrl);
  const objects = folderOfItsOwn();
  return {
    database,
    objects,
    [Symbol.asyncDispose]: async () => {
      await objects.close();
      await database.close();
    },
  };
}

/** Whoever calls is the key that they send. */
export const byName = {
  ...EVERYBODY,
  authenticate: (presented = 'any') => ({ ...ANYONE, keyId: presented, keyName: presented }),
};

/** A gateway on them. */
export function startBatchGateway(
  { database, objects }: Pick<BatchStores, 'database' | 'objects'>,
  settings: Partial<Settings> = {},
  workers: readonly (FakeWorkerOptions | FakeWorker)[] = [{}],
  parts: Partial<Parts> = {},
): Promise<TestBed> {
  const jobs = new SqlJobQueue(database, { queue: 'batches', leaseMs: LEASE_MS, jobsMax: 1_000, pauseMsMax: 100 });
  const ours: Partial<Parts> = {
    authenticator: byName,
    objects,
    files: filesOn(database, objects, settingsWith(settings)),
    jobs,
    batches: new BatchStore(database),
    close: () => jobs.close(),
    ...parts,
  };
  return TestBed.start(settings, workers, workers.length > 0, '127.0.0.1', ours);
}

export interface LineFields {
  readonly custom_id?: unknown;
  readonly method?: unknown;
  readonly url?: unknown;
  readonly body?: unknown;
}

/** A line that asks for a chat, but for what a test says. */
export function chatLine(id: string, changes: LineFields = {}): string {
  const body = { messages: [{ role: 'user', content: `say ${id}` }], max_tokens: 3 };
  return JSON.stringify({ custom_id: id, method: 'POST', url: '/v1/chat/completions', body, ...changes });
}

export async function uploadLines(client: OpenAI, lines: readonly string[] | string): Promise<string> {
  const text = typeof lines === 'string' ? lines : `${lines.join('\n')}\n`;
  const file = await client.files.create({ file: await toFile(Buffer.from(text), 'in.jsonl'), purpose: 'batch' });
  return file.id;
}

type CreateParams = Partial<OpenAI.Batches.BatchCreateParams>;

export async function makeBatch(
  client: OpenAI,
  lines: readonly string[] | string,
  changes: CreateParams = {},
): Promise<OpenAI.Batches.Batch> {
  const input_file_id = await uploadLines(client, lines);
  return client.batches.create({
    input_file_id,
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
    ...changes,
  });
}

const OVER: readonly string[] = ['completed', 'failed', 'expired', 'cancelled'];

export async function whenOver(client: OpenAI, id: string): Promise<OpenAI.Batches.Batch> {
  let batch = await client.batches.retrieve(id);
  await expect
    .poll(async () => {
      batch = await client.batches.retrieve(id);
      return OVER.includes(batch.status);
    }, PATIENCE)
    .toBe(true);
  return batch;
}

export interface OutputLine {
  readonly id: string;
  readonly custom_id: string | null;
  readonly response: {
    readonly status_code: number;
    readonly request_id: string;
    readonly body: Readonly<Record<string, unknown>>;
  } | null;
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly line: number;
    readonly param: string | null;
  } | null;
}

export async function linesOf(client: OpenAI, fileId: string | null | undefined): Promise<OutputLine[]> {
  if (fileId == null) return [];
  const text = await (await client.files.content(fileId)).text();
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}
