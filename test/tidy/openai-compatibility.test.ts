import type { ParameterTable } from '@millrace/contracts';
import * as contracts from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { parameterRows } from '../../tools/docs/pages.js';
import { parametersOf, type RequestInterface, requestInterfaces, wordsOf } from './openai-reference.js';
import { readText } from './source-files.js';

interface Held extends RequestInterface {
  /** What of it is part of the path, or stands in another table since it goes another way. */
  readonly elsewhere?: readonly string[];
}

type TableName = Extract<keyof typeof contracts, `${string}_PARAMETERS`>;

/** Which of OpenAI's requests each table answers for. */
const HELD: Partial<Record<TableName, readonly Held[]>> = {
  CHAT_PARAMETERS: [{ file: 'chat/completions/completions', name: 'ChatCompletionCreateParamsBase' }],
  LIST_STORED_CHATS_PARAMETERS: [{ file: 'chat/completions/completions', name: 'ChatCompletionListParams' }],
  CHANGE_STORED_CHAT_PARAMETERS: [{ file: 'chat/completions/completions', name: 'ChatCompletionUpdateParams' }],
  LIST_STORED_MESSAGES_PARAMETERS: [{ file: 'chat/completions/messages', name: 'MessageListParams' }],
  TEXT_PARAMETERS: [{ file: 'completions', name: 'CompletionCreateParamsBase' }],
  EMBEDDINGS_PARAMETERS: [{ file: 'embeddings', name: 'EmbeddingCreateParams' }],
  MODERATION_PARAMETERS: [{ file: 'moderations', name: 'ModerationCreateParams' }],
  FILE_PARAMETERS: [{ file: 'files', name: 'FileCreateParams' }],
  LIST_FILES_PARAMETERS: [{ file: 'files', name: 'FileListParams' }],
  UPLOAD_PARAMETERS: [{ file: 'uploads/uploads', name: 'UploadCreateParams' }],
  COMPLETE_UPLOAD_PARAMETERS: [{ file: 'uploads/uploads', name: 'UploadCompleteParams' }],
  BATCH_PARAMETERS: [{ file: 'batches', name: 'BatchCreateParams' }],
  LIST_BATCHES_PARAMETERS: [{ file: 'batches', name: 'BatchListParams' }],
  CREATE_VECTOR_STORE_PARAMETERS: [{ file: 'vector-stores/vector-stores', name: 'VectorStoreCreateParams' }],
  CHANGE_VECTOR_STORE_PARAMETERS: [{ file: 'vector-stores/vector-stores', name: 'VectorStoreUpdateParams' }],
  LIST_VECTOR_STORES_PARAMETERS: [{ file: 'vector-stores/vector-stores', name: 'VectorStoreListParams' }],
  SEARCH_VECTOR_STORE_PARAMETERS: [{ file: 'vector-stores/vector-stores', name: 'VectorStoreSearchParams' }],
  CREATE_VECTOR_STORE_FILE_PARAMETERS: [{ file: 'vector-stores/files', name: 'FileCreateParams' }],
  CHANGE_VECTOR_STORE_FILE_PARAMETERS: [
    { file: 'vector-stores/files', name: 'FileUpdateParams', elsewhere: ['vector_store_id'] },
  ],
  LIST_VECTOR_STORE_FILES_PARAMETERS: [
    { file: 'vector-stores/files', name: 'FileListParams' },
    { file: 'vector-stores/file-batches', name: 'FileBatchListFilesParams', elsewhere: ['vector_store_id'] },
  ],
  CREATE_FILE_BATCH_PARAMETERS: [{ file: 'vector-stores/file-batches', name: 'FileBatchCreateParams' }],
  RESPONSE_PARAMETERS: [{ file: 'responses/responses', name: 'ResponseCreateParamsBase' }],
  RETRIEVE_RESPONSE_PARAMETERS: [{ file: 'responses/responses', name: 'ResponseRetrieveParamsBase' }],
  INPUT_TOKENS_PARAMETERS: [{ file: 'responses/input-tokens', name: 'InputTokenCountParams' }],
  LIST_INPUT_ITEMS_PARAMETERS: [
    { file: 'responses/input-items', name: 'InputItemListParams' },
    { file: 'conversations/items', name: 'ItemListParams' },
  ],
  CREATE_CONVERSATION_PARAMETERS: [{ file: 'conversations/conversations', name: 'ConversationCreateParams' }],
  CHANGE_CONVERSATION_PARAMETERS: [{ file: 'conversations/conversations', name: 'ConversationUpdateParams' }],
  CREATE_CONVERSATION_ITEMS_PARAMETERS: [
    { file: 'conversations/items', name: 'ItemCreateParams', elsewhere: ['include'] },
  ],
  INCLUDE_PARAMETERS: [{ file: 'conversations/items', name: 'ItemRetrieveParams', elsewhere: ['conversation_id'] }],
};

