import { InferenceError } from '@millrace/contracts';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  type BatchStores,
  byName,
  chatLine,
  linesOf,
  makeBatch,
  type OutputLine,
  openBatchStores,
  PATIENCE,
  startBatchGateway,
  uploadLines,
  whenOver,
} from './batches.testing.js';
import { keysIn } from './files/files.testing.js';
import { collected } from './gateway.testing.js';
import { UNLIMITED } from './limits/caller-rates.js';
import { ANYONE, LOW_PRIORITY } from './vocabulary.js';

let stores: BatchStores;
beforeAll(async () => {
  stores = await openBatchStores();
  await stores.database.query('select 1');
}, 120_000);
afterEach(() => stores.database.query('delete from jobs; delete from batches'));
afterAll(() => stores[Symbol.asyncDispose]());

const names = (count: number) => Array.from({ length: count }, (_, index) => `line-${index}`);
const ids = (lines: readonly OutputLine[]) => lines.map(({ custom_id }) => custom_id);
const answerOf = ({ response }: OutputLine) =>
  (response!.body as { choices: { message: { content: string } }[] }).choices[0]!.message.content;
const leftOf = async () => (await keysIn(stores.objects)).filter((key) => key.startsWith('batches/'));

describe('the official client', { timeout: 120_000 }, () => {
  it('has chats answered, each by its id, in the order of the file', async () => {
    await using bed = await startBatchGateway(stores);
    const lines = names(450).map((name) => chatLine(name));
    const made = await makeBatch(bed.client, lines, { metadata: { who: 'me' } });
    expect(made).toMatchObject({ object: 'batch', status: 'validating', metadata: { who: 'me' }, errors: null });
    expect(made.expires_at! - made.created_at).toBe(24 * 3_600);
    const batch = await whenOver(bed.client, made.id);
    expect(batch).toMatchObject({
      status: 'completed',
      request_counts: { total: 450, completed: 450, failed: 0 },
      error_file_id: null,
      usage: { input_tokens: 450 * 2, output_tokens: 450 * 3, total_tokens: 450 * 5 },
    });
    for (const time of ['in_progress_at', 'finalizing_at', 'completed_at'] as const)
      expect(batch[time]).toBeGreaterThanOrEqual(batch.created_at);
    const answers = await linesOf(bed.client, batch.output_file_id);
    expect(ids(answers)).toEqual(names(450));
    for (const answer of answers) expect(answerOf(answer)).toBe(`say ${answer.custom_id}`);
    expect(answers[7]).toMatchObject({ error: null, response: { status_code: 200, request_id: expect.any(String) } });
    expect(new Set(answers.map(({ id }) => id)).size).toBe(450);
    expect(await bed.client.files.retrieve(batch.output_file_id!)).toMatchObject({
      purpose: 'batch_output',
      filename: `${batch.id}_output.jsonl`,
    });
    await expect.poll(leftOf, PATIENCE).toEqual([]);
  });

  it('has completions and embeddings answered', async () => {
    const models = [
      { id: 'demo', isDefault: true },
      { id: 'vectors', capabilities: ['embedding'], embeddingLength: 8 },
    ];
    await using bed = await startBatchGateway(stores, {}, [{ models }]);
    const line = (id: string, url: string, body: object) =>
      JSON.stringify({ custom_id: id, method: 'POST', url, body });
    const [text, vectors] = await Promise.all([
      makeBatch(bed.client, [line('a', '/v1/completions', { prompt: 'one two' })], { endpoint: '/v1/completions' }),
      makeBatch(bed.client, [line('b', '/v1/embeddings', { model: 'vectors', input: ['one two', 'three'] })], {
        endpoint: '/v1/embeddings',
        output_expires_after: { anchor: 'created_at', seconds: 3_600 },
      }),
    ]);
    const [one, other] = [await whenOver(bed.client, text.id), await whenOver(bed.client, vectors.id)];
    expect(await linesOf(bed.client, one.output_file_id)).toMatchObject([
      { custom_id: 'a', response: { body: { object: 'text_completion' } } },
    ]);
    expect(await linesOf(bed.client, other.output_file_id)).toMatchObject([
      { custom_id: 'b', response: { body: { object: 'list', data: { length: 2 } } } },
    ]);
    expect(other).toMatchObject({ model: 'vectors', usage: { input_tokens: 3, output_tokens: 0 } });
    // The worker knows as well that nobody waits for them.
    expect(bed.worker.work.asked).toMatchObject([{ heading: { priority: LOW_PRIORITY } }]);
    const file = await bed.client.files.retrieve(other.output_file_id!);
    expect(file.expires_at! - file.created_at).toBe(3_600);
  });

  it('has texts judged', async () => {
    const says = ({ prompt }: { readonly prompt?: unknown }) => {
      const said = JSON.stringify(prompt);
      return {
        answer: said.includes('riddle')
          ? ['Who ', 'knows?']
          : said.includes('knife')
            ? ['unsafe', '\n', 'S1']
            : ['safe'],
      };
    };
    await using bed = await startBatchGateway(stores, { moderationModel: 'guard' }, [
      { models: [{ id: 'guard', isDefault: true }], script: says },
    ]);
    const line = (id: string, body: object) =>
      JSON.stringify({ custom_id: id, method: 'POST', url: '/v1/moderations', body });
    const lines = [
      line('a', { input: ['a flower', 'a knife'] }),
      line('b', { input: [] }),
      line('c', { input: 'a riddle' }),
    ];
    const { id } = await makeBatch(bed.client, lines, { endpoint: '/v1/moderations' });
    const batch = await whenOver(bed.client, id);
    expect(batch).toMatchObject({
      endpoint: '/v1/moderations',
      request_counts: { completed: 1, failed: 2 },
      usage: { input_tokens: 4, output_tokens: 6 },
    });
    expect(await linesOf(bed.client, batch.output_file_id)).toMatchObject([
      { custom_id: 'a', response: { body: { model: 'guard', results: [{ flagged: false }, { flagged: true }] } } },
    ]);
    expect(await linesOf(bed.client, batch.error_file_id)).toMatchObject([
      { custom_id: 'b', response: { status_code: 400, body: { error: { param: 'input' } } } },
      { custom_id: 'c', response: { status_code: 502, body: { error: { code: 'no_verdict' } } } },
    ]);
    // Of each text once, also where that was no verdict: at a temperature of 0 it would be said again.
    expect(bed.worker.started.map(({ priority }) => priority)).toEqual([LOW_PRIORITY, LOW_PRIORITY, LOW_PRIORITY]);
  });

  it('has responses answered, behind everybody else', async () => {
    await using bed = await startBatchGateway(stores);
    const line = (id: string, body: object) =>
      JSON.stringify({ custom_id: id, method: 'POST', url: '/v1/responses', body });
    const lines = [
      line('a', { input: 'one two' }),
      line('b', { input: [] }),
      line('c', { input: 'x', background: true }),
    ];
    const { id } = await makeBatch(bed.client, lines, { endpoint: '/v1/responses' });
    const batch = await whenOver(bed.client, id);
    expect(batch).toMatchObject({
      request_counts: { completed: 1, failed: 2 },
      usage: { input_tokens: 2, output_tokens: 3, total_tokens: 5 },
    });
    expect(await linesOf(bed.client, batch.output_file_id)).toMatchObject([
      { custom_id: 'a', response: { body: { object: 'response', output: [{ content: [{ text: 'one two' }] }] } } },
    ]);
    expect(await linesOf(bed.client, batch.error_file_id)).toMatchObject([
      { custom_id: 'b', response: { status_code: 400, body: { error: { param: 'input' } } } },
      { custom_id: 'c', response: { status_code: 400, body: { error: { param: 'background' } } } },
    ]);
    expect(bed.worker.started).toMatchObject([{ priority: LOW_PRIORITY }]);
  });

  it('lists batches page by page, and sees those of its own key alone', async () => {
    await using bed = await startBatchGateway(stores);
    const mine = new OpenAI({ baseURL: `${bed.url}/v1`, apiKey: 'lister', maxRetries: 0 });
    const made: string[] = [];
    for (const name of names(3)) made.unshift((await makeBatch(mine, [chatLine(name)])).id);
    const page = await mine.batches.list({ limit: 2 });
    expect([page.data.map(({ id }) => id), page.has_more]).toEqual([made.slice(0, 2), true]);
    expect((await collected(mine.batches.list({ limit: 2 }))).map(({ id }) => id)).toEqual(made);
    await expect(bed.client.batches.retrieve(made[0]!)).rejects.toMatchObject({ status: 404, code: 'batch_not_found' });
    await expect(bed.client.batches.cancel(made[0]!)).rejects.toMatchObject({ status: 404 });
    await expect(bed.client.batches.list({ after: made[0]! })).rejects.toMatchObject({ status: 404 });
    const { input_file_id } = await mine.batches.retrieve(made[0]!);
    await expect(
      bed.client.batches.create({ input_file_id, endpoint: '/v1/chat/completions', completion_window: '24h' }),
    ).rejects.toMatchObject({ status: 400, param: 'input_file_id' });
  });
});

