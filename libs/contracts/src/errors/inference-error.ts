interface CatalogEntry {
  readonly status: number;
  readonly type: string;
  /** What `Retry-After` says when whoever refuses knows nothing better. */
  readonly retryAfterSeconds?: number;
  /** False where only a person can mend it. Clients would try a 5xx again by themselves; `x-should-retry` tells them. */
  readonly shouldRetry?: false;
  readonly meaning: string;
  readonly remedy: string;
}

/**
 * Every way a request can fail, and how each failure looks to an OpenAI client.
 *
 * `type` and `status` are OpenAI's where OpenAI has the case: its clients pick their exception class by the status and
 * retry 408, 409, 429 and 5xx by themselves. docs/reference/errors.md is made from this table.
 */
export const ERROR_CATALOG = {
  invalid_request: {
    status: 400,
    type: 'invalid_request_error',
    meaning: 'A value in the request is missing, of the wrong type or out of range; `param` names it.',
    remedy: 'Correct the parameter that `param` names.',
  },
  unsupported_parameter: {
    status: 400,
    type: 'invalid_request_error',
    meaning: 'The parameter is known, but this server or this model cannot honour it.',
    remedy: 'Leave the parameter out; docs/reference/openai-compatibility.md lists what is supported.',
  },
  unknown_parameter: {
    status: 400,
    type: 'invalid_request_error',
    meaning: "The parameter is not in OpenAI's reference, nor an extension of this server.",
    remedy: 'Check the spelling, or leave the parameter out.',
  },
  context_length_exceeded: {
    status: 400,
    type: 'invalid_request_error',
    meaning: 'The prompt has more tokens than the model can hold. The message has both numbers.',
    remedy: 'Shorten the prompt, or choose a model with a longer context.',
  },
  embeddings_not_supported: {
    status: 400,
    type: 'invalid_request_error',
    meaning: 'The model makes no vectors.',
    remedy: 'Choose a model whose `capabilities` in `GET /v1/models` have `embedding`.',
  },
  rerank_not_supported: {
    status: 400,
    type: 'invalid_request_error',
    meaning: 'The model neither scores pairs of texts nor makes vectors.',
    remedy: 'Choose a model whose `capabilities` in `GET /v1/models` have `rerank`.',
  },
  moderation_not_supported: {
    status: 400,
    type: 'invalid_request_error',
    meaning: 'No model judges texts here, or the one that the request names gave no verdict.',
    remedy: 'Set `moderationModel`, or name a model such as Llama Guard (docs/how-to/moderation.md).',
  },
  generation_not_supported: {
    status: 400,
    type: 'invalid_request_error',
    meaning: 'The model generates no text: it only makes vectors or scores.',
    remedy: 'Choose a model whose `capabilities` in `GET /v1/models` have `chat` or `completion`.',
  },
  infill_not_supported: {
    status: 400,
    type: 'invalid_request_error',
    meaning: 'The model was not made to fill gaps, so `suffix` means nothing to it.',
    remedy: 'Leave `suffix` out, or choose a model with control tokens for infilling.',
  },
  tools_not_supported: {
    status: 400,
    type: 'invalid_request_error',
    meaning: 'The model, or the server behind it, can call no tools in the way that was asked for.',
    remedy: 'Leave `tools` out, or choose another model; docs/reference/engines.md says what each engine can do.',
  },
  tokenization_not_supported: {
    status: 400,
    type: 'invalid_request_error',
    meaning: 'The model runs on another server, which does not tell how it tokenises.',
    remedy: 'Choose a model that runs in a worker, or a server with such an endpoint (docs/reference/engines.md).',
  },
  storage_limit_exceeded: {
    status: 400,
    type: 'invalid_request_error',
    meaning:
      'The key keeps as many files, or as many bytes of them, as it may: `filesPerKeyMax`, `fileBytesPerKeyMax`.',
    remedy: 'Delete files that are no longer needed, or raise the limit.',
  },
  previous_response_not_found: {
    status: 400,
    type: 'invalid_request_error',
    meaning:
      'This key has no response of that id to go on from: there never was one, it was not kept (`store`: false), or it was deleted or has expired.',
    remedy: 'Send the conversation so far as `input`, or go on from a response that is kept.',
  },
  invalid_api_key: {
    status: 401,
    type: 'invalid_request_error',
    meaning: 'The key is unknown, revoked or expired.',
    remedy: 'Send a valid key as `Authorization: Bearer …`.',
  },
  model_not_allowed: {
    status: 403,
    type: 'invalid_request_error',
    meaning: 'The key may not use this model.',
    remedy: 'Choose one that `GET /v1/models` lists for this key, or have the key allow it.',
  },
  admin_key_required: {
    status: 403,
    type: 'invalid_request_error',
    meaning: 'Only the key of the admin API may do this.',
    remedy: 'Send the admin key in place of an API key.',
  },
  key_not_found: {
    status: 404,
    type: 'invalid_request_error',
    meaning: 'No API key has this id. Only `/admin/keys` answers so.',
    remedy: '`millrace keys list` shows the ids.',
  },
  batch_not_found: {
    status: 404,
    type: 'invalid_request_error',
    meaning: 'No batch of this key has this id.',
    remedy: '`GET /v1/batches` lists those that there are.',
  },
  response_not_found: {
    status: 404,
    type: 'invalid_request_error',
    meaning:
      'No response of this key has this id: there never was one, or it was deleted, has expired, or was made with `store: false`.',
    remedy: 'Send it again. One that nobody waits for in the background is there once it has ended.',
  },
  conversation_locked: {
    status: 409,
    type: 'invalid_request_error',
    retryAfterSeconds: 1,
    meaning: 'Another response is being answered on the conversation: it has it for itself until it ends.',
    remedy: 'Wait for `Retry-After` seconds; it can take as long as that response.',
  },
  response_cancelled: {
    status: 409,
    type: 'invalid_request_error',
    shouldRetry: false,
    meaning: 'The response was cancelled. Seen as the last event of a stream of it.',
    remedy: 'Nothing to do; `GET /v1/responses/{id}` says the same.',
  },
  batch_over: {
    status: 409,
    type: 'invalid_request_error',
    shouldRetry: false,
    meaning: 'The batch can not be cancelled: it is over, or about to be.',
    remedy: 'Nothing to do; `GET /v1/batches/{id}` says how it ended.',
  },
  model_busy: {
    status: 409,
    type: 'invalid_request_error',
    shouldRetry: false,
    meaning:
      'The stored model can not be removed: it is being fetched, pulled or pushed. Only `/admin/models` answers so.',
    remedy: 'Wait until that has ended, or end it with `DELETE /admin/model-jobs/{id}`.',
  },
  chat_completion_not_found: {
    status: 404,
    type: 'invalid_request_error',
    meaning:
      'This key keeps no chat completion of that id: it was not asked for with `store`, or it was deleted or has expired.',
    remedy: '`GET /v1/chat/completions` lists those that are kept.',
  },
  file_not_found: {
    status: 404,
    type: 'invalid_request_error',
    meaning: 'This key has no file of that id: there never was one, or it was deleted or has expired.',
    remedy: '`GET /v1/files` lists the files of the key.',
  },
  upload_not_found: {
    status: 404,
    type: 'invalid_request_error',
    meaning: 'This key has no upload of that id: there never was one, or it is over for more than `uploadAgeMsMax`.',
    remedy: 'Begin anew with `POST /v1/uploads`.',
  },
  model_job_not_found: {
    status: 404,
    type: 'invalid_request_error',
    meaning: 'No job on a model has this id, or it ended long ago. Only `/admin/model-jobs` answers so.',
    remedy: '`GET /admin/model-jobs` lists those that are remembered.',
  },
  model_not_found: {
    status: 404,
    type: 'invalid_request_error',
    meaning: 'No model of that name is configured.',
    remedy: '`GET /v1/models` lists the names.',
  },
  vector_store_not_found: {
    status: 404,
    type: 'invalid_request_error',
    meaning: 'This key has no vector store of that id, or the store has no file or batch of that id.',
    remedy: '`GET /v1/vector_stores` lists the stores of the key, and `…/files` what is in one.',
  },
  conversation_not_found: {
    status: 404,
    type: 'invalid_request_error',
    meaning:
      'This key has no conversation of that id: there never was one, or it was deleted or has expired. Or the conversation has no item of that id.',
    remedy: 'Make one with `POST /v1/conversations`, or send the conversation so far as `input`.',
  },
  unknown_url: {
    status: 404,
    type: 'invalid_request_error',
    meaning: 'Nothing is served at this path.',
    remedy: 'Check the path; `/docs` lists what is served.',
  },
  method_not_allowed: {
    status: 405,
    type: 'invalid_request_error',
    meaning: 'The path exists, but not for this method.',
    remedy: 'Use the method that the `Allow` header names.',
  },
  request_timeout: {
    status: 408,
    type: 'invalid_request_error',
    meaning: 'The body did not arrive in time.',
    remedy: 'Send the request again, faster or in one piece.',
  },
  request_too_large: {
    status: 413,
    type: 'invalid_request_error',
    meaning: 'The body is larger than `bodyBytesMax`.',
    remedy: 'Send less, or raise `bodyBytesMax`.',
  },
  response_too_large: {
    status: 413,
    type: 'invalid_request_error',
    meaning:
      'The response is, with its input, larger than may be kept of one: `responseBytesMax`. As the last event of a stream in the background: it has more events than are kept, and goes on without them.',
    remedy:
      'Send less, send it with `store: false`, or raise the setting. Behind a stream: ask for the response whole.',
  },
  file_too_large: {
    status: 413,
    type: 'invalid_request_error',
    meaning:
      'The file is larger than `fileBytesMax`, or `batchFileBytesMax` for a batch file. The message has both numbers.',
    remedy: 'Send less, use `/v1/uploads`, or raise the setting.',
  },
  unsupported_media_type: {
    status: 415,
    type: 'invalid_request_error',
    meaning: 'The body is not JSON, or not a form where files are sent.',
    remedy: 'Send `Content-Type: application/json`, or `multipart/form-data` where the endpoint takes a file.',
  },
  range_not_satisfiable: {
    status: 416,
    type: 'invalid_request_error',
    meaning: 'The part of a file that `Range` asks for lies behind its end.',
    remedy: 'Ask for a part of it; `Content-Range` says how long it is.',
  },
  rate_limit_exceeded: {
    status: 429,
    type: 'requests',
    retryAfterSeconds: 1,
    meaning:
      'This caller sent too much, or the waiting room is full; `x-millrace-limit` says which. The type is `tokens` where tokens were too many.',
    remedy:
      'Wait for `Retry-After` seconds. If `x-millrace-limit` is `queue`: add a worker, or raise `maxQueueDepth`; else have the limit of the key raised.',
  },
  insufficient_quota: {
    status: 429,
    type: 'insufficient_quota',
    shouldRetry: false,
    meaning: 'The daily or monthly token budget of the key is spent; `x-millrace-limit` says which.',
    remedy: 'Wait until it begins anew (00:00 UTC; `Retry-After` says in how long), or have the budget raised.',
  },
  client_closed_request: {
    status: 499,
    type: 'invalid_request_error',
    meaning: 'The client left before its answer was complete. Only seen in logs and metrics.',
    remedy: 'Nothing to do; if it is frequent, the client may time out too early.',
  },
  internal_error: {
    status: 500,
    type: 'server_error',
    meaning: 'The server failed in a way that nobody foresaw.',
    remedy: 'Look for the x-request-id in the log, and report it.',
  },
  upstream_failed: {
    status: 502,
    type: 'server_error',
    meaning: 'The server that runs this model failed, or sent something that is no answer. The message says which.',
    remedy: 'Send the request again; if it happens again, look at that server.',
  },
  upstream_unauthorized: {
    status: 502,
    type: 'server_error',
    shouldRetry: false,
    meaning: 'The server that runs this model refuses the key that the worker, or the gateway, has for it.',
    remedy: 'Whoever runs Millrace has to put a valid key into its environment and start it again.',
  },
  answer_broken_off: {
    status: 502,
    type: 'server_error',
    meaning:
      'The answer had begun when its server failed, and no other can go on with it: a provider that takes no beginning of an answer, say.',
    remedy: 'Send the request again. docs/concepts/survival.md says which answers go on elsewhere.',
  },
  no_verdict: {
    status: 502,
    type: 'server_error',
    // It says the same of the same text.
    shouldRetry: false,
    meaning: 'The model that judges texts here said something of this one that is no verdict.',
    remedy:
      'Take the text for one that was not judged. Whoever runs Millrace should see whether `moderationModel` is a model that judges (docs/how-to/moderation.md).',
  },
  model_failed: {
    status: 503,
    type: 'server_error',
    shouldRetry: false,
    meaning:
      'The model could not be loaded: its file is damaged, it does not fit into memory, or its engine is missing.',
    remedy: 'The message and `/readyz` say why. Whoever runs Millrace has to mend it; it is tried again after a while.',
  },
  model_not_ready: {
    status: 503,
    type: 'server_error',
    retryAfterSeconds: 1,
    meaning: 'The model is configured, but no worker can serve it just now: it loads, restarts or is away.',
    remedy: 'Wait for `Retry-After` seconds; `/readyz` says what is missing.',
  },
  store_unavailable: {
    status: 503,
    type: 'server_error',
    retryAfterSeconds: 2,
    meaning:
      'What was asked needs the database or the object store, which can not be reached just now: keys were never read, or the admin API or files were asked for.',
    remedy: 'Wait for `Retry-After` seconds; `/readyz` says what is missing.',
  },
  worker_lost: {
    status: 503,
    type: 'server_error',
    retryAfterSeconds: 1,
    meaning: 'The worker went away while it was answering, and nobody could take over.',
    remedy: 'Send the request again.',
  },
  shutting_down: {
    status: 503,
    type: 'server_error',
    retryAfterSeconds: 1,
    meaning: 'This server stopped before the answer was complete, or before it began.',
    remedy: 'Send the request again; another replica, or the restarted one, will take it.',
  },
  deadline_exceeded: {
    status: 504,
    type: 'server_error',
    meaning:
      'The answer was not complete within `requestTimeoutMs`, or `backgroundTimeoutMs` where nobody waits for it.',
    remedy: 'Ask for fewer tokens, or raise the setting that the message names.',
  },
  store_full: {
    status: 507,
    type: 'server_error',
    shouldRetry: false,
    meaning: 'The object store has no room for this file.',
    remedy: 'Whoever runs Millrace has to make room: a larger disk or bucket, or fewer files.',
  },
} as const satisfies Record<string, CatalogEntry>;

