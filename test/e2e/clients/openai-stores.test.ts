import type OpenAI from 'openai';
import { toFile } from 'openai';
import { describe, expect, it } from 'vitest';
import { openai } from './our-side.js';

const model = 'millrace-demo';
const POLL = { pollIntervalMs: 200 };
const named = (name: string, text: string) => toFile(Buffer.from(text), name);

/** Everything that is kept, by OpenAI's own package. */
interface JudgedLine {
  readonly custom_id: string;
  readonly response: { readonly body: OpenAI.ModerationCreateResponse };
}

describe('openai: files, uploads, batches and vector stores', () => {
  const client = openai();

  it('files are created, waited for, listed by pages, read and deleted', async () => {
    const made: OpenAI.FileObject[] = [];
    for (const name of ['a.txt', 'b.txt', 'c.txt']) {
      made.push(await client.files.create({ file: await named(name, `of ${name}`), purpose: 'user_data' }));
    }
    expect(await client.files.waitForProcessing(made[0]!.id, { pollInterval: 100 })).toMatchObject({
      filename: 'a.txt',
    });
    const listed: string[] = [];
    for await (const { filename } of client.files.list({ purpose: 'user_data', limit: 2, order: 'asc' })) {
      listed.push(filename);
    }
    expect(listed).toEqual(['a.txt', 'b.txt', 'c.txt']);
    expect(await (await client.files.content(made[1]!.id)).text()).toBe('of b.txt');
    for (const { id } of made) expect(await client.files.delete(id)).toEqual({ id, object: 'file', deleted: true });
    await expect(client.files.retrieve(made[0]!.id)).rejects.toMatchObject({ status: 404 });
  });

  it('uploads are put together from parts, in the order that is asked for, and can be cancelled', async () => {
    const begin = () =>
      client.uploads.create({ bytes: 10, filename: 'parts.txt', mime_type: 'text/plain', purpose: 'user_data' });
    const upload = await begin();
    const [world, hello] = [
      await client.uploads.parts.create(upload.id, { data: await named('2', 'world') }),
      await client.uploads.parts.create(upload.id, { data: await named('1', 'hello') }),
    ];
    const { status, file } = await client.uploads.complete(upload.id, { part_ids: [hello.id, world.id] });
    expect(status).toBe('completed');
    expect(await (await client.files.content(file!.id)).text()).toBe('helloworld');
    expect((await client.uploads.cancel((await begin()).id)).status).toBe('cancelled');
  });

  it('batches are created, polled, listed and read', async () => {
    const line = (custom_id: string, content: string) =>
      JSON.stringify({
        custom_id,
        method: 'POST',
        url: '/v1/chat/completions',
        body: { model, messages: [{ role: 'user', content }], temperature: 0 },
      });
    const lines = [line('france', 'What is the capital of France?'), line('norway', 'What is the capital of Norway?')];
    const input = await client.files.create({ file: await named('in.jsonl', lines.join('\n')), purpose: 'batch' });
    const asked = {
      input_file_id: input.id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
      metadata: { of: 'test' },
    } as const;
    const { id } = await client.batches.create(asked);
    await expect.poll(async () => (await client.batches.retrieve(id)).status, { timeout: 60_000 }).toBe('completed');
    const batch = await client.batches.retrieve(id);
    expect(batch).toMatchObject({ metadata: { of: 'test' }, request_counts: { total: 2, completed: 2, failed: 0 } });
    const output = await (await client.files.content(batch.output_file_id!)).text();
    expect(output).toContain('Oslo');
    const listed: string[] = [];
    for await (const one of client.batches.list({ limit: 1 })) listed.push(one.id);
    expect(listed).toEqual([id]);
    await expect(client.batches.cancel(id)).rejects.toMatchObject({ status: 409 });
  });

  it('batches of moderations are judged', async () => {
    const line = (custom_id: string, input: string) =>
      JSON.stringify({ custom_id, method: 'POST', url: '/v1/moderations', body: { model: 'guard', input } });
    const lines = [line('flower', 'A flower.'), line('knife', 'A knife.')];
    const input = await client.files.create({ file: await named('in.jsonl', lines.join('\n')), purpose: 'batch' });
    const asked = { input_file_id: input.id, endpoint: '/v1/moderations', completion_window: '24h' } as const;
    const { id } = await client.batches.create(asked);
    await expect.poll(async () => (await client.batches.retrieve(id)).status, { timeout: 60_000 }).toBe('completed');
    const batch = await client.batches.retrieve(id);
    expect(batch).toMatchObject({ model: 'guard', request_counts: { total: 2, completed: 2, failed: 0 } });
    const output = await (await client.files.content(batch.output_file_id!)).text();
    const verdicts = output
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text) as JudgedLine);
    expect(verdicts.map(({ custom_id, response }) => [custom_id, response.body.results[0]!.flagged]).sort()).toEqual([
      ['flower', false],
      ['knife', true],
    ]);
  });

  it('vector stores are filled from files that are uploaded on the way, and searched', async () => {
    const store = await client.vectorStores.create({ name: 'notes', metadata: { of: 'test' } });
    const letter = await client.vectorStores.files.uploadAndPoll(
      store.id,
      await named('letter.md', 'Anna wrote the letter.'),
      POLL,
    );
    expect(letter).toMatchObject({ object: 'vector_store.file', status: 'completed', last_error: null });
    const batch = await client.vectorStores.fileBatches.uploadAndPoll(
      store.id,
      {
        files: [
          await named('car.md', 'Tom sold the old car.'),
          await named('rain.md', 'It rained in Oslo for three days.'),
        ],
      },
      POLL,
    );
    expect(batch).toMatchObject({ status: 'completed', file_counts: { total: 2, completed: 2, failed: 0 } });
    expect(await client.vectorStores.retrieve(store.id)).toMatchObject({ file_counts: { completed: 3 } });

    const query = 'The letter was written by Anna.';
    const found = await client.vectorStores.search(store.id, { query, max_num_results: 2 });
    expect(found.data[0]).toMatchObject({ filename: 'letter.md', file_id: letter.id });
    const content: string[] = [];
    for await (const { text } of client.vectorStores.files.content(letter.id, { vector_store_id: store.id }))
      content.push(text!);
    expect(content).toEqual(['Anna wrote the letter.']);

    await client.vectorStores.files.update(letter.id, { vector_store_id: store.id, attributes: { year: 1901 } });
    const filters = { type: 'eq', key: 'year', value: 1901 } as const;
    expect((await client.vectorStores.search(store.id, { query: 'rain', filters })).data).toHaveLength(1);
    const files: string[] = [];
    for await (const { id } of client.vectorStores.files.list(store.id, { limit: 2 })) files.push(id);
    expect(new Set(files).size).toBe(3);
    const ofBatch: string[] = [];
    for await (const { id } of client.vectorStores.fileBatches.listFiles(batch.id, { vector_store_id: store.id })) {
      ofBatch.push(id);
    }
    expect(ofBatch).toHaveLength(2);

    await client.vectorStores.files.delete(letter.id, { vector_store_id: store.id });
    await expect(client.vectorStores.files.retrieve(letter.id, { vector_store_id: store.id })).rejects.toMatchObject({
      status: 404,
    });
    expect(await client.vectorStores.update(store.id, { name: 'other' })).toMatchObject({ name: 'other' });
    const stores: string[] = [];
    for await (const { id } of client.vectorStores.list()) stores.push(id);
    expect(stores).toEqual([store.id]);
    expect(await client.vectorStores.delete(store.id)).toMatchObject({ deleted: true });
  });

  it('a file batch is created from files that there are, and can be cancelled', async () => {
    const store = await client.vectorStores.create({});
    const file = await client.files.create({
      file: await named('mill.md', 'The mill stands beside the river.'),
      purpose: 'assistants',
    });
    const made = await client.vectorStores.fileBatches.createAndPoll(store.id, { file_ids: [file.id] }, POLL);
    expect(made).toMatchObject({ status: 'completed', file_counts: { completed: 1 } });
    const other = await client.vectorStores.files.createAndPoll(store.id, { file_id: file.id }, POLL);
    expect(other.status).toBe('completed');
    const again = await client.vectorStores.fileBatches.create(store.id, { file_ids: [file.id] });
    const cancelled = await client.vectorStores.fileBatches.cancel(again.id, { vector_store_id: store.id });
    expect(['cancelled', 'in_progress', 'completed']).toContain(cancelled.status);
  });
});
