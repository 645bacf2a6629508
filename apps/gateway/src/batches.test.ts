import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type BatchStores,
  chatLine,
  linesOf,
  makeBatch,
  openBatchStores,
  startBatchGateway,
  whenOver,
} from './batches.testing.js';

let stores: BatchStores;
beforeAll(async () => {
  stores = await openBatchStores();
  await stores.database.query('select 1');
}, 120_000);
afterAll(() => stores[Symbol.asyncDispose]());

const ids = (lines: readonly { custom_id: string | null }[]) => lines.map(({ custom_id }) => custom_id);

describe('the official client', { timeout: 120_000 }, () => {
  it('has chats answered, line by line in their order', async () => {
    await using bed = await startBatchGateway(stores);
    const names = Array.from({ length: 40 }, (_, index) => `line-${index}`);
    const made = await makeBatch(
      bed.client,
      names.map((name) => chatLine(name)),
      { metadata: { who: 'me' } },
    );
    expect(made).toMatchObject({ object: 'batch', status: 'validating', metadata: { who: 'me' }, errors: null });
    const batch = await whenOver(bed.client, made.id);
    expect(batch).toMatchObject({
      status: 'completed',
      request_counts: { total: 40, completed: 40, failed: 0 },
      error_file_id: null,
      usage: { input_tokens: expect.any(Number), output_tokens: 120 },
    });
    const lines = await linesOf(bed.client, batch.output_file_id);
    expect(ids(lines)).toEqual(names);
    expect(lines[7]).toMatchObject({
      error: null,
      response: {
        status_code: 200,
        body: { object: 'chat.completion', choices: [{ message: { role: 'assistant' } }] },
      },
    });
    expect((await bed.client.files.retrieve(batch.output_file_id!)).purpose).toBe('batch_output');
  });
});