/** What takes nothing but what is in its path, or is no JSON: the page tells of it in prose. */
const WITHOUT_A_TABLE: readonly (RequestInterface & { readonly parameters: readonly string[] })[] = [
  { file: 'uploads/parts', name: 'PartCreateParams', parameters: ['data'] },
  { file: 'vector-stores/files', name: 'FileRetrieveParams', parameters: ['vector_store_id'] },
  { file: 'vector-stores/files', name: 'FileDeleteParams', parameters: ['vector_store_id'] },
  { file: 'vector-stores/files', name: 'FileContentParams', parameters: ['vector_store_id'] },
  { file: 'vector-stores/file-batches', name: 'FileBatchRetrieveParams', parameters: ['vector_store_id'] },
  { file: 'vector-stores/file-batches', name: 'FileBatchCancelParams', parameters: ['vector_store_id'] },
  { file: 'conversations/items', name: 'ItemDeleteParams', parameters: ['conversation_id'] },
];

/** Of endpoints that are not served. An entry goes as soon as a table above answers for it; until then it is a 404. */
const MISSING: readonly (RequestInterface & { readonly why: string })[] = [
  {
    file: 'responses/responses',
    name: 'ResponseCompactParams',
    why: 'A conversation is not put together here: what would come of it only OpenAI can read.',
  },
];

/** OpenAI's as well, but so far in its client for Python alone (test/e2e/python-parameters.test.ts): an entry goes when the next release has it. */
const IN_PYTHON_FIRST: ReadonlySet<string> = new Set(['background_options']);

/** Of what OpenAI has no counterpart for. */
const OURS: readonly string[] = [
  'PLAIN_CHAT_PARAMETERS',
  'CHAT_PROMPT_PARAMETERS',
  'RERANK_PARAMETERS',
  'TOKENIZE_PARAMETERS',
  'DETOKENIZE_PARAMETERS',
  'APPLY_TEMPLATE_PARAMETERS',
];

/** Anthropic's: libs/contracts/src/anthropic/messages.test.ts holds them to its client's types. */
const ANTHROPICS: readonly string[] = ['MESSAGES_PARAMETERS', 'COUNT_TOKENS_PARAMETERS'];

