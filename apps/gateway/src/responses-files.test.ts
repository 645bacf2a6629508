import type { FileSearchCallItem, ResponseBody } from '@millrace/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Script, ScriptedToken } from './dispatch/fake-worker.testing.js';
import { folderOfItsOwn } from './files/files.testing.js';
import type { TestBed } from './gateway.testing.js';
import { whenEnded } from './kept-responses.testing.js';
import { openEmbedded } from './request-log/database.testing.js';
import { responseOf, responsesOn } from './responses/responses.testing.js';
import { calling, messagesOf, streamedEvents } from './responses.testing.js';
import { PgvectorStore } from './stores/adapters/pgvector-store.js';
import { SqlJobQueue } from './stores/adapters/sql-job-queue.js';
import { clientOf, upload, VECTORS, vectorStoreBed } from './vector-stores.testing.js';

const TIDES = 'The tide at Saint-Malo rises by twelve metres.';
const SHIPS = 'A barque has three masts.';

let bed: TestBed;
let store: string;
let tides: string;
/** What the model answers, turn by turn. */
let turns: Script[] = [];
/** Turns so far. */
let asked = 0;

beforeAll(async () => {
  const database = await openEmbedded();
  const stores = { database, objects: folderOfItsOwn(), vectors: new PgvectorStore(database, { timeoutMs: 10_000 }) };
  const models = [{ id: 'demo', isDefault: true }, VECTORS];
  const script = (): Script => turns[asked++] ?? { answer: ['Nothing more.'] };
  const responseTables = responsesOn(database);
  const responseJobs = new SqlJobQueue(database, { queue: 'responses', leaseMs: 4_000, jobsMax: 100, pauseMsMax: 100 });
  const kept = {
    responseTables,
    responses: responseTables.responses,
    responseJobs,
    close: () => responseJobs.close(),
  };
  const settings = { creditTokens: 1, vectorStoreModel: 'vectors' } as const;
  bed = await vectorStoreBed(stores, settings, [{ models, script }], undefined, kept);
  const { client } = bed;
  store = (await client.vectorStores.create({ name: 'sea' })).id;
  for (const [name, text] of [
    ['tides.txt', TIDES],
    ['ships.txt', SHIPS],
  ] as const) {
    const file = await upload(client, name, text);
    const attached = { file_id: file, attributes: { kind: name.slice(0, 5) } };
    await client.vectorStores.files.createAndPoll(store, attached, { pollIntervalMs: 50 });
    if (name === 'tides.txt') tides = file;
  }
}, 120_000);
afterAll(() => bed[Symbol.asyncDispose]());

const searching = (...queries: string[]): ScriptedToken[] =>
  calling(0, 'file_search', JSON.stringify({ queries }).slice(0, 9), JSON.stringify({ queries }).slice(9));
const answers = (...scripts: Script[]) => {
  turns = scripts;
  asked = 0;
  bed.worker.started.length = 0;
};
const tool = (changes: object = {}) => ({
  type: 'file_search' as const,
  vector_store_ids: [store],
  max_num_results: 1,
  ...changes,
});
const body = (changes: object = {}) => ({
  model: 'demo',
  input: 'How high does the tide rise?',
  store: false,
  tools: [tool()],
  ...changes,
});

