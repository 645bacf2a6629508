import { responseEventSchema, responseSchema } from '@millrace/contracts';
import type OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Script } from './dispatch/fake-worker.testing.js';
import { collected, type TestBed } from './gateway.testing.js';
import { clientOf, DOUBTED, PATIENCE, REVOKED, startKeeping, whenEnded } from './kept-responses.testing.js';
import type { Parts } from './open-parts.js';
import { UnreliableDatabase } from './request-log/database.testing.js';
import { ResponseRuns } from './responses/response-runs.js';
import { question, RESPONSE_LIMITS, responseOf, responsesOn } from './responses/responses.testing.js';
import { messagesOf } from './responses.testing.js';
import type { SqlDatabase } from './stores/sql-database.js';
import { LOW_PRIORITY } from './vocabulary.js';

type Event = OpenAI.Responses.ResponseStreamEvent;

const ASKED = { model: 'demo', input: 'How high is the tide?', background: true } as const;
const WORDS = Array.from({ length: 400 }, (_, at) => `w${at} `);
/** Takes some seconds, a word at a time. */
const LONG: Script = { answer: WORDS, stepsBeforeFirst: 20 };
const NEVER: Script = { stepsBeforeFirst: 1_000_000_000 };
const ENDLESS: Script = { answer: [], endless: 'w ' };

/**
 * What responses in the background promise, on whatever they are kept and whatever reminds of them.
 *
 * @param queueOf undefined: one in the database.
 * @param forgetJobs as a queue does that loses everything.
 */