/** What checks the requests of each table. */
const SCHEMAS: Partial<Record<TableName, { readonly shape: object }>> = {
  CHAT_PARAMETERS: contracts.chatRequestSchema,
  LIST_STORED_CHATS_PARAMETERS: contracts.listStoredChatsSchema,
  CHANGE_STORED_CHAT_PARAMETERS: contracts.changeStoredChatSchema,
  LIST_STORED_MESSAGES_PARAMETERS: contracts.listStoredMessagesSchema,
  TEXT_PARAMETERS: contracts.textRequestSchema,
  EMBEDDINGS_PARAMETERS: contracts.embeddingsRequestSchema,
  MODERATION_PARAMETERS: contracts.moderationRequestSchema,
  RERANK_PARAMETERS: contracts.rerankRequestSchema,
  TOKENIZE_PARAMETERS: contracts.tokenizeRequestSchema,
  DETOKENIZE_PARAMETERS: contracts.detokenizeRequestSchema,
  APPLY_TEMPLATE_PARAMETERS: contracts.applyTemplateRequestSchema,
  PLAIN_CHAT_PARAMETERS: contracts.plainChatRequestSchema,
  LIST_FILES_PARAMETERS: contracts.listFilesSchema,
  UPLOAD_PARAMETERS: contracts.createUploadSchema,
  COMPLETE_UPLOAD_PARAMETERS: contracts.completeUploadSchema,
  BATCH_PARAMETERS: contracts.createBatchSchema,
  LIST_BATCHES_PARAMETERS: contracts.listBatchesSchema,
  CREATE_VECTOR_STORE_PARAMETERS: contracts.createVectorStoreSchema,
  CHANGE_VECTOR_STORE_PARAMETERS: contracts.changeVectorStoreSchema,
  LIST_VECTOR_STORES_PARAMETERS: contracts.listVectorStoresSchema,
  SEARCH_VECTOR_STORE_PARAMETERS: contracts.searchVectorStoreSchema,
  CREATE_VECTOR_STORE_FILE_PARAMETERS: contracts.createVectorStoreFileSchema,
  CHANGE_VECTOR_STORE_FILE_PARAMETERS: contracts.changeVectorStoreFileSchema,
  LIST_VECTOR_STORE_FILES_PARAMETERS: contracts.listVectorStoreFilesSchema,
  CREATE_FILE_BATCH_PARAMETERS: contracts.createFileBatchSchema,
  RESPONSE_PARAMETERS: contracts.responseRequestSchema,
  RETRIEVE_RESPONSE_PARAMETERS: contracts.retrieveResponseSchema,
  INPUT_TOKENS_PARAMETERS: contracts.inputTokensRequestSchema,
  LIST_INPUT_ITEMS_PARAMETERS: contracts.listInputItemsSchema,
  CREATE_CONVERSATION_PARAMETERS: contracts.createConversationSchema,
  CHANGE_CONVERSATION_PARAMETERS: contracts.changeConversationSchema,
  CREATE_CONVERSATION_ITEMS_PARAMETERS: contracts.createConversationItemsSchema,
  INCLUDE_PARAMETERS: contracts.includeQuerySchema,
};

const tables = Object.fromEntries(
  Object.entries(contracts).filter(([name]) => name.endsWith('_PARAMETERS')),
) as unknown as Readonly<Record<string, ParameterTable>>;
const held = Object.entries(HELD) as [string, readonly Held[]][];
const named = (request: RequestInterface) => `${request.name} of ${request.file}`;

/** Of a request, but for what is elsewhere. */
function askedOf(request: Held): string[] {
  return parametersOf(request).filter((name) => !request.elsewhere?.includes(name));
}

describe('the parameters of the openai package', () => {
  it.each(held.flatMap(([table, requests]) => requests.map((request) => [named(request), table, request] as const)))(
    '%s all stand in %s',
    (_, table, request) => {
      const asked = askedOf(request);
      expect(asked.length).toBeGreaterThan(0);
      const missing = asked.filter((name) => !Object.hasOwn(tables[table] ?? {}, name));
      expect(missing, 'Say what becomes of each: supported, ignored or refused').toEqual([]);
    },
  );

  it.each(held.map(([table, requests]) => [table, requests] as const))(
    'are all that %s has, but for what it calls an extension',
    (table, requests) => {
      const theirs = new Set(requests.flatMap(askedOf));
      expect([...IN_PYTHON_FIRST].filter((name) => theirs.has(name))).toEqual([]);
      const further = Object.entries(tables[table] ?? {})
        .filter(
          ([name, { note = '' }]) => !theirs.has(name) && !IN_PYTHON_FIRST.has(name) && !/\bextension\b/i.test(note),
        )
        .map(([name]) => name);
      expect(further, 'Begin its note with “An extension”, or take it out').toEqual([]);
    },
  );

  it('have a table for every request of what is served', () => {
    const listed = [...held.flatMap(([, requests]) => requests), ...WITHOUT_A_TABLE, ...MISSING];
    const files = [...new Set(listed.map(({ file }) => file))];
    const unknown = files.flatMap((file) =>
      requestInterfaces(file)
        .filter((name) => !listed.some((one) => one.file === file && one.name === name))
        .map((name) => named({ file, name })),
    );
    expect(unknown, 'New in the reference: give each a table').toEqual([]);
  });

  it('are nothing but a path where there is no table', () => {
    for (const { parameters, ...request } of WITHOUT_A_TABLE)
      expect(parametersOf(request), named(request)).toEqual(parameters);
  });

  it('are missing no longer than they have to', () => {
    for (const { why, ...request } of MISSING) expect(parametersOf(request).length, why).toBeGreaterThan(0);
    const answered = held.flatMap(([, requests]) => requests.map(named));
    const over = MISSING.map(named).filter((one) => answered.includes(one));
    expect(over, 'A table answers for it now: take it out of MISSING').toEqual([]);
  });
});