describe('a response that searches files', { timeout: 30_000 }, () => {
  it('reads what was found, and answers from it', async () => {
    answers({ answer: searching(TIDES), reason: 'tool_calls' }, { answer: ['By twelve metres.'] });
    const response = await bed.client.responses.create(body({ include: ['file_search_call.results'] }));
    expect(response.output_text).toBe('By twelve metres.');
    expect(response.output).toMatchObject([
      {
        type: 'file_search_call',
        id: expect.stringMatching(/^fs_/),
        status: 'completed',
        queries: [TIDES],
        results: [{ file_id: tides, filename: 'tides.txt', text: TIDES, attributes: { kind: 'tides' } }],
      },
      { type: 'message', content: [{ text: 'By twelve metres.' }] },
    ]);
    expect((response.output[0] as FileSearchCallItem).results?.[0]?.score).toBeGreaterThan(0.9);
    const [, call, result] = messagesOf(bed, 1);
    expect(call).toMatchObject({
      role: 'assistant',
      content: null,
      tool_calls: [{ function: { name: 'file_search' } }],
    });
    expect(result).toMatchObject({ role: 'tool', content: expect.stringContaining(TIDES) });
    // Both turns count: the second reads more.
    expect(response.usage).toMatchObject({ output_tokens: 4 + 2 });
    expect(bed.records().slice(-3)).toMatchObject([
      { endpoint: 'responses', outcome: 'served' },
      { endpoint: 'vector_stores', outcome: 'served' },
      { endpoint: 'responses', outcome: 'served' },
    ]);
  });

  it('tells in a stream how far it is, and of its results only where they were asked for', async () => {
    answers({ answer: ['Let me see. ', ...searching('tides')], reason: 'tool_calls' }, { answer: ['Twelve.'] });
    const events = await streamedEvents(bed, body());
    expect(events.map(({ type }) => type).slice(7)).toEqual([
      'response.output_item.done',
      'response.output_item.added',
      'response.file_search_call.in_progress',
      'response.file_search_call.searching',
      'response.file_search_call.completed',
      'response.output_item.done',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, index) => index));
    const { response } = events.at(-1) as { response: ResponseBody };
    expect(response.output).toMatchObject([
      { type: 'message' },
      { type: 'file_search_call', queries: ['tides'], results: null },
      { type: 'message' },
    ]);
  });

  it('satisfies the stream helper of the official client', async () => {
    answers({ answer: searching('tides'), reason: 'tool_calls' }, { answer: ['Twelve.'] });
    const { output_text, output } = await bed.client.responses.stream(body()).finalResponse();
    expect(output_text).toBe('Twelve.');
    expect(output.map(({ type }) => type)).toEqual(['file_search_call', 'message']);
  });

  it('finds only what its filters let through', async () => {
    answers({ answer: searching(TIDES), reason: 'tool_calls' });
    const filters = { type: 'eq' as const, key: 'kind', value: 'ships' };
    const include = ['file_search_call.results' as const];
    const response = await bed.client.responses.create(body({ tools: [tool({ filters })], include }));
    expect(response.output[0]).toMatchObject({ results: [{ filename: 'ships.txt' }] });
  });

  it('says which file an answer cites, where the model can cite', async () => {
    const citing = (end: number) => ({
      citations: [
        { start: 0, end, sources: [{ source: { $case: 'toolResult' as const, value: { callId, result: 0 } } }] },
      ],
    });
    let callId = '';
    answers({ answer: searching(TIDES), reason: 'tool_calls' });
    Object.defineProperty(turns, 1, {
      get: (): Script => {
        const { tool_call_id } = messagesOf(bed, 1).at(-1) as { tool_call_id: string };
        callId = tool_call_id;
        return { answer: ['Twelve.', citing(6)] };
      },
    });
    const response = await bed.client.responses.create(body());
    expect(response.output.at(-1)).toMatchObject({
      content: [{ annotations: [{ type: 'file_citation', file_id: tides, filename: 'tides.txt', index: 6 }] }],
    });
  });

  it('hands calls of other functions to the client, once it has searched', async () => {
    const tools = [tool(), { type: 'function' as const, name: 'f', parameters: null, strict: null }];
    answers({ answer: [...searching('tides'), ...calling(1, 'f', '{}')], reason: 'tool_calls' });
    const response = await bed.client.responses.create(body({ tools }));
    expect(response).toMatchObject({
      status: 'completed',
      output: [
        { type: 'file_search_call', status: 'completed' },
        { type: 'function_call', name: 'f' },
      ],
    });
    expect(bed.worker.started).toHaveLength(1);
  });

  it('searches no more often than it may: then the model has nothing to search with', async () => {
    const again = { answer: searching('tides'), reason: 'tool_calls' } as const;
    answers(again, again, { answer: ['Enough.'] });
    const response = await bed.client.responses.create(body({ max_tool_calls: 2, tool_choice: 'required' }));
    expect(response.output.map(({ type }) => type)).toEqual(['file_search_call', 'file_search_call', 'message']);
    const toolsOf = (turn: number) => bed.worker.started[turn]?.prompt as { value: { toolsJson: string } };
    expect(toolsOf(1).value).toMatchObject({
      toolsJson: expect.stringContaining('file_search'),
      toolChoice: undefined,
    });
    expect(toolsOf(2).value.toolsJson).toBe('');
  });

  it('says of searches beyond what it may that they were not made', async () => {
    const several = [...searching('a'), ...calling(1, 'file_search', '{"queries":["b"]}')];
    answers({ answer: several, reason: 'tool_calls' }, { answer: ['Done.'] });
    const { output } = await bed.client.responses.create(body({ max_tool_calls: 1 }));
    expect(output).toMatchObject([
      { status: 'completed', queries: ['a'] },
      { status: 'incomplete', queries: ['b'] },
      { type: 'message' },
    ]);
  });

  it('has no more tokens for all of its turns than it was given', async () => {
    answers({ answer: searching('tides'), reason: 'tool_calls' }, { answer: ['Twelve.'] });
    const cut = await bed.client.responses.create(body({ max_output_tokens: 3 }));
    expect(cut).toMatchObject({ status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } });
    answers({ answer: searching('tides'), reason: 'tool_calls' }, { answer: ['Twelve.'] });
    await bed.client.responses.create(body({ max_output_tokens: 10 }));
    expect(bed.worker.started.map(({ maxTokens }) => maxTokens)).toEqual([10, 6]);
  });

  it('goes on where the model searches for nothing', async () => {
    answers({ answer: calling(0, 'file_search', '{"que'), reason: 'tool_calls' }, { answer: ['Well.'] });
    const { output } = await bed.client.responses.create(body());
    expect(output).toMatchObject([{ type: 'file_search_call', queries: [] }, { content: [{ text: 'Well.' }] }]);
  });

  it.each([
    ['a store that is not there', () => [tool({ vector_store_ids: ['vs_none'] })], 404, 'tools[0].vector_store_ids[0]'],
    ['a filter that is none', () => [tool({ filters: { type: 'like' } })], 400, 'tools[0].filters.type'],
    ['two of them', () => [tool(), tool()], 400, 'tools[1]'],
    ['a function of the same name', () => [tool(), { type: 'function', name: 'file_search' }], 400, 'tools[1].name'],
  ])('is refused with %s, before a model is asked', async (_what, tools, status, param) => {
    answers();
    const response = await bed.post('/v1/responses', body({ tools: tools() }));
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { param } });
    expect(bed.worker.started).toHaveLength(0);
  });

  it('finds nothing of another key', async () => {
    answers();
    const other = clientOf(bed, 'somebody');
    await expect(other.responses.create(body())).rejects.toMatchObject({ status: 404, code: 'vector_store_not_found' });
  });
});

