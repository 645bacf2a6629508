import type { MetricDeclaration } from '@millrace/runtime';

/** OpenTelemetry's buckets for generative AI, so that dashboards made for it fit. */
const SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const FIRST_TOKEN_SECONDS = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
const PER_TOKEN_SECONDS = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5];
const OVERHEAD_SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];

/** What the gateway measures, each once; the instruments are made from it. */
export const MEASURED = {
  requests: {
    name: 'millrace_requests_total',
    kind: 'counter',
    unit: '{request}',
    labels: ['endpoint', 'outcome', 'code', 'model'],
    help: 'Requests that ended, by outcome (served, rejected, dropped, cancelled, expired, failed) and error code. rejected with rate_limit_exceeded rises → workers are full: add one. failed rises → look for its x-request-id in the log.',
  },
  duration: {
    name: 'gen_ai.server.request.duration',
    kind: 'histogram',
    unit: 's',
    labels: ['gen_ai.operation.name', 'gen_ai.request.model', 'error.type'],
    help: 'From the arrival of a request to the end of its answer. Rises while millrace_waiting_requests is 0 → answers are long or workers slow; else they wait: add a worker.',
    buckets: SECONDS,
  },
  firstToken: {
    name: 'gen_ai.server.time_to_first_token',
    kind: 'histogram',
    unit: 's',
    labels: ['gen_ai.operation.name', 'gen_ai.request.model'],
    help: 'From the arrival of a request to the first event of its answer. Rises → requests wait for a place, or prompts grow: compare with millrace_waiting_seconds.',
    buckets: FIRST_TOKEN_SECONDS,
  },
  perToken: {
    name: 'gen_ai.server.time_per_output_token',
    kind: 'histogram',
    unit: 's',
    labels: ['gen_ai.operation.name', 'gen_ai.request.model'],
    help: 'Mean time between two tokens of an answer. Rises → batches are large or the engine lacks cores: lower maxBatchSize, or add a worker.',
    buckets: PER_TOKEN_SECONDS,
  },
  tokens: {
    name: 'millrace_tokens_total',
    kind: 'counter',
    unit: '{token}',
    labels: ['kind', 'model'],
    help: 'Tokens by kind: prompt, completion, and cached (those of the prompt that the engine still had). cached stays 0 while prompts share a beginning → requests go to too many workers.',
  },
  waited: {
    name: 'millrace_waiting_seconds',
    kind: 'histogram',
    unit: 's',
    labels: [],
    help: 'How long requests waited for a place before they ran. Above a second for long → add a worker, or lower maxQueueDepth so that clients learn sooner.',
    buckets: SECONDS,
  },
  overhead: {
    name: 'millrace_overhead_seconds',
    kind: 'histogram',
    unit: 's',
    labels: ['answer'],
    help: 'The time that is the gateway’s own. answer="whole": from the last byte of a request to the first of its answer, without the wait for a place and without the time in which a worker had it: reading and writing JSON, validation, limits with their store, routing; the same figure is in x-millrace-overhead-ms. answer="stream": up to the hand-over to a worker. Above 2 ms at p50 → the gateway lacks a core (compare with millrace_event_loop_delay_seconds), Redis answers slowly, or bodies are large.',
    buckets: OVERHEAD_SECONDS,
  },
  retries: {
    name: 'millrace_retries_total',
    kind: 'counter',
    unit: '{attempt}',
    labels: ['model'],
    help: 'Attempts after the first, each on another worker. Rises → a worker restarts or is full: /health says which.',
  },
  keys: {
    name: 'millrace_keys',
    kind: 'gauge',
    unit: '{key}',
    labels: [],
    help: 'API keys that this gateway knows as valid. Differs between gateways for longer than keyRefreshMs → one of them can not read the database: /readyz says so.',
  },
  keyRefusals: {
    name: 'millrace_key_refusals_total',
    kind: 'counter',
    unit: '{request}',
    labels: ['door', 'reason'],
    help: 'Requests without a valid key, by door (api, admin) and reason (missing, malformed, unknown, expired, unchecked: it could not be looked up). unknown rises → a client has an old key, or somebody tries keys. Any for admin that you can not explain → change the admin key.',
  },
  keyRefreshFailures: {
    name: 'millrace_key_refresh_failures_total',
    kind: 'counter',
    unit: '{refresh}',
    labels: [],
    help: 'Looks for changed keys that failed. Rises → the database is away: known keys stay valid meanwhile, and keys that are revoked are not heard of.',
  },
  running: {
    name: 'millrace_running_requests',
    kind: 'gauge',
    unit: '{request}',
    labels: [],
    help: 'Requests that workers are answering for this gateway. At maxConcurrentRequests for long → add a worker, and raise it.',
  },
  waiting: {
    name: 'millrace_waiting_requests',
    kind: 'gauge',
    unit: '{request}',
    labels: [],
    help: 'Requests that wait for a place. Above 0 for long → add a worker. At maxQueueDepth requests are refused.',
  },
  connections: {
    name: 'millrace_connections',
    kind: 'gauge',
    unit: '{connection}',
    labels: [],
    help: 'Connections of clients that are open. Near connectionsMax → clients open one for each request, or somebody opens many on purpose: look who, and limit them in front.',
  },
  refusedConnections: {
    name: 'millrace_refused_connections_total',
    kind: 'counter',
    unit: '{connection}',
    labels: [],
    help: 'Connections that were closed unanswered, connectionsMax being open. Rises → raise it (and ulimit -n), start another replica, or find who opens so many.',
  },
  waitingBytes: {
    name: 'millrace_waiting_bytes',
    kind: 'gauge',
    unit: 'By',
    labels: [],
    help: 'What the bodies of waiting requests take together. Near maxQueueBytes → requests will be refused: add a worker, or raise it if there is memory.',
  },
  workers: {
    name: 'millrace_workers',
    kind: 'gauge',
    unit: '{worker}',
    labels: ['phase'],
    help: 'Workers by phase (connecting, loading, ready, draining, lost). ready below what you run → /health names the others and why.',
  },
  recordsWritten: {
    name: 'millrace_records_written_total',
    kind: 'counter',
    unit: '{record}',
    labels: [],
    help: 'Records of requests that the database has. Stands still while millrace_requests_total rises → it is away or slow: /readyz says why.',
  },
  recordsLost: {
    name: 'millrace_records_lost_total',
    kind: 'counter',
    unit: '{record}',
    labels: ['reason'],
    help: 'Records that will never be written, by reason (spool_full, memory_full, refused, unreadable, stopping, stranger). Above 0 with spool_full → raise spoolBytesMax, and see to the database; refused → dataFolder/spool/refused.jsonl has them; stranger → of refused requests without a key 10 a second are on record.',
  },
  recordDeliveryFailures: {
    name: 'millrace_record_delivery_failures_total',
    kind: 'counter',
    unit: '{attempt}',
    labels: [],
    help: 'Attempts to write records that failed; each is made again. Rises → the database is away or slow: /readyz says why.',
  },
  recordsWaiting: {
    name: 'millrace_records_waiting',
    kind: 'gauge',
    unit: '{record}',
    labels: [],
    help: 'Records that are not in the database yet. Rises for longer than recordBatchMs → the database is away or slow.',
  },
  spoolBytes: {
    name: 'millrace_spool_bytes',
    kind: 'gauge',
    unit: 'By',
    labels: [],
    help: 'What waiting records take in dataFolder. Near spoolBytesMax → further records will be lost: see to the database, or raise it.',
  },
  lostLogLines: {
    name: 'millrace_lost_log_lines',
    kind: 'gauge',
    unit: '{line}',
    labels: [],
    help: 'Lines of the log that were lost since the start, since standard output took none: a full disk. Above 0 → make room; records of requests are kept elsewhere.',
  },
  limiterFallback: {
    name: 'millrace_limiter_fallback',
    kind: 'gauge',
    unit: '1',
    labels: [],
    help: '1 while Redis is away and this gateway counts its limits by itself, so that several let through more than one would; else 0. 1 for long → look for Redis: /readyz says what it answers.',
  },
  limiterFailures: {
    name: 'millrace_limiter_store_failures_total',
    kind: 'counter',
    unit: '{failure}',
    labels: ['operation'],
    help: 'What Redis did not do for the limits, by operation (take, settle, hold, seed, probe). Rises now and then while Redis is up → it is slower than redisTimeoutMs: look at its slow log and its network.',
  },
  limiterSettlesLost: {
    name: 'millrace_limiter_settles_lost_total',
    kind: 'counter',
    unit: '{request}',
    labels: [],
    help: 'Requests whose real use of tokens could not be told to Redis. What was reserved for them leaves its minute by itself; budgets are put right from the records within minutes. Rises → Redis was away for long, or is full.',
  },
  eventLoopDelay: {
    name: 'millrace_event_loop_delay_seconds',
    kind: 'gauge',
    unit: 's',
    labels: ['quantile'],
    help: 'How late the gateway gets to its work, since the last scrape (0.5, 0.99, and 1: the longest). 0.99 above 0.01 → the process lacks a core or something blocks it: give it one, or start another replica.',
  },
} as const satisfies Readonly<Record<string, MetricDeclaration>>;

/** The same as a list: docs/reference/metrics.md is made from it. */
export const GATEWAY_METRICS: readonly MetricDeclaration[] = Object.values(MEASURED);
