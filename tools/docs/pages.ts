import {
  APPLY_TEMPLATE_PARAMETERS,
  BATCH_PARAMETERS,
  CHANGE_CONVERSATION_PARAMETERS,
  CHANGE_STORED_CHAT_PARAMETERS,
  CHANGE_VECTOR_STORE_FILE_PARAMETERS,
  CHANGE_VECTOR_STORE_PARAMETERS,
  CHAT_PARAMETERS,
  COMPLETE_UPLOAD_PARAMETERS,
  COUNT_TOKENS_PARAMETERS,
  CREATE_CONVERSATION_ITEMS_PARAMETERS,
  CREATE_CONVERSATION_PARAMETERS,
  CREATE_FILE_BATCH_PARAMETERS,
  CREATE_VECTOR_STORE_FILE_PARAMETERS,
  CREATE_VECTOR_STORE_PARAMETERS,
  DETOKENIZE_PARAMETERS,
  EMBEDDINGS_PARAMETERS,
  ERROR_CATALOG,
  FILE_PARAMETERS,
  INCLUDE_PARAMETERS,
  INPUT_TOKENS_PARAMETERS,
  LIST_BATCHES_PARAMETERS,
  LIST_FILES_PARAMETERS,
  LIST_INPUT_ITEMS_PARAMETERS,
  LIST_STORED_CHATS_PARAMETERS,
  LIST_STORED_MESSAGES_PARAMETERS,
  LIST_VECTOR_STORE_FILES_PARAMETERS,
  LIST_VECTOR_STORES_PARAMETERS,
  MESSAGES_PARAMETERS,
  MODERATION_PARAMETERS,
  openApiDocument,
  PATH_ALIASES,
  PATHS_WITHOUT_V1,
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
    { path: 'docs/reference/anthropic-compatibility.md', text: anthropicPage() },
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

At \`/v1/messages\`, and below \`/v1\` to whoever sends \`anthropic-version\`, and at all below \`/anthropic/\`, failures have [Anthropic's shape](anthropic-compatibility.md#errors), with the
same codes, status and headers.

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

In Prometheus a dot of a name is an underscore: \`gen_ai.server.request.duration\` is \`gen_ai_server_request_duration\`. Each series of a
worker has a label \`pool\` besides those below.

## Gateway

${metricRows(gateway)}

## Worker

${metricRows(worker)}

## Names from elsewhere

What other servers call their metrics, and what to ask for here.

| there | here, in PromQL |
| --- | --- |
${FOREIGN_METRICS.map(([theirs, ours]) => `| ${theirs.map((name) => `\`${name}\``).join(', ')} | \`${ours}\` |`).join('\n')}
`;
}

/** Queries rather than names: units and what is counted differ. A test compares their names with the declarations. */
export const FOREIGN_METRICS: readonly (readonly [theirs: readonly string[], ours: string])[] = [
  [
    ['requests_total', 'litellm_proxy_total_requests_metric', 'vllm:request_success_total'],
    'sum(rate(millrace_requests_total[5m]))',
  ],
  [
    ['requests_failed_total', 'litellm_proxy_failed_requests_metric', 'vllm:request_errors_total'],
    'sum(rate(millrace_requests_total{outcome!="served"}[5m]))',
  ],
  [['requests_inflight', 'litellm_in_flight_requests', 'vllm:num_requests_running'], 'sum(millrace_running_requests)'],
  [
    ['queue_depth', 'vllm:num_requests_waiting', 'llamacpp:requests_deferred'],
    'sum(millrace_waiting_requests) + sum(millrace_worker_waiting_sequences)',
  ],
  [
    ['request_duration_ms', 'vllm:e2e_request_latency_seconds', 'litellm_request_total_latency_metric'],
    '1000 * histogram_quantile(0.95, sum by (le) (rate(gen_ai_server_request_duration_bucket[5m])))',
  ],
  [
    ['time_to_first_token_ms', 'vllm:time_to_first_token_seconds', 'litellm_llm_api_time_to_first_token_metric'],
    '1000 * histogram_quantile(0.95, sum by (le) (rate(gen_ai_server_time_to_first_token_bucket[5m])))',
  ],
  [
    ['vllm:inter_token_latency_seconds', 'bifrost_stream_inter_token_latency_seconds'],
    'histogram_quantile(0.95, sum by (le) (rate(millrace_token_gap_seconds_bucket[5m])))',
  ],
  [
    ['vllm:request_time_per_output_token_seconds'],
    'histogram_quantile(0.95, sum by (le) (rate(gen_ai_server_time_per_output_token_bucket[5m])))',
  ],
  [
    ['vllm:request_queue_time_seconds'],
    'histogram_quantile(0.95, sum by (le) (rate(millrace_waiting_seconds_bucket[5m])))',
  ],
  [
    ['tokens_generated_total', 'vllm:generation_tokens_total', 'llamacpp:tokens_predicted_total'],
    'sum(rate(millrace_tokens_total{kind="completion"}[5m]))',
  ],
  [['vllm:prompt_tokens_total', 'llamacpp:prompt_tokens_total'], 'sum(rate(millrace_tokens_total{kind="prompt"}[5m]))'],
  [
    ['vllm:prefix_cache_hits_total / vllm:prefix_cache_queries_total'],
    'sum(rate(millrace_tokens_total{kind="cached"}[5m])) / sum(rate(millrace_tokens_total{kind="prompt"}[5m]))',
  ],
  [
    ['litellm_overhead_latency_metric', 'bifrost_overhead_latency_microseconds'],
    'histogram_quantile(0.95, sum by (le, answer) (rate(millrace_overhead_seconds_bucket[5m])))',
  ],
  [['node_eventloop_lag_seconds'], 'max by (instance) (millrace_event_loop_delay_seconds{quantile="0.99"})'],
];

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

Kept answers are what the key sees that asked for them; to any other they are a 404. [stored-completions.md](../how-to/stored-completions.md)
says how they are found again, for how long, and what becomes of them while the database is away.

### \`GET /v1/chat/completions\`

${parameterRows(LIST_STORED_CHATS_PARAMETERS)}

### \`POST /v1/chat/completions/{id}\`

${parameterRows(CHANGE_STORED_CHAT_PARAMETERS)}

\`GET\` and \`DELETE\` of the same take nothing.

### \`GET /v1/chat/completions/{id}/messages\`

The messages that were sent, as they were sent. \`content\` is always the text, also where it came in parts.

${parameterRows(LIST_STORED_MESSAGES_PARAMETERS)}

## \`POST /v1/moderations\`

${parameterRows(MODERATION_PARAMETERS)}

The verdict is that of a model that judges texts; without one it is a 400 \`moderation_not_supported\`. [moderation.md](../how-to/moderation.md) says
which there are and what their categories become here.

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

All that the response was made from: what those said that it goes on from by \`previous_response_id\`, input and output, and then its own input; without \`instructions\`. One that was sent again stands where it was
sent last; what was deleted on the way is missing, with all before it. Of a response on a conversation it is its own input alone: the rest is the conversation's.

## \`POST /v1/conversations\`

${parameterRows(CREATE_CONVERSATION_PARAMETERS)}

\`POST /v1/conversations/{conversation_id}\` takes

${parameterRows(CHANGE_CONVERSATION_PARAMETERS)}

\`GET\` and \`DELETE\` of the same take nothing. Deleted, a conversation takes its items with it, where OpenAI keeps them; responses that were made on it stay. While a response is being
answered on a conversation, another one, and whoever adds or removes items, gets a 409 \`conversation_locked\`.

### \`POST /v1/conversations/{conversation_id}/items\`

${parameterRows(CREATE_CONVERSATION_ITEMS_PARAMETERS)}

\`GET\` of the same takes

${parameterRows(LIST_INPUT_ITEMS_PARAMETERS)}

The query of the \`POST\`, and \`GET\` of \`…/items/{item_id}\`, take

${parameterRows(INCLUDE_PARAMETERS)}

\`DELETE\` of \`…/items/{item_id}\` takes nothing.

## \`POST /v1/vector_stores\`

${parameterRows(CREATE_VECTOR_STORE_PARAMETERS)}

\`POST /v1/vector_stores/{id}\` takes

${parameterRows(CHANGE_VECTOR_STORE_PARAMETERS)}

\`GET /v1/vector_stores\` takes

${parameterRows(LIST_VECTOR_STORES_PARAMETERS)}

A store, and what is in it, is what the key sees that made it; to any other it is a 404. [vector-stores.md](../how-to/vector-stores.md) says how they are used.

### \`POST /v1/vector_stores/{id}/files\`

${parameterRows(CREATE_VECTOR_STORE_FILE_PARAMETERS)}

\`POST /v1/vector_stores/{id}/files/{file_id}\` takes

${parameterRows(CHANGE_VECTOR_STORE_FILE_PARAMETERS)}

\`GET /v1/vector_stores/{id}/files\`, and \`…/file_batches/{batch_id}/files\`, take

${parameterRows(LIST_VECTOR_STORE_FILES_PARAMETERS)}

A file that is attached again, as it was before, is not read again; one that
failed or was cancelled is. \`…/content\` has the text as it was read, a part for each chunk.

### \`POST /v1/vector_stores/{id}/file_batches\`

${parameterRows(CREATE_FILE_BATCH_PARAMETERS)}

### \`POST /v1/vector_stores/{id}/search\`

${parameterRows(SEARCH_VECTOR_STORE_PARAMETERS)}

Each result is one chunk, and all of them are on one page: \`has_more\` is \`false\`.

## Beside OpenAI's

These have no counterpart at OpenAI.

### \`POST /v1/rerank\`

As at Jina, Cohere, vLLM and llama-server, and also at \`/v2/rerank\`, where Cohere's clients of today ask: \`results\`, best first, each with the \`index\` of its document and a
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

## Other paths to the same

Clients have base URLs of their own. A path that begins with

| this | is served as | for |
| --- | --- | --- |
${aliasRows()}

And without \`/v1\`, as at llama-server, LocalAI, vLLM and DeepSeek, what begins with ${withoutV1()} is served as well:
a client works whose base URL is this server's address alone. Keys, limits, records and metrics are the same by every path. \`GET /models\` and
\`POST /chat\` are none of these: they have answers of their own.

## Other endpoints

| endpoint | |
| --- | --- |
| \`GET /models\` | every name that a key may ask for, those of \`GET /v1/models\` and further names of the same models, each also with its \`provider\`, \`upstream_model\` and \`aliases\` |
| \`GET /v1/models\`, \`GET /v1/models/{id}\` | supported; each model also tells its \`context_length\` once it is known, its \`capabilities\`, its \`state\` (\`loaded\`, \`loading\`, \`idle\`: loaded when it is asked for, \`failed\`, \`unavailable\`), and the \`embedding_length\` of its vectors if it makes some |
| \`POST /v1/messages\`, \`POST /v1/messages/count_tokens\` | Anthropic's API: [its own page](anthropic-compatibility.md) |
| \`DELETE /v1/models/{id}\` | takes a model out of the registry, as \`DELETE /admin/models/{id}\` does, with the admin key; a 403 with any other |
| everything else under \`/v1\` | not served yet: a 404 \`unknown_url\` |
`;
}