describe('a line that can not be answered', { timeout: 120_000 }, () => {
  it('is a line of the error file, and the others are answered', async () => {
    await using bed = await startBatchGateway(stores);
    const lines = [
      chatLine('good'),
      '{"custom_id": "cut',
      '',
      chatLine('good'),
      chatLine('elsewhere', { url: '/v1/embeddings' }),
      chatLine('streamed', { body: { messages: [{ role: 'user', content: 'x' }], stream: true } }),
      chatLine('no model', { body: { model: 'nobody', messages: [{ role: 'user', content: 'x' }] } }),
      chatLine('no messages', { body: { messages: [] } }),
      chatLine('also good'),
    ];
    const batch = await whenOver(bed.client, (await makeBatch(bed.client, lines.join('\r\n'))).id);
    expect(batch).toMatchObject({ status: 'completed', request_counts: { total: 8, completed: 2, failed: 6 } });
    expect(ids(await linesOf(bed.client, batch.output_file_id))).toEqual(['good', 'also good']);
    const refused = (status: number, code: string) => ({
      error: null,
      response: { status_code: status, request_id: expect.any(String), body: { error: { code } } },
    });
    const unsent = (code: string, line: number) => ({ response: null, error: { code, line } });
    expect(await linesOf(bed.client, batch.error_file_id)).toMatchObject([
      { custom_id: null, ...unsent('invalid_json_line', 2) },
      { custom_id: 'good', ...unsent('duplicate_custom_id', 4) },
      { custom_id: 'elsewhere', ...unsent('invalid_url', 5) },
      { custom_id: 'streamed', ...unsent('invalid_request', 6) },
      { custom_id: 'no model', ...refused(404, 'model_not_found') },
      { custom_id: 'no messages', ...refused(400, 'invalid_request') },
    ]);
  });

  it('is none only because it takes longer than a request may that somebody waits for', async () => {
    const settings = { requestTimeoutMs: 200, backgroundTimeoutMs: 60_000 };
    await using bed = await startBatchGateway(stores, settings, [
      { stepMs: 10, script: () => ({ stepsBeforeFirst: 50 }) },
    ]);
    const batch = await whenOver(bed.client, (await makeBatch(bed.client, [chatLine('long')])).id);
    expect(batch).toMatchObject({ status: 'completed', request_counts: { completed: 1, failed: 0 } });
    expect(bed.worker.started).toHaveLength(1);
  });

  it('says by which setting its time was over', async () => {
    const settings = { requestTimeoutMs: 60_000, backgroundTimeoutMs: 100 };
    await using bed = await startBatchGateway(stores, settings, [{ script: () => ({ silent: true }) }]);
    const batch = await whenOver(bed.client, (await makeBatch(bed.client, [chatLine('late')])).id);
    const message = expect.stringMatching(/within 100 ms.* raise backgroundTimeoutMs/);
    expect(await linesOf(bed.client, batch.error_file_id)).toMatchObject([
      { response: { status_code: 504, body: { error: { code: 'deadline_exceeded', message } } } },
    ]);
  });

  it('is one broken line in the middle of many, and costs none of the others', async () => {
    await using bed = await startBatchGateway(stores, { batchConcurrency: 64 });
    const lines = names(1_001).map((name) => chatLine(name));
    lines[500] = lines[500]!.slice(0, -4);
    const batch = await whenOver(bed.client, (await makeBatch(bed.client, lines)).id);
    expect(batch.request_counts).toEqual({ total: 1_001, completed: 1_000, failed: 1 });
    expect(await linesOf(bed.client, batch.error_file_id)).toMatchObject([{ error: { line: 501 } }]);
    expect(ids(await linesOf(bed.client, batch.output_file_id))).toEqual(names(1_001).filter((_, at) => at !== 500));
  });
});

