import type { MetricDeclaration } from '@millrace/runtime';

const STEP_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12];
const SEQUENCES = [1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 128, 256];
const INPUT_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const STEP_TOKENS = [1, 4, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192];

/** What the worker measures, each once. docs/reference/metrics.md is made from this; the instruments are made from it. */
export const MEASURED = {
  sequences: {
    name: 'millrace_worker_sequences_total',
    kind: 'counter',
    unit: '{sequence}',
    labels: ['outcome', 'model'],
    help: 'Sequences that were settled, by outcome (stop, length, cancelled, stalled, expired, failed). failed rises → look in the log for "The engine failed". expired rises → answers wait or take too long: add a worker. stalled rises → clients do not read: see clientStallTimeoutMs.',
  },
  running: {
    name: 'millrace_worker_running_sequences',
    kind: 'gauge',
    unit: '{sequence}',
    labels: ['model'],
    help: 'Sequences that have a place in the engine. At maxBatchSize for long → the worker is full: add one, or raise maxBatchSize if memory allows.',
  },
  waiting: {
    name: 'millrace_worker_waiting_sequences',
    kind: 'gauge',
    unit: '{sequence}',
    labels: ['model'],
    help: 'Sequences that wait for a place, or for their model to be loaded. Above 0 for long → add a worker. At queueMax further ones are refused.',
  },
  stepDuration: {
    name: 'millrace_worker_step_duration_seconds',
    kind: 'histogram',
    unit: 's',
    labels: ['model'],
    help: 'How long a step takes: the pause between two tokens of every running stream. Rises without larger batches → the engine lacks cores: check threads, and what else runs on the machine.',
    buckets: STEP_SECONDS,
  },
  batchSize: {
    name: 'millrace_worker_batch_size',
    kind: 'histogram',
    unit: '{sequence}',
    labels: ['model'],
    help: 'Sequences that share a step. Small while millrace_worker_waiting_sequences is above 0 → sequences are paused by slow readers, or maxBatchSize is low.',
    buckets: SEQUENCES,
  },
  stepTokens: {
    name: 'millrace_worker_step_size_tokens',
    kind: 'histogram',
    unit: '{token}',
    labels: ['model'],
    help: 'Tokens that a step reads, of prompts and of decoding sequences. Near prefillChunkTokens for long → prompts fill the engine: lower prefillChunkTokens if streams stutter, raise it if first tokens come late.',
    buckets: STEP_TOKENS,
  },
  tokens: {
    name: 'millrace_worker_tokens_total',
    kind: 'counter',
    unit: '{token}',
    labels: ['kind', 'model'],
    help: 'Tokens by kind: prompt (read, for answers and for vectors), cached (of prompts, found read in a place already) and generated (chosen). The rate of generated is the throughput; it falls while sequences wait → compare with millrace_worker_step_duration_seconds. cached stays near 0 though prompts begin alike → put what is the same in all of them first.',
  },
  decisions: {
    name: 'millrace_worker_decisions_total',
    kind: 'counter',
    unit: '{decision}',
    labels: ['decision', 'model'],
    help: 'What the scheduler decided or saw: joined (took a place), reused (found a part of its prompt read there), copied (had it copied from another place), held_back (waits until another has read what they share), aged (joined before one of higher priority, having waited longer), dropped (settled while it waited), company (an idle worker waited for more before its step), paused, resumed, refused, broke. refused rises → queueMax is reached: add a worker. dropped rises → answers wait longer than their callers do: add a worker. paused rises → clients read slowly. company without a larger millrace_worker_batch_size → lower maxWaitMs. broke is above 0 → the engine failed in a step: look in the log.',
  },
  embeddingInputs: {
    name: 'millrace_worker_embedding_inputs_total',
    kind: 'counter',
    unit: '{input}',
    labels: ['outcome', 'model'],
    help: 'Inputs of embeddings and rerankings, by outcome (computed, dropped, refused, failed). refused rises → queueMax is reached: add a worker. dropped rises → callers leave or their time is up before their turn: add a worker, or send fewer inputs a request. failed is above 0 → look in the log.',
  },
  embeddingInputDuration: {
    name: 'millrace_worker_embedding_input_duration_seconds',
    kind: 'histogram',
    unit: 's',
    labels: ['model'],
    help: 'How long an input takes to compute, without its wait. Rises with inputs of the same length → the engine lacks cores: check threads and embeddingContexts, and what else runs on the machine.',
    buckets: INPUT_SECONDS,
  },
  certificateSeconds: {
    name: 'millrace_worker_tls_certificate_seconds',
    kind: 'gauge',
    unit: 's',
    labels: ['use'],
    help: 'Seconds until a certificate expires, by what it is for (gateways, redis, s3); negative once it has. Below 14 days (1.2e6), or below a fifth of its life where a program renews it → the renewal is late: put a new one in its place, no restart is needed.',
  },
  loadDuration: {
    name: 'millrace_worker_load_duration_seconds',
    kind: 'gauge',
    unit: 's',
    labels: ['model'],
    help: 'How long each model took to load, the last time. Rises → the disk is slow or shared: keep models on a local one.',
  },
  batchSizeMax: {
    name: 'millrace_worker_batch_size_max',
    kind: 'gauge',
    unit: '{sequence}',
    labels: [],
    help: 'Sequences that may share a step (maxBatchSize). millrace_worker_running_sequences near it for long → the worker is full: add one, or raise it if memory allows.',
  },
  memory: {
    name: 'millrace_worker_resident_memory_bytes',
    kind: 'gauge',
    unit: 'By',
    labels: [],
    help: 'What the process takes of the machine’s memory, models included. Near what the machine or the container has → the system will end it: lower context or maxBatchSize, or raise memoryReserveMib.',
  },
  loadedModels: {
    name: 'millrace_worker_loaded_models',
    kind: 'gauge',
    unit: '{model}',
    labels: [],
    help: 'Models that are loaded. Below the number of models in steady use → they take turns in the memory: see millrace_worker_model_unloads_total.',
  },
  modelLoads: {
    name: 'millrace_worker_model_loads_total',
    kind: 'counter',
    unit: '{load}',
    labels: ['outcome', 'model'],
    help: 'Models that were loaded, or could not be, by outcome (loaded, failed). failed rises → the log and /readyz say which model and why.',
  },
  queueJobs: {
    name: 'millrace_worker_queue_jobs_total',
    kind: 'counter',
    unit: '{job}',
    labels: ['outcome'],
    help: 'Jobs that were taken from the queue of the pool, by outcome: begun, expired (its time was over: dropped unread), abandoned (nobody waited any more), malformed. expired rises → jobs wait too long: add a worker to the pool. malformed is above 0 → gateways and workers are of different releases.',
  },
  modelUnloads: {
    name: 'millrace_worker_model_unloads_total',
    kind: 'counter',
    unit: '{unload}',
    labels: ['reason', 'model'],
    help: 'Models that were unloaded, by reason: idle (nobody used them for idleUnloadMs), room (another needed their memory), broken (the engine failed), gone (taken out of the registry). room rises steadily → models that are in use do not fit together: add a worker, lower their context, or spread the models over workers. broken is above 0 → look in the log.',
  },
} as const satisfies Readonly<Record<string, MetricDeclaration>>;

/** The same as a list: docs/reference/metrics.md is made from it. */
export const WORKER_METRICS: readonly MetricDeclaration[] = Object.values(MEASURED);