function aliasRows(): string {
  return PATH_ALIASES.map(({ from, to, only = [], reason }) => {
    const behind = only.length === 0 ? '' : `, of which ${only.map((path) => `\`${path}\``).join(', ')}`;
    return `| \`${from}\`${behind} | \`${to}\` | ${reason} |`;
  }).join('\n');
}

function withoutV1(): string {
  return PATHS_WITHOUT_V1.map((path) => `\`${path}\``).join(', ');
}

function anthropicPage(): string {
  return `# Anthropic compatibility

${GENERATED}

Anthropic's messages API, for its clients: their base URL is this server's address, without \`/v1\`. [anthropic.md](../how-to/anthropic.md) shows how.

What happens to each parameter of Anthropic's reference:

- **supported**: it does what Anthropic says.
- **ignored**: accepted, and without effect; nothing that a caller can rely on depends on it.
- **refused**: a 400 that names it. \`null\`, and the values given in the note as asking for nothing, are accepted.

A parameter that is on no list is a 400. Unknown keys inside a message, a block or a tool are ignored. \`anthropic-version\` may be any or none, and
\`anthropic-beta\` is not read.

## \`POST /v1/messages\`

${parameterRows(MESSAGES_PARAMETERS)}

The answer has blocks of type \`text\`, \`thinking\` and \`tool_use\`. Its \`stop_reason\` is \`end_turn\`, \`max_tokens\`, \`stop_sequence\`, \`tool_use\`,
\`model_context_window_exceeded\` (the context was full before \`max_tokens\`), or \`refusal\` (a provider held the answer back). The \`signature\` of a
thought is not checked when it comes back. A call that was cut in the midst is not part of a whole answer; a stream has told its beginning by then.
\`usage.input_tokens\` and \`cache_read_input_tokens\` are the prompt together.

A stream is Anthropic's events in their order, each by its name; comments come between them where nothing else does.

## \`POST /v1/messages/count_tokens\`

The tokens of the prompt as the model's template writes it, be there room for them or not. A model that runs on another server may not tell: a 400.

${parameterRows(COUNT_TOKENS_PARAMETERS)}

## \`GET /v1/models\`, \`GET /v1/models/{id}\`

With the header \`anthropic-version\`, which Anthropic's clients send, or below \`/anthropic/\`, they answer in Anthropic's shape; whatever is not on this page is a 404 then, what OpenAI has at the same path among it. The list takes \`limit\` (1 to 1,000; left out:
20), \`after_id\` and \`before_id\`.

## Errors

At these paths, and at all below \`/anthropic/\`, every failure has Anthropic's shape, and \`request-id\` beside \`x-request-id\`:

\`\`\`json
{"type": "error", "error": {"type": "invalid_request_error", "message": "…", "details": {"error_code": "invalid_request"}}, "request_id": "req_…"}
\`\`\`

\`error_code\`, status and headers are those of [errors.md](errors.md), \`x-ratelimit-*\`, \`retry-after\` and \`x-millrace-limit\` among them. The type goes by the status: 401
\`authentication_error\`, 403 \`permission_error\`, 404 \`not_found_error\`, 409 \`conflict_error\`, 413 \`request_too_large\`, 429 \`rate_limit_error\`, 408 and 504 \`timeout_error\`,
503 \`overloaded_error\`, other 5xx \`api_error\`, other 4xx \`invalid_request_error\`. Where this server or the one behind it is full, the status is
429 and not Anthropic's 529, which balancers would take for a broken server, and the type \`overloaded_error\`. Where a conversation is too long for the model,
the message begins with \`prompt is too long\`, for which agents look. A failure in a stream is an event \`error\`.
What can't be read as a request at all has no path, and is refused in OpenAI's shape.

## Not served

Message batches, files and skills of Anthropic's API: batches of chats are at [\`/v1/batches\`](../how-to/batches.md).
`;
}

export function parameterRows(parameters: ParameterTable): string {
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