describe('text that no database takes', { timeout: 120_000 }, () => {
  it('is answered in a line, as any other', async () => {
    await using bed = await startBatchGateway(stores);
    const body = { messages: [{ role: 'user', content: 'x' }] };
    const strange = ['nul \0', 'half \ud83d', 'other half \ude00'];
    const lines = [
      ...strange.map((id) => chatLine(id, { body })),
      chatLine('model', { body: { ...body, model: 'a\0' } }),
      chatLine('more', { 'x\0': 1 } as object),
    ];
    const batch = await whenOver(bed.client, (await makeBatch(bed.client, lines)).id);
    expect(batch).toMatchObject({ status: 'completed', model: null, request_counts: { completed: 3, failed: 2 } });
    expect(ids(await linesOf(bed.client, batch.output_file_id))).toEqual(strange);
    expect(ids(await linesOf(bed.client, batch.error_file_id))).toEqual(['model', 'more']);
  });

  it('is no id of a batch', async () => {
    await using bed = await startBatchGateway(stores, {}, []);
    for (const path of ['batch_%00', 'batch_%00/cancel', '?after=batch_%00', '?after=%ED%A0%BD']) {
      const isCancel = path.endsWith('cancel');
      const response = await fetch(`${bed.url}/v1/batches${path.startsWith('?') ? '' : '/'}${path}`, {
        method: isCancel ? 'POST' : 'GET',
      });
      expect([path, response.status]).toEqual([path, 404]);
    }
  });
});