describe('the words of the openai package', () => {
  it('for how much to think are all taken, of a chat and of a response', () => {
    const efforts = wordsOf({ file: 'shared', name: 'ReasoningEffort' });
    expect(efforts).toContain('high');
    for (const effort of efforts) {
      const chat = { messages: [{ role: 'user', content: 'Hi' }], reasoning_effort: effort };
      expect(contracts.chatRequestSchema.safeParse(chat).success, `${effort} in a chat`).toBe(true);
      const response = { input: 'Hi', reasoning: { effort } };
      expect(contracts.responseRequestSchema.safeParse(response).success, `${effort} in a response`).toBe(true);
    }
  });
});

describe('the endpoints of a batch of the openai package', () => {
  /** Nothing here makes pictures or films, and a batch that asks for them is a 400. */
  const NOT_SERVED = ['/v1/images/generations', '/v1/images/edits', '/v1/videos'];

  it('are all taken, but for those that nobody serves', () => {
    const endpoints = wordsOf({ file: 'batches', name: 'BatchCreateParams' }, 'endpoint');
    expect([...contracts.BATCH_ENDPOINTS, ...NOT_SERVED].sort()).toEqual(endpoints.sort());
  });
});

describe('a table of parameters', () => {
  it.each(Object.keys(tables))('%s is held to the reference, or known to be ours', (table) => {
    const known = [...held.map(([name]) => name), ...OURS, ...ANTHROPICS];
    expect(
      known,
      'Name the requests of the openai package that it answers for in HELD, and take them out of MISSING',
    ).toContain(table);
  });

  it.each(Object.entries(SCHEMAS))(
    '%s says “supported” of what its requests are checked for, and of all of it',
    (table, { shape }) => {
      const parameters = Object.entries(tables[table]!);
      const supported = parameters.filter(([, { status }]) => status === 'supported').map(([name]) => name);
      expect(
        supported.filter((name) => !Object.hasOwn(shape, name)),
        'Nothing reads these',
      ).toEqual([]);
      const refused = parameters.filter(([, { status }]) => status === 'refused').map(([name]) => name);
      const read = Object.keys(shape).filter((name) => !Object.hasOwn(tables[table]!, name) || refused.includes(name));
      expect(read, 'These are read, and the table does not say so').toEqual([]);
    },
  );

  // Whole, and made of this very table: of one that is not there, all rows may stand in others.
  it.each(Object.entries(tables).filter(([name]) => name !== 'CHAT_PROMPT_PARAMETERS'))(
    '%s is on the page',
    (name, table) => {
      const api = ANTHROPICS.includes(name) ? 'anthropic' : 'openai';
      const page = readText(`docs/reference/${api}-compatibility.md`);
      expect(page, 'Put the table on the page, in tools/docs/pages.ts').toContain(`\n\n${parameterRows(table)}\n`);
      expect(readText('tools/docs/pages.ts'), 'No section of the page is made of it').toContain(
        `{parameterRows(${name})}`,
      );
    },
  );
});
