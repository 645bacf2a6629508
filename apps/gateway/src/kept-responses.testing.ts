import { InferenceError, type Settings } from '@millrace/contracts';
import OpenAI from 'openai';
import { expect } from 'vitest';
import type { FakeWorker, FakeWorkerOptions } from './dispatch/fake-worker.testing.js';
import { settingsWith, TestBed } from './gateway.testing.js';
import { EVERYBODY } from './keys/authenticator.js';
import type { Parts } from './open-parts.js';
import { responsesOn } from './responses/responses.testing.js';
import { SqlJobQueue } from './stores/adapters/sql-job-queue.js';
import type { SqlDatabase } from './stores/sql-database.js';
import { ANYONE } from './vocabulary.js';

/** Short, so that a test need not wait long for what a killed gateway had. */
const LEASE_MS = 4_000;
const LOCK_MS = 1_500;
/** A slow machine takes its time. */
export const PATIENCE = { timeout: 30_000, interval: 50 };

/** Keys that are valid no more. */
export const REVOKED = new Set<string>();
/** Keys of which nobody can tell just now whether they are valid, and how often that was asked. */
export const DOUBTED = new Map<string, number>();

/** Whoever calls is the key that they send; `any`, which the client sends by itself, is nobody in particular. */
const byName = {
  ...EVERYBODY,
  callerOfKey: async (keyId: string) => {
    const doubts = DOUBTED.get(keyId);
    if (doubts === undefined) return REVOKED.has(keyId) ? undefined : { ...ANYONE, keyId, keyName: keyId };
    DOUBTED.set(keyId, doubts + 1);
    throw new InferenceError('store_unavailable', 'Keys can not be read just now.');
  },
  authenticate: (presented = 'any') =>
    presented === 'any' ? ANYONE : { ...ANYONE, keyId: presented, keyName: presented },
};

/** A gateway that keeps its responses in this database. */
export function startKeeping(
  database: SqlDatabase,
  workers: readonly (FakeWorkerOptions | FakeWorker)[] = [{}],
  settings: Partial<Settings> = {},
  parts: Partial<Parts> = {},
): Promise<TestBed> {
  const responseTables = responsesOn(database, settingsWith(settings), LOCK_MS);
  const responseJobs = new SqlJobQueue(database, {
    queue: 'responses',
    leaseMs: LEASE_MS,
    jobsMax: 1_000,
    pauseMsMax: 100,
  });
  return TestBed.start(settings, workers, workers.length > 0, '127.0.0.1', {
    authenticator: byName,
    responses: responseTables.responses,
    responseTables,
    responseJobs,
    close: () => responseJobs.close(),
    ...parts,
  });
}

export function clientOf({ url }: TestBed, apiKey = 'any'): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
}

/** When nothing of it changes any more. */
export async function whenEnded(client: OpenAI, id: string): Promise<OpenAI.Responses.Response> {
  const find = () => client.responses.retrieve(id);
  await expect.poll(async () => (await find()).status, PATIENCE).not.toMatch(/^(queued|in_progress)$/);
  return find();
}