describe('a file that is no input', { timeout: 120_000 }, () => {
  it.each([
    ['is empty', '\n\n', 'empty_file'],
    ['is no JSONL', 'name,age\nanna,7\n', 'invalid_json_line'],
    ['is UTF-16', Buffer.from(chatLine('a'), 'utf16le').toString(), 'invalid_json_line'],
    ['is a character of two halves', '😀 hello\n', 'invalid_json_line'],
    [
      'has too many lines',
      names(11)
        .map((name) => chatLine(name))
        .join('\n'),
      'too_many_lines',
    ],
  ])('fails the batch when it %s, and says where', async (_why, text, code) => {
    await using bed = await startBatchGateway(stores, { batchLinesMax: 10 });
    const batch = await whenOver(bed.client, (await makeBatch(bed.client, text)).id);
    expect(batch).toMatchObject({
      status: 'failed',
      errors: { object: 'list' },
      request_counts: { total: 0, completed: 0, failed: 0 },
      output_file_id: null,
    });
    expect(batch.errors?.data?.[0]).toMatchObject({ code, message: expect.any(String) });
    expect(batch.failed_at).toBeGreaterThanOrEqual(batch.created_at);
  });

  it('fails the batch when checking it fails again and again, though nothing is away', async () => {
    await using bed = await startBatchGateway(stores, {}, []);
    stores.objects.open = () => Promise.reject(new TypeError('a bug'));
    onTestFinished(() => {
      Reflect.deleteProperty(stores.objects, 'open');
    });
    const batch = await whenOver(bed.client, (await makeBatch(bed.client, [chatLine('a')])).id);
    expect(batch).toMatchObject({ status: 'failed', errors: { data: [{ code: 'internal_error' }] } });
    expect(batch.errors?.data?.[0]?.message).not.toContain('a bug');
  });

  it('is refused at once when it is not there, or is for something else', async () => {
    await using bed = await startBatchGateway(stores);
    const create = (input_file_id: string) =>
      bed.client.batches.create({ input_file_id, endpoint: '/v1/chat/completions', completion_window: '24h' });
    await expect(create('file-0')).rejects.toMatchObject({ status: 400, param: 'input_file_id' });
    const other = await bed.client.files.create({ file: new File(['x'], 'x'), purpose: 'user_data' });
    await expect(create(other.id)).rejects.toThrow('"batch"');
  });

  it('fails the batch when it is removed while the batch waits', async () => {
    await using bed = await startBatchGateway(stores, {}, []);
    const gone = `batch_${'0'.repeat(32)}`;
    const id = await uploadLines(bed.client, [chatLine('a')]);
    await stores.database.query(
      `insert into batches (id, key_id, endpoint, input_file_id, completion_window, expires_at)
        values ($2, 'any', '/v1/chat/completions', $1, '24h', now() + interval '1 day')`,
      [id, gone],
    );
    await bed.client.files.delete(id);
    expect(await whenOver(bed.client, gone)).toMatchObject({
      status: 'failed',
      errors: { data: [{ code: 'file_not_found', param: 'input_file_id' }] },
    });
  });
});