describe('what goes on from a response that searched files', { timeout: 30_000 }, () => {
  const f = { type: 'function' as const, name: 'f', parameters: null, strict: null };
  const found = [{ file_id: '', filename: 'tides.txt', text: TIDES }];
  const rolesOf = (turn: number) =>
    messagesOf(bed, turn).map(({ role, tool_calls }) =>
      tool_calls === undefined
        ? role
        : `calls ${(tool_calls as { function: { name: string } }[]).map((call) => call.function.name)}`,
    );
  const readIn = (turn: number) =>
    messagesOf(bed, turn)
      .filter(({ role }) => role === 'tool')
      .map(({ content }) => content);
  const foundText = () => JSON.stringify(found.map((one) => ({ ...one, file_id: tides })));

  it('reads what was found, though nobody was told, in the midst of the client’s own calls', async () => {
    const searchAndCall = [...searching(TIDES), ...calling(1, 'f', '{}')];
    answers({ answer: searchAndCall, reason: 'tool_calls' }, { answer: ['Twelve.'] });
    const first = await bed.client.responses.create(body({ store: true, tools: [tool(), f] }));
    expect(first.output[0]).toMatchObject({ type: 'file_search_call', status: 'completed', results: null });
    const { call_id } = first.output[1] as { call_id: string };
    const output = { type: 'function_call_output', call_id, output: 'fine' };
    await bed.client.responses.create(
      body({ store: true, tools: [tool(), f], previous_response_id: first.id, input: [output] }),
    );
    expect(rolesOf(1)).toEqual(['user', 'calls file_search', 'tool', 'calls f', 'tool']);
    expect(readIn(1)).toEqual([foundText(), 'fine']);
  });

  it.each([false, true])(
    'reads what was found in the turns before, in its conversation (stream: %s)',
    async (stream) => {
      const conversation = (await bed.client.conversations.create()).id;
      answers({ answer: ['Let me see. ', ...searching(TIDES)], reason: 'tool_calls' }, { answer: ['Twelve.'] });
      const asked = body({ store: true, conversation });
      if (stream) await streamedEvents(bed, asked);
      else await bed.client.responses.create(asked);
      await bed.client.responses.create(body({ store: true, conversation, input: 'Sure?' }));
      expect(rolesOf(2)).toEqual(['user', 'calls file_search', 'tool', 'assistant', 'user']);
      expect(readIn(2)).toEqual([foundText()]);
      const { data } = await bed.client.conversations.items.list(conversation, { order: 'asc' });
      expect(data[2]).toMatchObject({ type: 'file_search_call', results: null });
      expect(data[2]).not.toHaveProperty('found');
      const include = ['file_search_call.results' as const];
      const told = await bed.client.conversations.items.list(conversation, { order: 'asc', include });
      expect(told.data[2]).toMatchObject({ results: [{ file_id: tides, text: TIDES }] });
      const one = { conversation_id: conversation };
      expect(await bed.client.conversations.items.retrieve(data[2]!.id!, one)).toEqual(data[2]);
      expect(await bed.client.conversations.items.retrieve(data[2]!.id!, { ...one, include })).toEqual(told.data[2]);
    },
  );

  it('reads what was found in the background', async () => {
    answers({ answer: searching(TIDES), reason: 'tool_calls' }, { answer: ['Twelve.'] });
    const queued = await bed.client.responses.create(body({ store: true, background: true }));
    const ended = await whenEnded(bed.client, queued.id);
    expect(ended.output[0]).toMatchObject({ type: 'file_search_call', results: null });
    await bed.client.responses.create(body({ previous_response_id: queued.id, input: 'Sure?' }));
    expect(rolesOf(2)).toEqual(['user', 'calls file_search', 'tool', 'assistant', 'user']);
    expect(readIn(2)).toEqual([foundText()]);
  });

  it('is told what was found by whoever asks for it, then or later', async () => {
    const include = ['file_search_call.results' as const];
    answers({ answer: searching(TIDES), reason: 'tool_calls' }, { answer: ['Twelve.'] });
    const quiet = await bed.client.responses.create(body({ store: true }));
    expect(await bed.client.responses.retrieve(quiet.id)).toEqual(quiet);
    const told = await bed.client.responses.retrieve(quiet.id, { include });
    expect(told.output[0]).toEqual({
      ...quiet.output[0],
      results: [{ ...found[0], file_id: tides, score: expect.any(Number), attributes: { kind: 'tides' } }],
    });
    answers({ answer: searching(TIDES), reason: 'tool_calls' }, { answer: ['Twelve.'] });
    const loud = await bed.client.responses.create(body({ store: true, include }));
    expect(await bed.client.responses.retrieve(loud.id)).toEqual(loud);
  });

  it('takes what was found along when it refers to the search', async () => {
    answers({ answer: searching(TIDES), reason: 'tool_calls' }, { answer: ['Twelve.'] });
    const { output } = await bed.client.responses.create(body({ store: true }));
    const input = [
      { type: 'item_reference', id: output[0]!.id! },
      { role: 'user', content: 'Really?' },
    ];
    const next = await bed.client.responses.create(body({ store: true, input }));
    expect(rolesOf(2)).toEqual(['calls file_search', 'tool', 'user']);
    const { data } = await bed.client.responses.inputItems.list(next.id, { order: 'asc' });
    expect(data[0]).toEqual(output[0]);
    const include = ['file_search_call.results' as const];
    const told = await bed.client.responses.inputItems.list(next.id, { order: 'asc', include });
    expect(told.data[0]).toMatchObject({ results: [{ file_id: tides }] });
  });

  it('finds nothing kept of one that is larger, with what it found, than may be kept', async () => {
    const { responses } = responsesOn(await openEmbedded(), { responseBytesMax: 2_000 });
    const response = responseOf({
      output: [{ id: 'fs_1', type: 'file_search_call', status: 'completed', queries: [], results: null }],
    });
    const result = (length: number) => ({ ...found[0]!, text: 'x'.repeat(length), score: 1, attributes: {} });
    const keep = (length: number) =>
      responses.keep('ann', { response, input: [], found: new Map([['fs_1', [result(length)]]]) });
    await expect(keep(2_000)).rejects.toMatchObject({ code: 'response_too_large' });
    await keep(200);
  });
});
