import {
  APPLY_TEMPLATE_PARAMETERS,
  BATCH_PARAMETERS,
  CHANGE_CONVERSATION_PARAMETERS,
  CHANGE_VECTOR_STORE_PARAMETERS,
  CHAT_PARAMETERS,
  COMPLETE_UPLOAD_PARAMETERS,
  CREATE_CONVERSATION_ITEMS_PARAMETERS,
  CREATE_CONVERSATION_PARAMETERS,
  CREATE_FILE_BATCH_PARAMETERS,
  CREATE_VECTOR_STORE_FILE_PARAMETERS,
  CREATE_VECTOR_STORE_PARAMETERS,
  DETOKENIZE_PARAMETERS,
  EMBEDDINGS_PARAMETERS,
  ERROR_CATALOG,
  FILE_PARAMETERS,
  INPUT_TOKENS_PARAMETERS,
  LIST_BATCHES_PARAMETERS,
  LIST_FILES_PARAMETERS,
  LIST_INPUT_ITEMS_PARAMETERS,
  openApiDocument,
  type Parameter,
  type ParameterTable,
  PLAIN_CHAT_PARAMETERS,
  PLAIN_CHAT_PARAMS,
  RERANK_PARAMETERS,
  RESPONSE_PARAMETERS,
  RETRIEVE_RESPONSE_PARAMETERS,
  renderConfigurationReference,
  renderEnvExample,
  SEARCH_VECTOR_STORE_PARAMETERS,
  TEXT_PARAMETERS,
  TOKENIZE_PARAMETERS,
  UPLOAD_PARAMETERS,
} from '@millrace/contracts';
import type { MetricDeclaration } from '@millrace/runtime';

/**
 * The pages that are made from the code. `make docs` writes them; test/tidy/reference-pages.test.ts compares them, so that
 * a setting, an error, a metric or a parameter can't change without its page.
 */
export interface MetricsByProcess {
  readonly gateway: readonly MetricDeclaration[];
  readonly worker: readonly MetricDeclaration[];
}

export interface Page {
  /** From the root. */
  readonly path: string;
  readonly text: string;
}

export function referencePages(metrics: MetricsByProcess): Page[] {
  return [
    { path: 'docs/reference/configuration.md', text: renderConfigurationReference() },
    { path: '.env.example', text: renderEnvExample() },
    { path: 'docs/reference/errors.md', text: errorsPage() },
    { path: 'docs/reference/metrics.md', text: metricsPage(metrics) },
    { path: 'docs/reference/openai-compatibility.md', text: compatibilityPage() },
    { path: 'libs/contracts/openapi/openapi.json', text: `${JSON.stringify(openApiDocument(), null, 2)}\n` },
  ];
}

const GENERATED = '<!-- Written by `make docs`. Change the code it names, not this page. -->';

function errorsPage(): string {
  const rows = Object.entries(ERROR_CATALOG).map(
    ([code, { status, type, meaning, remedy }]) => `| ${status} | \`${code}\` | \`${type}\` | ${meaning} | ${remedy} |`,
  );
  return `# Errors

${GENERATED}

Every failure has OpenAI's shape, so that OpenAI's clients raise their own exceptions for it:

\`\`\`json
{"error": {"message": "…", "type": "invalid_request_error", "param": "messages[0].content", "code": "invalid_request"}}
\`\`\`

\`message\` is a sentence for people and may change; \`code\` is for programs and stays. \`param\` names the value at fault, or
is \`null\`. Every answer carries \`x-request-id\`: the same id stands in the gateway's log line of that request. With
\`Retry-After\`, wait that many seconds; OpenAI's clients do so by themselves for 408, 429 and 5xx.

A stream that fails after its first chunk has spent its status: the error then comes as a last event,
\`data: {"error": …}\`, and no \`data: [DONE]\` follows.

The table is \`ERROR_CATALOG\` in \`libs/contracts/src/errors/inference-error.ts\`.

| status | code | type | what it means | what to do |
| ---: | --- | --- | --- | --- |
${rows.join('\n')}
`;
}

function metricsPage({ gateway, worker }: MetricsByProcess): string {
  return `# Metrics

${GENERATED}

The gateway answers \`GET /metrics\` in Prometheus' text format, on the port of the API. A worker serves its own on
\`workerMetricsPort\`, if that is set. Both measure through OpenTelemetry's metrics API.

Labels have few values by design: outcomes and endpoints are closed lists, \`model\` is bounded by the configuration (a name
that no worker serves is counted as \`unknown\`, and what is beyond 64 models as \`other\`). What belongs to one request (its id, key,
prompt) is in its log line, and in its record: what each key used, \`millrace usage\` tells.

## Gateway

${metricRows(gateway)}

## Worker

${metricRows(worker)}
`;
}

function metricRows(metrics: readonly MetricDeclaration[]): string {
  const rows = metrics.map(
    ({ name, kind, unit, labels, help }) =>
      `| \`${name}\` | ${kind} | ${unit} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} |`,
  );
  return `| metric | kind | unit | labels | what it says, and what to do |\n| --- | --- | --- | --- | --- |\n${rows.join('\n')}`;
}