describe('a request for a batch', () => {
  it.each([
    [{ completion_window: '25h' }, 'completion_window'],
    [{ completion_window: '0h' }, 'completion_window'],
    [{ endpoint: '/v1/rerank' }, 'endpoint'],
    [{ endpoint: '/v1/images/generations' }, 'endpoint'],
    [{ metadata: { a: 'x'.repeat(513) } }, 'metadata.a'],
    [{ metadata: { a: 'x\0' } }, 'metadata.a'],
    [{ metadata: { b: '\ud83d' } }, 'metadata.b'],
    [{ metadata: { 'c\0': 'x' } }, 'metadata.c\0'],
    [{ input_file_id: 'file-\0' }, 'input_file_id'],
    [{ output_expires_after: { anchor: 'created_at', seconds: 1 } }, 'output_expires_after.seconds'],
    [{ more: 1 }, 'more'],
  ])('with %j is a 400 that names the field', async (changes, param) => {
    await using bed = await startBatchGateway(stores, {}, []);
    const body = { input_file_id: 'file-0', endpoint: '/v1/chat/completions', completion_window: '24h', ...changes };
    const response = await bed.post('/v1/batches', body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param } });
  });
});

describe('the end of a batch', { timeout: 120_000 }, () => {
  const slow = { script: () => ({ answer: ['x'], stepsBeforeFirst: 300 }), stepMs: 1 };

  it('comes when it is cancelled, and what was answered stays', async () => {
    await using bed = await startBatchGateway(stores, {}, [slow]);
    const made = await makeBatch(
      bed.client,
      names(1_000).map((name) => chatLine(name)),
    );
    await expect
      .poll(async () => (await bed.client.batches.retrieve(made.id)).request_counts?.completed, PATIENCE)
      .toBeGreaterThan(0);
    const cancelling = await bed.client.batches.cancel(made.id);
    expect(cancelling.status).toBe('cancelling');
    expect(cancelling.cancelling_at).toBeGreaterThanOrEqual(cancelling.created_at);
    const batch = await whenOver(bed.client, made.id);
    expect(batch).toMatchObject({
      status: 'cancelled',
      request_counts: { total: 1_000, failed: 0 },
      error_file_id: null,
    });
    const answers = await linesOf(bed.client, batch.output_file_id);
    expect(answers).toHaveLength(batch.request_counts!.completed);
    expect(answers.length).toBeGreaterThan(0);
    expect(answers.length).toBeLessThan(1_000);
    expect(await bed.client.batches.cancel(made.id)).toMatchObject({ status: 'cancelled' });
  });

  it('comes within seconds when what runs would take for ever', async () => {
    await using bed = await startBatchGateway(stores, {}, [{ script: () => ({ endless: 'x' }) }]);
    const line = chatLine('endless', { body: { messages: [{ role: 'user', content: 'x' }] } });
    const made = await makeBatch(bed.client, [line]);
    await expect.poll(() => bed.worker.running, PATIENCE).toBe(1);
    await bed.client.batches.cancel(made.id);
    expect(await whenOver(bed.client, made.id)).toMatchObject({ status: 'cancelled', output_file_id: null });
    await expect.poll(() => bed.worker.running, PATIENCE).toBe(0);
  });

  it('comes when its time is over: what was not answered says so', async () => {
    await using bed = await startBatchGateway(stores, {}, [slow]);
    const lines = [...names(300).map((name) => chatLine(name)), 'broken'];
    const made = await makeBatch(bed.client, lines, { completion_window: '1h' as '24h' });
    expect(made.expires_at! - made.created_at).toBe(3_600);
    await expect
      .poll(async () => (await bed.client.batches.retrieve(made.id)).request_counts?.completed, PATIENCE)
      .toBeGreaterThan(0);
    await stores.database.query('update batches set expires_at = now() where id = $1', [made.id]);
    const batch = await whenOver(bed.client, made.id);
    const { completed, failed } = batch.request_counts!;
    expect([batch.status, completed + failed]).toEqual(['expired', 301]);
    const [answers, errors] = [
      await linesOf(bed.client, batch.output_file_id),
      await linesOf(bed.client, batch.error_file_id),
    ];
    expect([answers.length, errors.length]).toEqual([completed, failed]);
    expect(errors.at(-1)).toMatchObject({ error: { code: 'invalid_json_line', line: 301 } });
    expect(new Set(errors.slice(0, -1).map(({ error }) => error?.code))).toEqual(new Set(['batch_expired']));
    expect(new Set([...ids(answers), ...ids(errors.slice(0, -1))])).toEqual(new Set(names(300)));
  });

  it('is told to whoever cancels too late', async () => {
    await using bed = await startBatchGateway(stores);
    const batch = await whenOver(bed.client, (await makeBatch(bed.client, [chatLine('a')])).id);
    await expect(bed.client.batches.cancel(batch.id)).rejects.toMatchObject({ status: 409, code: 'batch_over' });
    const response = await bed.post(`/v1/batches/${batch.id}/cancel`, '', { headers: { authorization: 'Bearer any' } });
    expect(response.status).toBe(409);
  });
});