export type ErrorCode = keyof typeof ERROR_CATALOG;

/** `queue`: too many wait here. `batches`, `background_responses`: too many of the key are under way. `upstream`: the server that runs the model has a limit of its own. The others are a key's. */
export const REFUSING_LIMITS = [
  'requests_per_minute',
  'tokens_per_minute',
  'concurrency',
  'daily_budget',
  'monthly_budget',
  'queue',
  'batches',
  'background_responses',
  'upstream',
] as const;
export type RefusingLimit = (typeof REFUSING_LIMITS)[number];

export interface ErrorDetails {
  /** The parameter at fault, as a path: `messages[2].content`. */
  readonly param?: string | undefined;
  readonly retryAfterSeconds?: number | undefined;
  /** Which limit refused the request: sent as `x-millrace-limit`, so that a caller need not read the message. */
  readonly limit?: RefusingLimit | undefined;
  /** False: sending the same again can't help, though the status says that it might. */
  readonly shouldRetry?: false | undefined;
  readonly cause?: unknown;
}

/** A failure that was foreseen. `message` is for the caller: what was wrong, what the limit is, what to do. */
export class InferenceError extends Error {
  override readonly name = 'InferenceError';
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, { cause: details.cause });
    this.code = code;
    this.details = details;
  }
}

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CATALOG, code);
}