function compatibilityPage(): string {
  return `# OpenAI compatibility

${GENERATED}

What happens to each parameter of OpenAI's reference:

- **supported**: it does what OpenAI says.
- **ignored**: accepted, and without effect; nothing that a caller can rely on depends on it.
- **refused**: a 400 \`unsupported_parameter\` that names it. \`null\`, and the values given in the note as asking for nothing, are
  accepted.

A parameter that is on no list is a 400 \`unknown_parameter\`, as at OpenAI: a misspelt name must not be a silent default.
Unknown keys inside a message or a tool are ignored: clients put notes of their own there.

## \`POST /v1/chat/completions\`

${parameterRows(CHAT_PARAMETERS)}

## \`POST /v1/responses\`

${parameterRows(RESPONSE_PARAMETERS)}

A stream has OpenAI's events, each under its own name and numbered from 0, and ends with \`response.completed\`, \`response.incomplete\` or
\`response.failed\`; there is no \`[DONE]\`. What fails after its first event is an \`error\` event, with its fields beside the type and in \`error\`, and
then \`response.failed\`. [responses.md](../how-to/responses.md) says how they are used.

### \`POST /v1/responses/input_tokens\`

${parameterRows(INPUT_TOKENS_PARAMETERS)}

## \`POST /v1/completions\`

${parameterRows(TEXT_PARAMETERS)}

## \`POST /v1/embeddings\`

${parameterRows(EMBEDDINGS_PARAMETERS)}

Floats are written with as many digits as a 32-bit float has, so that they read back as the same number. A model that makes no
vectors is a 400 \`embeddings_not_supported\`.

## \`POST /v1/files\`

A form (\`multipart/form-data\`), whose fields may stand before its file or behind it.

${parameterRows(FILE_PARAMETERS)}

## \`GET /v1/files\`

${parameterRows(LIST_FILES_PARAMETERS)}

\`GET /v1/files/{file_id}\` and \`DELETE\` of the same take nothing. \`GET /v1/files/{file_id}/content\` takes a \`Range\` of one part. A file
is what the key sees that made it; to any other it is a 404. \`status\` is \`processed\` from the beginning: nothing is looked at before it is used.

## \`POST /v1/uploads\`

${parameterRows(UPLOAD_PARAMETERS)}

## \`POST /v1/uploads/{upload_id}/complete\`

${parameterRows(COMPLETE_UPLOAD_PARAMETERS)}

A part is a form with one file in it, \`data\`, of up to 64 MiB. Completing an upload again answers the same as before. \`POST /v1/uploads/{upload_id}/cancel\`
takes nothing.

## \`POST /v1/batches\`

${parameterRows(BATCH_PARAMETERS)}

A line of the input has \`custom_id\` (a text of its own, up to 512 characters), \`method\` (\`POST\`), \`url\` (the batch's \`endpoint\`) and \`body\`, and
nothing else. A line that can't be sent (no JSON, a field that is missing or wrong, a \`custom_id\` that an earlier line has, \`stream: true\`) is
a line of the error file, with the number of the line, and the others are answered; OpenAI fails the whole batch. The batch fails where the
file has no lines, more than \`batchLinesMax\`, or not one that is a JSON object. Lines may name different models. Output and errors come in the order of the
input.

## \`GET /v1/batches\`

${parameterRows(LIST_BATCHES_PARAMETERS)}

\`GET /v1/batches/{batch_id}\` and \`POST /v1/batches/{batch_id}/cancel\` take nothing. A batch is what the key sees that made it; to any other it
is a 404. In a batch that was cancelled, lines that were not answered are in neither file; in one that expired, they are \`batch_expired\` in the
error file.

## \`GET /v1/responses/{response_id}\`

${parameterRows(RETRIEVE_RESPONSE_PARAMETERS)}

\`DELETE\` of the same, and \`POST /v1/responses/{response_id}/cancel\`, take nothing. A response is there from its end on, and in the background from
its beginning; it is what the key sees that made it, and to any other a 404. Only one that is answered in the background is cancelled; cancelled again, or after it has
ended, it is told as it is. [responses.md](../concepts/responses.md) says what is kept, and for how long.

### \`GET /v1/responses/{response_id}/input_items\`

${parameterRows(LIST_INPUT_ITEMS_PARAMETERS)}

What the response itself was asked, without what it went on from, and without \`instructions\`.

## \`POST /v1/conversations\`

${parameterRows(CREATE_CONVERSATION_PARAMETERS)}

\`POST /v1/conversations/{conversation_id}\` takes

${parameterRows(CHANGE_CONVERSATION_PARAMETERS)}

\`GET\` and \`DELETE\` of the same take nothing. Deleted, a conversation takes its items with it, where OpenAI keeps them; responses that were made on it stay. While a response is being
answered on a conversation, another one, and whoever adds or removes items, gets a 409 \`conversation_locked\`.

### \`POST /v1/conversations/{conversation_id}/items\`

${parameterRows(CREATE_CONVERSATION_ITEMS_PARAMETERS)}

In the query, \`include\` is accepted, and ignored as below. \`GET\` of the same takes

${parameterRows(LIST_INPUT_ITEMS_PARAMETERS)}

\`GET\` and \`DELETE\` of \`…/items/{item_id}\` take nothing else.

## \`POST /v1/vector_stores\`

${parameterRows(CREATE_VECTOR_STORE_PARAMETERS)}

\`POST /v1/vector_stores/{id}\` takes

${parameterRows(CHANGE_VECTOR_STORE_PARAMETERS)}

Lists take \`limit\` (1 to 100), \`order\`, \`after\` and \`before\`; lists of files \`filter\` as well. A store, and what is in it, is what the key sees that
made it; to any other it is a 404. [vector-stores.md](../how-to/vector-stores.md) says how they are used.

### \`POST /v1/vector_stores/{id}/files\`

${parameterRows(CREATE_VECTOR_STORE_FILE_PARAMETERS)}

\`POST /v1/vector_stores/{id}/files/{file_id}\` takes \`attributes\`. A file that is attached again, as it was before, is not read again; one that
failed or was cancelled is. \`…/content\` has the text as it was read, a part for each chunk.

### \`POST /v1/vector_stores/{id}/file_batches\`

${parameterRows(CREATE_FILE_BATCH_PARAMETERS)}

### \`POST /v1/vector_stores/{id}/search\`

${parameterRows(SEARCH_VECTOR_STORE_PARAMETERS)}

Each result is one chunk, and all of them are on one page: \`has_more\` is \`false\`.

## Beside OpenAI's

These have no counterpart at OpenAI. Each that begins with \`/v1\` is also served without \`/v1\`, where clients of other servers look for it.

### \`POST /v1/rerank\`

As at Jina, Cohere's first API, vLLM and llama-server: \`results\`, best first, each with the \`index\` of its document and a
\`relevance_score\`. Scores compare the documents of one request; what they range over depends on the model. A model that cannot
rank is a 400 \`rerank_not_supported\`.

${parameterRows(RERANK_PARAMETERS)}

### \`POST /v1/tokenize\`

As at llama-server: \`tokens\`, and beside them their \`count\` and the model's context, \`max_model_len\`. It is a 413 when the
tokens of a text would take more than 4 MiB on their way from the worker.

${parameterRows(TOKENIZE_PARAMETERS)}

### \`POST /v1/detokenize\`

The text of tokens, as \`content\`. A token that the model does not have, or an empty list, is a 400.

${parameterRows(DETOKENIZE_PARAMETERS)}

### \`POST /v1/apply-template\`

The text that the model's chat template makes of messages, as \`prompt\`.

${parameterRows(APPLY_TEMPLATE_PARAMETERS)}

### \`POST /chat\`

A chat in fewer words, at no other path: the answer has \`text\`, \`provider\`, \`model\`, \`usage\`, \`latency_ms\`, \`finish_reason\` and
\`id\`. Streamed, it is events of \`{"text": …}\`, then one with all the rest, then \`[DONE]\`. It goes the way of
\`/v1/chat/completions\`: the same keys, limits, cache and records. [Providers](../how-to/providers.md) has an example.

${parameterRows(PLAIN_CHAT_PARAMETERS)}

In \`params\`:

${parameterRows(PLAIN_CHAT_PARAMS)}

## Other endpoints

| endpoint | |
| --- | --- |
| \`GET /models\` | every name that a key may ask for, those of \`GET /v1/models\` and further names of the same models, each also with its \`provider\`, \`upstream_model\` and \`aliases\` |
| \`GET /v1/models\`, \`GET /v1/models/{id}\` | supported; each model also tells its \`context_length\` once it is known, its \`capabilities\`, its \`state\` (\`loaded\`, \`loading\`, \`idle\`: loaded when it is asked for, \`failed\`, \`unavailable\`), and the \`embedding_length\` of its vectors if it makes some |
| everything else under \`/v1\` | not served yet: a 404 \`unknown_url\` |
`;
}

function parameterRows(parameters: ParameterTable): string {
  const order = { supported: 0, ignored: 1, refused: 2 };
  const rows = Object.entries(parameters)
    .sort(([a, x], [b, y]) => order[x.status] - order[y.status] || a.localeCompare(b))
    .map(([name, parameter]) => `| \`${name}\` | ${parameter.status} | ${noteOf(parameter)} |`);
  return `| parameter | | note |\n| --- | --- | --- |\n${rows.join('\n')}`;
}

function noteOf({ note = '', allows }: Parameter): string {
  if (allows === undefined) return note;
  const values = allows.map((value) => `\`${JSON.stringify(value)}\``).join(' or ');
  return `${note} Asks for nothing: ${values}.`.trim();
}