describe('limits', { timeout: 120_000 }, () => {
  it('of a key that a line meets are waited for', async () => {
    let refused = 0;
    const rates = {
      ...UNLIMITED,
      take: async (...[call, use, signal]: Parameters<typeof UNLIMITED.take>) => {
        if (use.model !== '' && refused++ < 3)
          throw new InferenceError('rate_limit_exceeded', 'Too many.', { retryAfterSeconds: 1 });
        return UNLIMITED.take(call, use, signal);
      },
    };
    await using bed = await startBatchGateway(stores, { batchConcurrency: 2 }, [{}], { rates });
    const batch = await whenOver(
      bed.client,
      (
        await makeBatch(
          bed.client,
          names(6).map((name) => chatLine(name)),
        )
      ).id,
    );
    expect(batch.request_counts).toEqual({ total: 6, completed: 6, failed: 0 });
    expect(refused).toBeGreaterThan(3);
    expect(ids(await linesOf(bed.client, batch.output_file_id))).toEqual(names(6));
  });

  it('of batches that are under way refuse the next one', async () => {
    await using bed = await startBatchGateway(stores, { batchesPerKeyMax: 1 }, []);
    const client = new OpenAI({ baseURL: `${bed.url}/v1`, apiKey: 'limited', maxRetries: 0 });
    const first = await makeBatch(client, [chatLine('a')]);
    const refused = makeBatch(client, [chatLine('a')]);
    await expect(refused).rejects.toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    await expect(refused).rejects.toSatisfy(
      (error) => (error as { headers: Headers }).headers.get('x-millrace-limit') === 'batches',
    );
    await client.batches.cancel(first.id);
    await whenOver(client, first.id);
    await makeBatch(client, [chatLine('a')]);
  });

  it('of a key are its own: what nobody waits for goes behind everybody else', async () => {
    await using bed = await startBatchGateway(stores);
    await whenOver(bed.client, (await makeBatch(bed.client, [chatLine('a')])).id);
    expect(bed.worker.started.map(({ priority }) => priority)).toEqual([-1_000]);
    const [record] = bed.records().filter(({ endpoint }) => endpoint === 'chat');
    expect(record).toMatchObject({
      keyId: 'any',
      outcome: 'served',
      requestId: expect.stringMatching(/^batch-[0-9a-f]{32}-1-/),
    });
  });
});