export function backgroundResponsesContract(
  open: () => Promise<SqlDatabase>,
  queueOf?: () => Promise<Pick<Parts, 'responseJobs' | 'close'>>,
  forgetJobs = (database: SqlDatabase) =>
    database.query("delete from jobs where queue = 'responses'") as Promise<unknown>,
): void {
  let database: SqlDatabase;
  beforeAll(async () => {
    database = await open();
    await database.query('select 1');
  });
  afterAll(() => database?.close());

  async function start(script: Script | ((prompt: string) => Script) = {}, settings = {}, on = database) {
    const scriptOf = (start: { readonly prompt?: unknown }) =>
      typeof script === 'function' ? script(JSON.stringify(start.prompt)) : script;
    return startKeeping(on, [{ script: scriptOf, stepMs: 2 }], settings, await queueOf?.());
  }

  /** That somebody has begun to answer. */
  const whenBegun = (bed: TestBed, count = 1) =>
    expect.poll(() => bed.worker.started.length, PATIENCE).toBeGreaterThanOrEqual(count);

  describe('a response in the background', () => {
    it('is queued at once, and is there once it has ended', async () => {
      await using bed = await start({ answer: ['Four ', 'metres.'], stepsBeforeFirst: 100 });
      const queued = await bed.client.responses.create({ ...ASKED, metadata: { a: 'b' } });
      expect(queued).toMatchObject({
        status: 'queued',
        background: true,
        output: [],
        usage: null,
        metadata: { a: 'b' },
      });
      const ended = await whenEnded(bed.client, queued.id);
      expect(ended).toMatchObject({
        id: queued.id,
        status: 'completed',
        created_at: queued.created_at,
        output_text: 'Four metres.',
      });
      const { output_text: _, ...body } = ended;
      expect(responseSchema.parse(body)).toEqual(body);
      await bed.client.responses.create({
        ...ASKED,
        background: false,
        previous_response_id: queued.id,
        input: 'Sure?',
      });
      expect(messagesOf(bed, 1).map(({ content }) => content)).toEqual([ASKED.input, 'Four metres.', 'Sure?']);
    });

    it('is refused now where it could not be answered later', async () => {
      await using bed = await start();
      const { responses } = bed.client;
      await expect(responses.create({ ...ASKED, store: false })).rejects.toMatchObject({
        status: 400,
        param: 'background',
      });
      await expect(responses.create({ ...ASKED, model: 'none' })).rejects.toMatchObject({ status: 404 });
      await expect(responses.create({ ...ASKED, temperature: 9 })).rejects.toMatchObject({ param: 'temperature' });
      await expect(responses.create({ ...ASKED, previous_response_id: 'resp_none' })).rejects.toMatchObject({
        code: 'previous_response_not_found',
      });
      expect(bed.worker.started).toEqual([]);
    });

    it('is refused where the key has as many as it may, and where it is too large to be kept', async () => {
      await using bed = await start(NEVER, { backgroundResponsesPerKeyMax: 1, responseBytesMax: 5_000 });
      const { responses } = clientOf(bed, 'crowded');
      const first = await responses.create(ASKED);
      const refused = await bed.post('/v1/responses', ASKED, { headers: { authorization: 'Bearer crowded' } });
      expect([refused.status, refused.headers.get('x-millrace-limit')]).toEqual([429, 'background_responses']);
      await responses.cancel(first.id);
      await expect(responses.create({ ...ASKED, input: 'x'.repeat(6_000) })).rejects.toMatchObject({
        status: 413,
        code: 'response_too_large',
      });
    });

    it('runs at the priority of its key, and behind everybody with `flex`', async () => {
      await using bed = await start({ answer: ['x'] });
      await whenEnded(bed.client, (await bed.client.responses.create(ASKED)).id);
      const flex = await whenEnded(
        bed.client,
        (await bed.client.responses.create({ ...ASKED, service_tier: 'flex' })).id,
      );
      expect(flex.service_tier).toBe('flex');
      expect(bed.worker.started.map(({ priority }) => priority)).toEqual([0, LOW_PRIORITY]);
    });

    it('tells how it failed', async () => {
      await using bed = await start({
        failure: { code: 'internal_error', message: 'Broken.', afterTokens: 1 },
        answer: ['a', 'b'],
      });
      const { id } = await bed.client.responses.create(ASKED);
      expect(await whenEnded(bed.client, id)).toMatchObject({ status: 'failed', error: { code: 'server_error' } });
      await expect(bed.client.responses.create({ ...ASKED, previous_response_id: id })).rejects.toMatchObject({
        status: 400,
      });
    });

    it('waits for what is only away for a while', async () => {
      let isFull = true;
      await using bed = await start(() =>
        isFull ? { failure: { code: 'rate_limit_exceeded', message: 'Later.' } } : { answer: ['Yes.'] },
      );
      const { id } = await bed.client.responses.create(ASKED);
      await whenBegun(bed, 2);
      expect((await bed.client.responses.retrieve(id)).status).toMatch(/queued|in_progress/);
      isFull = false;
      expect(await whenEnded(bed.client, id)).toMatchObject({ status: 'completed', output_text: 'Yes.' });
    });

    it('is left to gateways that have workers', async () => {
      await using idle = await startKeeping(database, [], {}, await queueOf?.());
      await using bed = await start({ answer: ['Yes.'] });
      const made = await Promise.all(Array.from({ length: 20 }, () => bed.client.responses.create(ASKED)));
      for (const { id } of made) expect((await whenEnded(idle.client, id)).status).toBe('completed');
    });

    it('fails when its time is over', async () => {
      await using bed = await start(NEVER, { backgroundResponseTimeoutMs: 1_000 });
      const { id } = await bed.client.responses.create(ASKED);
      const ended = await whenEnded(bed.client, id);
      expect(ended).toMatchObject({
        status: 'failed',
        error: { message: expect.stringContaining('backgroundResponseTimeoutMs') },
      });
    });

    it('fails when its key is revoked', async () => {
      onTestFinished(() => REVOKED.clear());
      await using bed = await start(ENDLESS);
      const client = clientOf(bed, 'leaver');
      const { id } = await client.responses.create(ASKED);
      await whenBegun(bed);
      REVOKED.add('leaver');
      const ended = await whenEnded(client, id);
      expect(ended).toMatchObject({ status: 'failed', error: { message: expect.stringContaining('key') } });
      await expect.poll(() => bed.worker.running, PATIENCE).toBe(0);
    });

    it('waits while nobody can tell whether its key is valid', async () => {
      onTestFinished(() => DOUBTED.clear());
      await using bed = await start({ answer: ['Yes.'] });
      const client = clientOf(bed, 'doubted');
      DOUBTED.set('doubted', 0);
      const { id } = await client.responses.create(ASKED);
      await expect.poll(() => DOUBTED.get('doubted'), PATIENCE).toBeGreaterThan(3);
      DOUBTED.clear();
      expect(await whenEnded(client, id)).toMatchObject({ status: 'completed' });
    });

    it('appends to its conversation, one after the other', async () => {
      await using bed = await start((prompt) => ({
        answer: ['Yes. '],
        stepsBeforeFirst: prompt.includes('2?') ? 0 : 200,
      }));
      const { id: conversation } = await bed.client.conversations.create();
      const one = await bed.client.responses.create({ ...ASKED, input: '1?', conversation });
      await whenBegun(bed);
      await expect(bed.client.responses.create({ ...ASKED, background: false, conversation })).rejects.toMatchObject({
        code: 'conversation_locked',
      });
      await whenEnded(bed.client, one.id);
      await whenEnded(bed.client, (await bed.client.responses.create({ ...ASKED, input: '2?', conversation })).id);
      expect(messagesOf(bed, 1).map(({ content }) => content)).toEqual(['1?', 'Yes. ', '2?']);
      expect((await bed.client.conversations.items.list(conversation)).data).toHaveLength(4);
    });
  });

  describe('two of them on one conversation', () => {
    it('are answered one after the other, and each knows of those before', async () => {
      await using bed = await start({ answer: ['Yes. '], stepsBeforeFirst: 50 });
      const { id: conversation } = await bed.client.conversations.create();
      const made = await Promise.all(
        [1, 2, 3, 4].map((n) => bed.client.responses.create({ ...ASKED, input: `${n}?`, conversation })),
      );
      for (const { id } of made) await whenEnded(bed.client, id);
      const messages = bed.worker.started.map((_, nth) => messagesOf(bed, nth).map(({ content }) => content));
      expect(messages.map(({ length }) => length)).toEqual([1, 3, 5, 7]);
      expect((await bed.client.conversations.items.list(conversation)).data).toHaveLength(8);
    });
  });

  describe('cancelling it', () => {
    it('ends it at the gateway that has it, at once', async () => {
      await using bed = await start((prompt) => (prompt.includes('tide') ? NEVER : {}));
      const { id } = await bed.client.responses.create(ASKED);
      await whenBegun(bed);
      expect(await bed.client.responses.cancel(id)).toMatchObject({ id, status: 'cancelled', output: [] });
      // What is asked afterwards comes to the worker afterwards.
      await bed.chat();
      expect(bed.worker.cancelled).toEqual([1]);
      expect(await bed.client.responses.cancel(id)).toMatchObject({ status: 'cancelled' });
      expect(await bed.client.responses.retrieve(id)).toMatchObject({ status: 'cancelled' });
    });

    it('ends it at another gateway', async () => {
      await using running = await start(NEVER);
      const { id } = await running.client.responses.create(ASKED);
      await whenBegun(running);
      await using other = await start();
      expect(await other.client.responses.cancel(id)).toMatchObject({ status: 'cancelled' });
      await expect.poll(() => running.worker.running, PATIENCE).toBe(0);
      expect(other.worker.started).toEqual([]);
    });

    it('ends its stream, which says so', async () => {
      await using bed = await start(ENDLESS);
      const stream = await bed.client.responses.create({ ...ASKED, stream: true });
      const seen: Event[] = [];
      const reading = (async () => {
        for await (const event of stream) {
          seen.push(event);
          if (seen.length === 8)
            await bed.client.responses.cancel((seen[0] as { response: { id: string } }).response.id);
        }
      })();
      await expect(reading).rejects.toThrow(/cancelled/);
      expect(seen.map(({ type }) => type)).not.toContain('response.completed');
    });

    it('leaves one that has ended as it is', async () => {
      await using bed = await start({ answer: ['Yes.'] });
      const { id } = await bed.client.responses.create(ASKED);
      await whenEnded(bed.client, id);
      expect(await bed.client.responses.cancel(id)).toMatchObject({
        status: 'completed',
        output: [{ type: 'message' }],
      });
    });
  });

  describe('deleting it', () => {
    it('ends it, and nothing of it comes back', async () => {
      await using bed = await start(ENDLESS);
      const { id } = await bed.client.responses.create(ASKED);
      await whenBegun(bed);
      await bed.client.responses.delete(id);
      await expect.poll(() => bed.worker.running, PATIENCE).toBe(0);
      await expect(bed.client.responses.retrieve(id)).rejects.toMatchObject({ status: 404 });
    });
  });

  describe.each(['cancelling', 'deleting'] as const)('%s it while it waits for its first token', (how) => {
    it('is no fault of anybody: it is recorded as an answer whose client left', async () => {
      await using bed = await start(NEVER);
      const { id } = await bed.client.responses.create(ASKED);
      await whenBegun(bed);
      await (how === 'cancelling' ? bed.client.responses.cancel(id) : bed.client.responses.delete(id));
      const recorded = () => bed.records().filter(({ requestId }) => requestId === id);
      await expect.poll(recorded, PATIENCE).toMatchObject([{ outcome: 'cancelled', code: 'client_closed_request' }]);
      expect(bed.log.filter(({ msg }) => msg === 'internal error')).toEqual([]);
    });
  });

  describe('its stream', () => {
    const TYPES = [
      'response.created',
      'response.queued',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ];
    const typesOf = (events: readonly Event[]) => events.map(({ type }) => type);

    it('has every event in its order, with its number', async () => {
      await using bed = await start({ answer: ['Four ', 'metres.'] }, { creditTokens: 1 });
      const events = await collected(await bed.client.responses.create({ ...ASKED, stream: true }));
      expect(typesOf(events)).toEqual(TYPES);
      expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, at) => at));
      for (const event of events) expect(responseEventSchema.parse(event)).toEqual(event);
      expect(events[1]).toMatchObject({ response: { status: 'queued' } });
      const last = events.at(-1) as OpenAI.Responses.ResponseCompletedEvent;
      const { output_text: _, ...kept } = await bed.client.responses.retrieve(last.response.id);
      expect(last.response).toEqual(kept);
    });

    it('is read again from anywhere, once it has ended', async () => {
      await using bed = await start({ answer: ['Four ', 'metres.'] }, { creditTokens: 1 });
      const { responses } = bed.client;
      const events = await collected(await responses.create({ ...ASKED, stream: true }));
      const { id } = (events[0] as OpenAI.Responses.ResponseCreatedEvent).response;
      for (const starting_after of [undefined, 0, 4, 9, 10, 500]) {
        const again = await collected(
          await responses.retrieve(id, { stream: true, ...(starting_after !== undefined && { starting_after }) }),
        );
        expect(again).toEqual(events.slice((starting_after ?? -1) + 1));
      }
    });

    it('goes on at another gateway, from where it was left', async () => {
      await using running = await start(LONG);
      await using other = await startKeeping(database, [], {}, await queueOf?.());
      const first: Event[] = [];
      for await (const event of await running.client.responses.create({ ...ASKED, stream: true })) {
        first.push(event);
        if (first.length === 20) break;
      }
      const { id } = (first[0] as OpenAI.Responses.ResponseCreatedEvent).response;
      const rest = await collected(await other.client.responses.retrieve(id, { stream: true, starting_after: 19 }));
      const all = [...first, ...rest];
      expect(all.map(({ sequence_number }) => sequence_number)).toEqual(all.map((_, at) => at));
      const text = all.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('');
      expect(text).toBe(WORDS.join(''));
      expect(all.at(-1)).toMatchObject({ type: 'response.completed', response: { output: [{ content: [{ text }] }] } });
      expect(running.worker.started).toHaveLength(1);
    });

    it('is put together by the official helper, from its beginning or by its id', async () => {
      await using bed = await start({ answer: ['Four ', 'metres.'] });
      const stream = bed.client.responses.stream({ ...ASKED });
      const final = await stream.finalResponse();
      expect(final).toMatchObject({ status: 'completed', output_text: 'Four metres.' });
      const again = bed.client.responses.stream({ response_id: final.id, starting_after: 5 });
      const seen: number[] = [];
      again.on('event', ({ sequence_number }) => void seen.push(sequence_number));
      expect((await again.finalResponse()).output_text).toBe('Four metres.');
      expect(Math.min(...seen)).toBe(6);
    });

    it('is not kept where it was not asked for', async () => {
      await using bed = await start({ answer: ['x'] });
      const { id } = await bed.client.responses.create(ASKED);
      await expect(bed.client.responses.retrieve(id, { stream: true })).rejects.toMatchObject({
        status: 400,
        param: 'stream',
      });
      await expect(clientOf(bed, 'other').responses.retrieve(id, { stream: true })).rejects.toMatchObject({
        status: 404,
      });
      await whenEnded(bed.client, id);
    });

    it('is read on where the database cut its reader off, without a word lost or told twice', async () => {
      const cut = new UnreliableDatabase(database);
      await using bed = await start(LONG, {}, cut);
      const response = await bed.post('/v1/responses', { ...ASKED, stream: true });
      const seen: Event[] = [];
      for await (const event of rawEvents(response)) {
        seen.push(event);
        if (seen.length === 20) cut.fate = () => 'fails before';
      }
      cut.fate = () => 'works';
      const error = seen.pop()!;
      expect(error).toMatchObject({ type: 'error', code: 'store_unavailable' });
      expect(error.sequence_number).toBe(seen.at(-1)!.sequence_number);
      const { id } = (seen[0] as OpenAI.Responses.ResponseCreatedEvent).response;
      const rest = await collected(
        await bed.client.responses.retrieve(id, { stream: true, starting_after: error.sequence_number }),
      );
      const all = [...seen, ...rest];
      expect(all.map(({ sequence_number }) => sequence_number)).toEqual(all.map((_, at) => at));
      const deltas = all.map((event) => (event.type === 'response.output_text.delta' ? event.delta : ''));
      expect(deltas.join('')).toBe(WORDS.join(''));
    });

    it.each([
      ['completed', {}],
      ['failed', { failure: { code: 'internal_error', message: 'Broken.', afterTokens: 300 } }],
    ] as const)(
      'ends with an error where it is longer than is kept, and its response goes on: it is %s',
      async (status, fate) => {
        const tables = responsesOn(database);
        const runs = new ResponseRuns(database, RESPONSE_LIMITS, 5_000);
        const script = () => ({ answer: WORDS, ...fate });
        const parts = { ...(await queueOf?.()), responseTables: { ...tables, runs } };
        await using bed = await startKeeping(database, [{ script, stepMs: 2 }], {}, parts);
        const response = await bed.post('/v1/responses', { ...ASKED, stream: true });
        const events = [...(await response.text()).matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json!));
        expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, at) => at));
        expect(events.length).toBeGreaterThan(5);
        expect(events.length).toBeLessThan(100);
        expect(events.filter(({ type }) => type === 'error')).toEqual([events.at(-1)]);
        expect(events.at(-1)).toMatchObject({
          code: 'response_too_large',
          message: expect.stringContaining('5,000 bytes'),
        });
        expect(responseEventSchema.parse(events.at(-1))).toEqual(events.at(-1));
        const { id } = events[0].response;
        const ended = await whenEnded(bed.client, id);
        expect(ended.status).toBe(status);
        if (status === 'completed') expect(ended.output_text).toBe(WORDS.join(''));
        const again = await fetch(`${bed.url}/v1/responses/${id}?stream=true&starting_after=2`);
        const read = [...(await again.text()).matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json!));
        expect(read).toEqual(events.slice(3));
      },
    );

    it('tells a failure as its last event', async () => {
      await using bed = await start({
        failure: { code: 'internal_error', message: 'Broken.', afterTokens: 1 },
        answer: ['a', 'b'],
      });
      const response = await bed.post('/v1/responses', { ...ASKED, stream: true });
      const names = [...(await response.text()).matchAll(/^event: (.*)$/gm)].map(([, name]) => name);
      expect(names.slice(-2)).toEqual(['error', 'response.failed']);
    });
  });

  describe('when its gateway is killed', () => {
    /** A gateway that is cut off from everything, as one that was killed. */
    async function killable(script: Script) {
      const cut = new UnreliableDatabase(database);
      const bed = await start(script, {}, cut);
      return {
        bed,
        kill: () => {
          cut.fate = () => 'fails before';
        },
      };
    }

    it('another one answers it, once', async () => {
      const { bed: dying, kill } = await killable(ENDLESS);
      await using _dying = dying;
      const { id } = await dying.client.responses.create(ASKED);
      await whenBegun(dying);
      kill();
      await using other = await start({ answer: ['Answered ', 'after all.'] });
      expect(await whenEnded(other.client, id)).toMatchObject({
        status: 'completed',
        output_text: 'Answered after all.',
      });
      expect(other.worker.started).toHaveLength(1);
      expect((await other.client.responses.inputItems.list(id)).data).toHaveLength(1);
    });

    it('and something of it was streamed, it fails, and no other answer is joined to it', async () => {
      const { bed: dying, kill } = await killable(ENDLESS);
      await using _dying = dying;
      const created = await dying.client.responses.create({ ...ASKED, stream: true });
      const seen: Event[] = [];
      for await (const event of created) {
        seen.push(event);
        if (seen.length === 20) break;
      }
      kill();
      await using other = await start({ answer: ['Another ', 'answer.'] });
      const { id } = (seen[0] as OpenAI.Responses.ResponseCreatedEvent).response;
      const ended = await whenEnded(other.client, id);
      expect(ended).toMatchObject({ status: 'failed', error: { message: expect.stringContaining('stopped') } });
      expect(other.worker.started).toEqual([]);
      const response = await fetch(`${other.url}/v1/responses/${id}?stream=true`);
      const events = [...(await response.text()).matchAll(/^data: (.*)$/gm)].map(
        ([, json]) => JSON.parse(json!) as Event,
      );
      expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, at) => at));
      expect(events.slice(0, 20)).toEqual(seen);
      expect(typesOfEnd(events)).toEqual(['error', 'response.failed']);
      const came = events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('');
      expect(came).not.toBe('');
      expect(ended.output).toMatchObject([{ type: 'message', status: 'incomplete', content: [{ text: came }] }]);
      expect(events.at(-1)).toMatchObject({ response: { output: ended.output } });
    });

    it('and nothing of it was streamed yet, its stream goes on with the answer of another', async () => {
      const { bed: dying, kill } = await killable(NEVER);
      await using _dying = dying;
      const created = await dying.client.responses.create({ ...ASKED, stream: true });
      let id = '';
      for await (const event of created) {
        id ||= (event as OpenAI.Responses.ResponseCreatedEvent).response.id;
        break;
      }
      await whenBegun(dying);
      kill();
      await using other = await start({ answer: ['Four ', 'metres.'] });
      const events = await collected(await other.client.responses.retrieve(id, { stream: true }));
      expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, at) => at));
      expect(events.at(-1)).toMatchObject({
        type: 'response.completed',
        response: { output: [{ content: [{ text: 'Four metres.' }] }] },
      });
    });

    const typesOfEnd = (events: readonly Event[]) => events.slice(-2).map(({ type }) => type);
  });

  describe('when its gateway stops', () => {
    it('its readers are told how to read on, before its first token too', async () => {
      const bed = await start(NEVER, { drainTimeoutMs: 100 });
      const response = await bed.post('/v1/responses', { ...ASKED, stream: true });
      await whenBegun(bed);
      const [seen] = await Promise.all([collected(rawEvents(response)), bed.gateway.drain()]);
      bed.worker.die();
      const { id } = (seen[0] as OpenAI.Responses.ResponseCreatedEvent).response;
      const [before, error] = seen.slice(-2);
      expect(error).toMatchObject({ code: 'shutting_down', sequence_number: before!.sequence_number });
      await using other = await start({ answer: ['After ', 'all.'] });
      const after = error!.sequence_number;
      const rest = await collected(await other.client.responses.retrieve(id, { stream: true, starting_after: after }));
      const all = [...seen.slice(0, -1), ...rest];
      expect(all.map(({ sequence_number }) => sequence_number)).toEqual(all.map((_, at) => at));
      expect(all.at(-1)).toMatchObject({ response: { status: 'completed' } });
    });

    it('is finished before, if there is time', async () => {
      await using other = await startKeeping(database, [], {}, await queueOf?.());
      const bed = await start({ answer: ['Done.'], stepsBeforeFirst: 200 }, { drainTimeoutMs: 20_000 });
      const { id } = await bed.client.responses.create(ASKED);
      await whenBegun(bed);
      await bed.gateway.drain();
      expect(await other.client.responses.retrieve(id)).toMatchObject({ status: 'completed', output_text: 'Done.' });
      bed.worker.die();
    });

    it('is answered by another, if there is none', async () => {
      const bed = await start(NEVER, { drainTimeoutMs: 100 });
      const { id } = await bed.client.responses.create(ASKED);
      await whenBegun(bed);
      await bed.gateway.drain();
      bed.worker.die();
      await using other = await start({ answer: ['After ', 'all.'] });
      expect(await whenEnded(other.client, id)).toMatchObject({ status: 'completed', output_text: 'After all.' });
    });
  });

  it('go on where they are when the queue has lost all jobs, and are begun nowhere else', async () => {
    await using bed = await start({ answer: WORDS, stepsBeforeFirst: 2_500 });
    const queued = await bed.client.responses.create(ASKED);
    const reading = collected(await bed.client.responses.create({ ...ASKED, stream: true }));
    await whenBegun(bed, 2);
    await forgetJobs(database);
    await using other = await start({ answer: ['Another.'] });
    expect(await whenEnded(other.client, queued.id)).toMatchObject({
      status: 'completed',
      output_text: WORDS.join(''),
    });
    expect((await reading).at(-1)).toMatchObject({ type: 'response.completed' });
    expect(other.worker.started).toEqual([]);
  });

  it('are answered although nothing reminds of them, as where Redis has lost all jobs', async () => {
    const { runs } = responsesOn(database);
    const response = responseOf({ status: 'queued', background: true, completed_at: null });
    const request = { body: ASKED };
    const run = {
      response,
      input: [question('How high?')],
      request,
      priority: 0,
      events: undefined,
      timeoutMs: 60_000,
    };
    await runs.queue(undefined, run);
    await using bed = await start({ answer: ['Yes.'] });
    expect(await whenEnded(bed.client, response.id)).toMatchObject({ status: 'completed', output_text: 'Yes.' });
  });

  it('fail in time although nobody is there to answer them', async () => {
    await using bed = await startKeeping(database, [], {}, await queueOf?.());
    const { runs } = responsesOn(database);
    const response = responseOf({ status: 'queued', background: true, completed_at: null });
    const run = { response, input: [], request: { body: ASKED }, priority: 0, events: [], timeoutMs: -60_000 };
    await runs.queue(undefined, run);
    expect(await whenEnded(bed.client, response.id)).toMatchObject({ status: 'failed' });
  });

  it('have each of their events written as JSON once, for the database and for whoever reads it', async () => {
    const words = Array.from({ length: 30 }, (_, at) => `wordnumber${at}x `);
    await using bed = await start({ answer: words });
    const { stringify } = JSON;
    const deltas: string[] = [];
    JSON.stringify = (...args: [unknown, never?, never?]) => {
      const json = stringify(...args);
      if (json?.includes('response.output_text.delta')) deltas.push(json);
      return json;
    };
    try {
      const told: string[] = [];
      for await (const event of await bed.client.responses.create({ ...ASKED, stream: true })) {
        if (event.type === 'response.output_text.delta') told.push(event.delta);
      }
      expect(told.join('')).toBe(words.join(''));
      expect(deltas).toHaveLength(told.length);
    } finally {
      JSON.stringify = stringify;
    }
  });

  it('are each answered once, by several gateways that share them', async () => {
    const script = { answer: ['x'], stepsBeforeFirst: 5 };
    await using one = await start(script, { backgroundResponsesPerKeyMax: 1_000 });
    await using two = await start(script, { backgroundResponsesPerKeyMax: 1_000 });
    const made = await Promise.all(
      Array.from({ length: 60 }, (_, at) => (at % 2 ? one : two).client.responses.create({ ...ASKED, input: `${at}` })),
    );
    for (const { id } of made) expect((await whenEnded(one.client, id)).status).toBe('completed');
    expect(one.worker.started.length + two.worker.started.length).toBe(60);
  });
}

async function* rawEvents(response: Response): AsyncGenerator<Event> {
  let text = '';
  for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
    const events = (text + piece).split('\n\n');
    text = events.pop()!;
    for (const event of events) {
      const json = /^data: (.*)$/m.exec(event)?.[1];
      if (json !== undefined) yield JSON.parse(json) as Event;
    }
  }
}
