import { spawnSync } from 'node:child_process';
import * as contracts from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { ROOT } from './stack.ts';

/** PyPI may be slow, or be reached and say nothing. */
const INSTALL_TIMEOUT_MS = 300_000;

/** OpenAI's clients are made from one reference, but not on one day: what is new may stand in Python's alone. */
const TABLES: readonly [module: string, name: string, table: contracts.ParameterTable][] = [
  ['chat.completion_create_params', 'CompletionCreateParamsBase', contracts.CHAT_PARAMETERS],
  ['completion_create_params', 'CompletionCreateParamsBase', contracts.TEXT_PARAMETERS],
  ['embedding_create_params', 'EmbeddingCreateParams', contracts.EMBEDDINGS_PARAMETERS],
  ['moderation_create_params', 'ModerationCreateParams', contracts.MODERATION_PARAMETERS],
  ['responses.response_create_params', 'ResponseCreateParamsBase', contracts.RESPONSE_PARAMETERS],
  ['responses.input_token_count_params', 'InputTokenCountParams', contracts.INPUT_TOKENS_PARAMETERS],
  ['conversations.conversation_create_params', 'ConversationCreateParams', contracts.CREATE_CONVERSATION_PARAMETERS],
  ['batch_create_params', 'BatchCreateParams', contracts.BATCH_PARAMETERS],
  ['file_create_params', 'FileCreateParams', contracts.FILE_PARAMETERS],
  ['upload_create_params', 'UploadCreateParams', contracts.UPLOAD_PARAMETERS],
  ['vector_store_create_params', 'VectorStoreCreateParams', contracts.CREATE_VECTOR_STORE_PARAMETERS],
  ['vector_store_search_params', 'VectorStoreSearchParams', contracts.SEARCH_VECTOR_STORE_PARAMETERS],
];

const TELL = `
import importlib, json, sys
for line in sys.stdin:
    module, name = line.split()
    found = getattr(importlib.import_module("openai.types." + module), name)
    print(json.dumps(sorted(key for base in reversed(found.__mro__) for key in getattr(base, "__annotations__", {}))))
`;

const python = spawnSync('tools/python-clients.sh', { cwd: ROOT, encoding: 'utf8', timeout: INSTALL_TIMEOUT_MS });
const reason = python.status === 0 ? '' : `: ${python.stderr.trim().split('\n').at(-1) || 'it took too long'}`;
if (reason !== '') console.warn(`Skipped: the parameters of openai-python, which is not to be had${reason}`);

describe.skipIf(reason !== '')('the compatibility page', () => {
  const input = TABLES.map(([module, name]) => `${module} ${name}\n`).join('');
  const told = reason === '' ? spawnSync(python.stdout.trim(), ['-c', TELL], { encoding: 'utf8', input }) : undefined;
  const lists = (told?.stdout ?? '').trim().split('\n');

  it.each(TABLES.map(([module, , table], at) => [module, at, table] as const))(
    'has all of openai-python’s %s',
    (_, at, table) => {
      expect(told?.stderr).toBe('');
      const theirs = JSON.parse(lists[at]!) as string[];
      expect(theirs.length).toBeGreaterThan(1);
      expect(theirs.filter((parameter) => !Object.hasOwn(table, parameter))).toEqual([]);
    },
  );
});