describe('a key that is revoked', { timeout: 120_000 }, () => {
  it('stops its batches', async () => {
    let isValid = true;
    const authenticator = {
      ...byName,
      callerOfKey: async (keyId: string) => (isValid ? { ...ANYONE, keyId } : undefined),
    };
    const slow = { script: () => ({ answer: ['x'], stepsBeforeFirst: 300 }) };
    await using bed = await startBatchGateway(stores, {}, [slow], { authenticator });
    const made = await makeBatch(
      bed.client,
      names(1_000).map((name) => chatLine(name)),
    );
    await expect.poll(() => bed.worker.started.length, PATIENCE).toBeGreaterThan(0);
    isValid = false;
    const batch = await whenOver(bed.client, made.id);
    expect(batch).toMatchObject({ status: 'cancelled', errors: { data: [{ code: 'invalid_api_key' }] } });
    const begun = bed.worker.started.length;
    expect(begun).toBeLessThan(1_000);
  });
});

describe('several gateways', { timeout: 120_000 }, () => {
  it('share a batch, and ask for each line once', async () => {
    await using one = await startBatchGateway(stores);
    await using other = await startBatchGateway(stores);
    const lines = names(1_500).map((name) => chatLine(name));
    const batch = await whenOver(one.client, (await makeBatch(one.client, lines)).id);
    expect(batch.request_counts).toEqual({ total: 1_500, completed: 1_500, failed: 0 });
    expect(ids(await linesOf(other.client, batch.output_file_id))).toEqual(names(1_500));
    // A worker that is taken for silent on a busy machine is asked again by its gateway, as another attempt.
    const shares = [one, other].map(({ worker }) => worker.started.filter(({ attempt }) => attempt === 1));
    const byLine = Map.groupBy(shares.flat(), ({ requestId }) => requestId.replace(/-[^-]*$/, ''));
    expect(byLine.size).toBe(1_500);
    expect([...byLine.values()].filter(({ length }) => length > 1)).toEqual([]);
    expect(Math.min(...shares.map(({ length }) => length))).toBeGreaterThan(0);
  });

  it('lose nothing and answer nothing twice when one is stopped in the middle', async () => {
    const slow = { script: () => ({ answer: ['x'], stepsBeforeFirst: 20 }) };
    await using one = await startBatchGateway(stores, {}, [slow]);
    const lines = names(600).map((name) => chatLine(name));
    const made = await makeBatch(one.client, lines);
    {
      await using _stopped = await startBatchGateway(stores, {}, [slow]);
      await expect
        .poll(async () => (await one.client.batches.retrieve(made.id)).request_counts?.completed, PATIENCE)
        .toBeGreaterThan(100);
    }
    const batch = await whenOver(one.client, made.id);
    expect(batch.request_counts).toEqual({ total: 600, completed: 600, failed: 0 });
    expect(ids(await linesOf(one.client, batch.output_file_id))).toEqual(names(600));
  });
});