/** What was thrown, as the caller may see it: anything that nobody foresaw shows nothing of its inside. */
export function toInferenceError(thrown: unknown): InferenceError {
  if (thrown instanceof InferenceError) return thrown;
  return new InferenceError(
    'internal_error',
    'The server failed. If it happens again, look for the x-request-id of this answer in the log, and report it.',
    { cause: thrown },
  );
}

export interface OpenAiErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

/** The HTTP answer for any thrown value: status, headers and OpenAI's error body. */
export function toOpenAiResponse(thrown: unknown): {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: OpenAiErrorBody;
} {
  const { code, message, details } = toInferenceError(thrown);
  const entry: CatalogEntry = ERROR_CATALOG[code];
  const { status } = entry;
  // OpenAI tells both kinds of rate limit apart by the type alone.
  const type = details.limit === 'tokens_per_minute' ? 'tokens' : entry.type;
  // Whoever can't be helped by waiting is not told to wait, unless the refusal says until when.
  const retryAfterSeconds =
    details.retryAfterSeconds ?? (details.shouldRetry === false ? undefined : entry.retryAfterSeconds);
  return {
    status,
    headers: {
      ...(retryAfterSeconds !== undefined && { 'retry-after': String(retryAfterSeconds) }),
      ...((details.shouldRetry ?? entry.shouldRetry) === false && { 'x-should-retry': 'false' }),
      ...(details.limit !== undefined && { 'x-millrace-limit': details.limit }),
    },
    body: { error: { message, type, param: details.param ?? null, code } },
  };
}
