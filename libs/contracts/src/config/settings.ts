import * as z from 'zod';
import { POOL_NAME } from '../queue.js';
import { modelName } from './models-file.js';
import {
  boolean,
  choice,
  decimal,
  integer,
  list,
  optionalInteger,
  optionalText,
  optionalTextLike,
  type SettingTable,
  text,
  type ValuesOf,
} from './setting.js';

const MIB = 1024 * 1024;

const poolName = z.string().regex(POOL_NAME);

/**
 * Every setting of every process. Strength: flag, then environment, then `.env`, then the YAML file, then the default.
 *
 * To add one: a line here. It is then a flag, a variable, a YAML key, a line of docs/reference/configuration.md and of
 * .env.example (`make docs` writes both), and a field of `Settings`.
 */
export const SETTINGS = {
  // ------------------------------------------------------------------------------------------------------- models
  modelsFile: text({
    group: 'models',
    readBy: ['gateway', 'worker', 'serve', 'cli'],
    default: 'configs/models.yaml',
    why: 'The file that lists the models: ids, files, context and defaults of each. Relative to the working folder.',
  }),
  model: optionalText({
    group: 'models',
    readBy: ['gateway', 'worker', 'serve', 'cli'],
    why: "The model to serve: a path to a `.gguf` file, or an id of `modelsFile`. Absent: that file's default model.",
  }),
  modelsDir: text({
    group: 'models',
    readBy: ['gateway', 'worker', 'serve', 'cli'],
    default: 'models',
    why: 'The folder of the registry (`registry.json`) and of models that were fetched (docs/how-to/models.md). Relative to the working folder.',
  }),
  modelsRefreshMs: integer({
    group: 'models',
    readBy: ['worker'],
    default: 5_000,
    min: 100,
    max: 3_600_000,
    unit: 'milliseconds',
    why: 'How often a worker looks whether the registry or the bucket has other models. One that was added is served so much later at most.',
  }),
  modelCacheBytesMax: integer({
    group: 'models',
    readBy: ['worker'],
    default: 100 * 1024 * MIB,
    min: MIB,
    max: 1024 * 1024 * 1024 * MIB,
    unit: 'bytes',
    why: 'How much models of the bucket may take in `cacheFolder`, for all workers that share it. What was not used for longest goes first, and never what is in use: a model that does not fit beside those is refused.',
  }),
  modelSourcesPrivate: boolean({
    group: 'models',
    readBy: ['gateway', 'serve', 'cli'],
    default: false,
    why: 'Whether models may be fetched from addresses of this machine and of private networks. Whoever has the admin key can then have the gateway ask what only it can reach. In commands also `--allow-private`.',
  }),
  modelSilenceMsMax: integer({
    group: 'models',
    readBy: ['gateway', 'cli'],
    default: 60_000,
    min: 100,
    max: 3_600_000,
    unit: 'milliseconds',
    why: 'How long a server that a model is fetched from may say nothing, before the fetch is tried again from where it was.',
  }),
  modelFetchesMax: integer({
    group: 'models',
    readBy: ['gateway'],
    default: 2,
    min: 1,
    max: 100,
    unit: 'models',
    why: 'How many models `/admin/models` fetches, pulls, pushes or verifies at a time; one more is refused with 429.',
  }),
  modelId: optionalTextLike({
    group: 'models',
    schema: modelName,
    takes: 'a text of at most 200 letters, digits, and . _ : / - that begins with a letter or digit',
    readBy: ['worker', 'serve', 'cli'],
    why: 'The name under which `model` is served. Absent: the id in `modelsFile`, or the file name without `.gguf`.',
  }),
  context: optionalInteger({
    group: 'models',
    readBy: ['worker', 'serve', 'cli'],
    min: 64,
    max: 10_485_760,
    unit: 'tokens',
    why: "Tokens that one sequence may hold, prompt and answer together. Absent: the model's entry in `modelsFile`, else the most that the model was made for and the memory holds. More context costs memory: it is reserved for `maxBatchSize` sequences at the start.",
  }),

  modelsFileCheckMs: integer({
    group: 'models',
    readBy: ['gateway'],
    default: 1000,
    min: 50,
    max: 3600000,
    unit: 'milliseconds',
    why: 'How often the gateway looks whether `modelsFile` has changed. An edit is in force so much later at most; one with a mistake in it changes nothing, and the log and `/readyz` say what is wrong.',
  }),
  providerCheck: choice({
    group: 'models',
    readBy: ['gateway', 'serve', 'cli'],
    choices: ['strict', 'warn', 'off'],
    default: 'strict',
    why: 'What a start does about providers: `strict` refuses to start where a key is missing or a provider does not answer a light ping, `warn` only says so, `off` does not ask. Several gateways that start by themselves want `warn`, or a provider that is away keeps all of them from starting. An edit of `modelsFile` while it runs never ends a gateway.',
  }),
  providerCheckTimeoutMs: integer({
    group: 'models',
    readBy: ['gateway', 'serve', 'cli'],
    default: 5000,
    min: 100,
    max: 60000,
    unit: 'milliseconds',
    why: 'How long all providers together may take to answer that ping.',
  }),

  // --------------------------------------------------------------------------------------------------- generation
  defaultMaxTokens: optionalInteger({
    group: 'generation',
    readBy: ['gateway', 'worker', 'serve'],
    min: 1,
    max: 10_485_760,
    unit: 'tokens',
    why: "The length of an answer when a request sets neither `max_tokens` nor `max_completion_tokens`. Absent: until the context is full, as OpenAI does. A model's entry in `modelsFile` wins.",
  }),
  defaultTemperature: decimal({
    group: 'generation',
    readBy: ['gateway', 'worker', 'serve'],
    default: 1,
    min: 0,
    max: 2,
    unit: 'none',
    why: "`temperature` of requests that do not set it. The default is OpenAI's; small models often answer better at 0.7 or less. A model's entry in `modelsFile` wins.",
  }),
  defaultTopP: decimal({
    group: 'generation',
    readBy: ['gateway', 'worker', 'serve'],
    default: 1,
    min: 0.000001,
    max: 1,
    unit: 'probability',
    why: "`top_p` of requests that do not set it. A model's entry in `modelsFile` wins.",
  }),
  defaultTopK: integer({
    group: 'generation',
    readBy: ['gateway', 'worker', 'serve'],
    default: 0,
    min: 0,
    max: 1_000_000,
    unit: 'tokens',
    why: "`top_k` of requests that do not set it; 0 considers all tokens. A model's entry in `modelsFile` wins.",
  }),

  // --------------------------------------------------------------------------------------------------------- http
  host: text({
    group: 'http',
    readBy: ['gateway', 'serve', 'cli'],
    default: '127.0.0.1',
    why: 'The address that the gateway listens on. Beyond loopback only who has an API key is served (`millrace keys create`), unless `allowUnauthenticated` says otherwise.',
  }),
  port: integer({
    group: 'http',
    readBy: ['gateway', 'serve', 'cli'],
    default: 8000,
    min: 0,
    max: 65_535,
    unit: 'port',
    why: 'The port that the gateway listens on; 0 takes any free one.',
  }),
  allowUnauthenticated: boolean({
    group: 'http',
    readBy: ['gateway', 'serve'],
    default: false,
    why: 'Serves everybody while there are no API keys, also beyond loopback: whoever reaches the port can then use the models. As soon as there is a key, everybody needs one.',
  }),
  corsOrigins: list({
    group: 'http',
    readBy: ['gateway'],
    default: [],
    unit: 'origins',
    why: 'Web origins whose pages may call the API, such as `https://chat.example.org`; `*` for any. Empty: none, and no CORS header is sent.',
  }),
  bodyBytesMax: integer({
    group: 'http',
    readBy: ['gateway'],
    default: 16 * MIB,
    min: 1024,
    max: 1024 * MIB,
    unit: 'bytes',
    why: 'The largest request body; a larger one is a 413. Long prompts need more; each request in flight may hold this much memory. Whatever it is, JSON of more than 100,000 names of fields, 200,000 names, texts, lists and objects, or 2,000,000 entries is a 400.',
  }),
  bodyTimeoutMs: integer({
    group: 'http',
    readBy: ['gateway'],
    default: 30_000,
    min: 100,
    max: 3_600_000,
    unit: 'milliseconds',
    why: 'How long a client may take to send its request. Raise it for slow uplinks; a low value protects from clients that send a byte a second.',
  }),
  keepAliveTimeoutMs: integer({
    group: 'http',
    readBy: ['gateway'],
    default: 72_000,
    min: 0,
    max: 3_600_000,
    unit: 'milliseconds',
    why: 'How long an idle connection stays open. Keep it above the idle time-out of a load balancer in front.',
  }),
  connectionsMax: integer({
    group: 'http',
    readBy: ['gateway'],
    default: 10_000,
    min: 10,
    max: 1_000_000,
    unit: 'connections',
    why: 'How many connections may be open at a time. Before the last are taken those that idle are closed; one more is closed unanswered, and its client tries again. Each costs memory and a file descriptor: mind `ulimit -n`.',
  }),
  statusHoldMs: integer({
    group: 'http',
    readBy: ['gateway'],
    default: 15_000,
    min: 0,
    max: 600_000,
    unit: 'milliseconds',
    why: 'How long the status of a stream is held back while its first chunk is awaited, so that an early failure keeps its own status. Afterwards the 200 and comment heartbeats go out.',
  }),
  heartbeatMs: integer({
    group: 'http',
    readBy: ['gateway'],
    default: 15_000,
    min: 100,
    max: 600_000,
    unit: 'milliseconds',
    why: 'How often a stream with nothing to say sends a comment, so that proxies do not take it for dead.',
  }),
  clientStallTimeoutMs: integer({
    group: 'http',
    readBy: ['gateway'],
    default: 60_000,
    min: 100,
    max: 3_600_000,
    unit: 'milliseconds',
    why: 'How long a client may leave its answer unread. The sequence of a stream pauses at once; after this time the connection is ended.',
  }),

  // --------------------------------------------------------------------------------------------------------- keys
  adminKey: optionalText({
    group: 'keys',
    readBy: ['gateway', 'cli'],
    secret: true,
    why: 'The key of the admin API, at least 20 characters. Absent: the one in `admin-key` of `dataFolder`, which is made at the first start and which only its owner can read. Several gateways want the same: give it to each.',
  }),
  keySecret: optionalText({
    group: 'keys',
    readBy: ['gateway'],
    secret: true,
    why: 'What the digests of API keys are made with, at least 32 characters. Absent: `key-secret` of `dataFolder`, made at the first start. Gateways that share a database need the same; with another one no key is valid any more, and thoughts that clients keep as `encrypted_content` are not read.',
  }),
  apiKey: optionalText({
    group: 'keys',
    readBy: ['cli'],
    secret: true,
    why: 'The API key that `millrace chat`, `bench` and `models` send, where the gateway wants one. Give it as a variable or in `.env`: other users of the machine can see flags.',
  }),
  metricsNeedAdminKey: boolean({
    group: 'keys',
    readBy: ['gateway'],
    default: false,
    why: 'Whether `/metrics` and `/health` want the admin key too, and `/readyz` tells whoever has none its status alone. They tell models, workers and stores and how busy they are, and nothing of who asks or what.',
  }),
  keyRefreshMs: integer({
    group: 'keys',
    readBy: ['gateway'],
    default: 2_000,
    min: 100,
    max: 60_000,
    unit: 'milliseconds',
    why: 'How often a gateway looks for keys that changed. Redis tells of a revoked key at once; without Redis, or while it is away, another gateway goes on accepting it for up to so long.',
  }),
  keysMax: integer({
    group: 'keys',
    readBy: ['gateway'],
    default: 100_000,
    min: 1,
    max: 1_000_000,
    unit: 'keys',
    why: 'How many keys may exist that are neither revoked nor expired. Every gateway holds all of them in memory, so that no request waits for the database.',
  }),

  // ------------------------------------------------------------------------------------------------------- limits
  answerTokensEstimate: integer({
    group: 'limits',
    readBy: ['gateway'],
    default: 256,
    min: 1,
    max: 1_000_000,
    unit: 'tokens',
    why: 'How many tokens of an answer are reserved from a limit on tokens when the request does not say how long it may become. What was not used is given back at its end.',
  }),
  limiterRetryMs: integer({
    group: 'limits',
    readBy: ['gateway'],
    default: 1_000,
    min: 50,
    max: 60_000,
    unit: 'milliseconds',
    why: 'After Redis failed: how long each gateway counts by itself before it asks Redis again.',
  }),

  // ---------------------------------------------------------------------------------------------------- admission
  maxConcurrentRequests: integer({
    group: 'admission',
    readBy: ['gateway'],
    default: 64,
    min: 1,
    max: 100_000,
    unit: 'requests',
    why: 'Requests that this gateway hands to its workers at a time; further ones wait. Twice the workers’ `maxBatchSize` keeps them busy; more only moves the waiting into the workers.',
  }),
  maxQueueDepth: integer({
    group: 'admission',
    readBy: ['gateway'],
    default: 256,
    min: 0,
    max: 1_000_000,
    unit: 'requests',
    why: 'Requests that may wait for a place; the next one is refused at once with 429 and `Retry-After`, or takes the place of one whose key has more (docs/concepts/admission.md). A deep queue turns refusals into long waits.',
  }),
  maxQueueBytes: integer({
    group: 'admission',
    readBy: ['gateway'],
    default: 256 * MIB,
    min: 0,
    max: 1024 * 1024 * MIB,
    unit: 'bytes',
    why: 'How large the bodies of all waiting requests may be together; what would go beyond is refused like one too many.',
  }),
  coldStartWaitMs: integer({
    group: 'admission',
    readBy: ['gateway'],
    default: 30_000,
    min: 0,
    max: 3_600_000,
    unit: 'milliseconds',
    why: 'How long a request waits for a worker while none is ready for its model, as when one restarts or a pool scales up from zero; then it fails with 503. Of a model that no worker has ever told of, only where the models file says `restsAtZero`. 0: it fails at once.',
  }),
  readyWithoutWorkers: boolean({
    group: 'admission',
    readBy: ['gateway'],
    default: false,
    why: 'Whether `/readyz` calls a gateway ready that has no worker yet. For pools that scale from zero: else nothing sends it the request that would start one.',
  }),
  requestTimeoutMs: integer({
    group: 'admission',
    readBy: ['gateway', 'worker'],
    default: 300_000,
    min: 100,
    max: 86_400_000,
    unit: 'milliseconds',
    why: 'From the arrival of a request to the last token of its answer; afterwards it fails with `deadline_exceeded`. A request may ask for less with the header `x-millrace-deadline-ms`. What nobody waits for has `backgroundTimeoutMs` instead.',
  }),
  backgroundTimeoutMs: integer({
    group: 'admission',
    readBy: ['gateway', 'worker'],
    default: 3_600_000,
    min: 100,
    max: 86_400_000,
    unit: 'milliseconds',
    why: 'In place of `requestTimeoutMs` for what nobody waits for: lines of batch jobs, `service_tier: "flex"`, embeddings of vector stores. It gives way to everything else, so that the time passes while it rests. Lower than `requestTimeoutMs` it ends such requests sooner than others; of gateway and worker the smaller counts. A line of a batch job ends with its batch all the same.',
  }),

  // ----------------------------------------------------------------------------------------------------------- cache
  cache: choice({
    group: 'cache',
    readBy: ['gateway'],
    choices: ['auto', 'asked', 'off'],
    default: 'auto',
    why: 'Which answers are kept and given again to the same request of the same key: `auto` those that are repeatable (`temperature` 0, or a seed), `asked` only where the header `x-millrace-cache: on` asks for it, `off` none.',
  }),
  cacheBytesMax: integer({
    group: 'cache',
    readBy: ['gateway'],
    default: 64 * MIB,
    min: 0,
    max: 1024 * 1024 * MIB,
    unit: 'bytes',
    why: 'How much the kept answers may take together, in the memory of each gateway or in Redis; the one that was not used for longest goes first. 0: none is kept.',
  }),
  cacheEntryBytesMax: integer({
    group: 'cache',
    readBy: ['gateway'],
    default: MIB,
    min: 1024,
    max: 64 * MIB,
    unit: 'bytes',
    why: 'How large one kept answer may be; a larger one is not kept.',
  }),
  cacheAgeMsMax: integer({
    group: 'cache',
    readBy: ['gateway'],
    default: 3600000,
    min: 1000,
    max: 30 * 86_400_000,
    unit: 'milliseconds',
    why: 'How long an answer is kept at most.',
  }),
  semanticCacheModel: optionalText({
    group: 'cache',
    readBy: ['gateway'],
    why: 'The embedding model by which questions are compared for the semantic cache (docs/concepts/cache.md). Absent: the only embedding model there is. The semantic cache answers only where a model of `modelsFile` or the header `x-millrace-cache: semantic` asks for it.',
  }),
  semanticCacheThreshold: decimal({
    group: 'cache',
    readBy: ['gateway'],
    default: 0.95,
    min: 0.5,
    max: 1,
    unit: 'cosine',
    why: 'How alike two questions must be for the answer of one to be given to the other. Lower answers more from the cache, and more of it wrongly.',
  }),
  semanticCacheEntriesMax: integer({
    group: 'cache',
    readBy: ['gateway'],
    default: 100000,
    min: 1,
    max: 100000000,
    unit: 'entries',
    why: 'How many questions the semantic cache holds; the oldest go first.',
  }),
  semanticCacheTimeoutMs: integer({
    group: 'cache',
    readBy: ['gateway'],
    default: 250,
    min: 10,
    max: 60000,
    unit: 'milliseconds',
    why: 'How long the look into the semantic cache may take, embedding included; then the request goes on as a miss.',
  }),

  // --------------------------------------------------------------------------------------------------------- routing
  workerDiscovery: choice({
    group: 'routing',
    readBy: ['gateway', 'worker', 'serve'],
    choices: ['static', 'dns', 'kubernetes', 'redis'],
    default: 'static',
    why: 'How a gateway finds its workers: `static` takes the list `workers`; `dns` asks for the addresses of `workersDns`; `kubernetes` watches the endpoints of `workersService`; `redis` takes those that announce themselves in Redis, which a worker does where this is its setting too.',
  }),
  workersDns: optionalText({
    group: 'routing',
    readBy: ['gateway'],
    why: 'The name whose addresses are the workers, with their port: `millrace-worker.default.svc:8100`. Without a port, its SRV records. Only with `workerDiscovery: dns`.',
  }),
  workersService: optionalText({
    group: 'routing',
    readBy: ['gateway'],
    why: 'The Kubernetes Service whose endpoints are the workers: `namespace/name:port`, where the port is a number or its name. Only with `workerDiscovery: kubernetes`.',
  }),
  discoveryIntervalMs: integer({
    group: 'routing',
    readBy: ['gateway', 'worker'],
    default: 2000,
    min: 100,
    max: 600000,
    unit: 'milliseconds',
    why: 'How often DNS is asked, and how long a worker that announces itself in Redis may be silent three times over until it counts as gone.',
  }),
  workerAdvertise: optionalText({
    group: 'routing',
    readBy: ['worker', 'serve'],
    why: 'The address under which gateways reach this worker: `host:port`. Absent: `workerHost` and the port that it listens on. Only with `workerDiscovery: redis`.',
  }),
  affinityLoadPercent: integer({
    group: 'routing',
    readBy: ['gateway'],
    default: 125,
    min: 100,
    max: 1000,
    unit: 'percent',
    why: 'How many answers one worker may have in hand, of the mean of all, and still be chosen because it has read the same beginning before. Higher finds more prompts read already; lower spreads the load more evenly.',
  }),
  affinityEntriesMax: integer({
    group: 'routing',
    readBy: ['gateway'],
    default: 100000,
    min: 1000,
    max: 10000000,
    unit: 'entries',
    why: 'How many beginnings of prompts a gateway remembers, with the workers that have read them. Each takes about 300 bytes.',
  }),
  slowStartMs: integer({
    group: 'routing',
    readBy: ['gateway'],
    default: 10000,
    min: 0,
    max: 3600000,
    unit: 'milliseconds',
    why: 'How long a worker that is new, or was away, gets less than its share, beginning with a tenth. 0: it gets all of it at once.',
  }),
  circuitFailures: integer({
    group: 'routing',
    readBy: ['gateway'],
    default: 3,
    min: 1,
    max: 1000,
    unit: 'failures',
    why: 'After so many failures one after another a worker is left alone for `circuitOpenMs`.',
  }),
  circuitOpenMs: integer({
    group: 'routing',
    readBy: ['gateway'],
    default: 5000,
    min: 50,
    max: 3600000,
    unit: 'milliseconds',
    why: 'How long it is left alone; then one request tries it, and if that fails it is left alone twice as long, up to a minute.',
  }),
  retryPercent: integer({
    group: 'routing',
    readBy: ['gateway'],
    default: 20,
    min: 0,
    max: 1000,
    unit: 'percent',
    why: 'Retries that are allowed for each hundred requests, so that a failure of many workers does not multiply the load on the rest. Continuing an answer that has begun does not count.',
  }),
  retriesPerSecondMin: integer({
    group: 'routing',
    readBy: ['gateway'],
    default: 10,
    min: 0,
    max: 100000,
    unit: 'retries',
    why: 'Retries that are allowed each second however few requests there are.',
  }),

  // ------------------------------------------------------------------------------------------------------ workers
  workers: list({
    group: 'workers',
    readBy: ['gateway', 'cli'],
    default: ['127.0.0.1:8100'],
    unit: 'addresses',
    why: 'Where the gateway finds its workers: `host:port`, several with commas between. `millrace serve` fills it in.',
  }),
  workerHost: text({
    group: 'workers',
    readBy: ['worker', 'serve'],
    default: '127.0.0.1',
    why: 'The address that the worker listens on for gateways. The connection is not encrypted, and anyone who reaches the port can use the engine: keep it to a trusted network.',
  }),
  workerPort: integer({
    group: 'workers',
    readBy: ['worker', 'serve'],
    default: 8100,
    min: 0,
    max: 65_535,
    unit: 'port',
    why: 'The port that the worker listens on for gateways; 0 takes any free one.',
  }),
  workerConnectTimeoutMs: integer({
    group: 'workers',
    readBy: ['gateway', 'cli'],
    default: 5_000,
    min: 50,
    max: 600_000,
    unit: 'milliseconds',
    why: 'How long a connection to a worker may take; afterwards it is tried again, with growing pauses.',
  }),
  workerSilenceMsMax: integer({
    group: 'workers',
    readBy: ['gateway'],
    default: 5_000,
    min: 1_500,
    max: 600_000,
    unit: 'milliseconds',
    why: 'A worker reports once a second; one that is silent for so long counts as lost, and its answers go on at another.',
  }),
  creditTokens: integer({
    group: 'workers',
    readBy: ['gateway'],
    default: 128,
    min: 1,
    max: 65_536,
    unit: 'tokens',
    why: 'How far a worker may run ahead of a client that reads slowly. Less pauses a slow sequence sooner; too little makes fast ones wait for leave.',
  }),

  // ------------------------------------------------------------------------------------------------------- engine
  maxBatchSize: integer({
    group: 'engine',
    readBy: ['worker', 'serve'],
    default: 32,
    min: 1,
    max: 256,
    unit: 'sequences',
    why: 'The most sequences that one step of the engine works on. More raises throughput and memory (context × sequences) and slows each stream.',
  }),
  queueMax: integer({
    group: 'engine',
    readBy: ['worker'],
    default: 512,
    min: 0,
    max: 1_000_000,
    unit: 'sequences',
    why: 'Sequences that may wait in the worker for a place in the batch; the next one is refused with `rate_limit_exceeded`. Keep it above the gateways’ `maxConcurrentRequests` together.',
  }),
  prefillChunkTokens: integer({
    group: 'engine',
    readBy: ['worker'],
    default: 256,
    min: 8,
    max: 8_192,
    unit: 'tokens',
    why: 'How many tokens of prompts one step may read beside the running sequences. More reads prompts sooner; each running stream waits that much longer for its next token.',
  }),
  backgroundSteps: integer({
    group: 'engine',
    readBy: ['worker', 'serve'],
    default: 16,
    min: 1,
    max: 10_000,
    unit: 'steps',
    why: 'While somebody waits for an answer, one step in so many is for lines of batch jobs as well; and of the inputs of embeddings, one in so many for vector stores and batch jobs. On a processor each sequence makes a step longer; on a GPU with room to spare a step of thirty takes little longer than one of two: there 1 has them take part in every step. A model on another server has its own rules.',
  }),
  maxWaitMs: integer({
    group: 'engine',
    readBy: ['worker'],
    default: 10,
    min: 0,
    max: 1_000,
    unit: 'milliseconds',
    why: 'How long a worker that has nothing to do may wait for company before it begins a step. It waits only when company came the last time, so that a single user is answered at once. 0: never.',
  }),
  priorityAgeingMs: integer({
    group: 'engine',
    readBy: ['gateway', 'worker'],
    default: 30_000,
    min: 1,
    max: 86_400_000,
    unit: 'milliseconds',
    why: 'What has waited so long, a request in the gateway whose key has nothing running or a sequence in a worker, counts as one priority higher, so that low priority is never starved. Lower lets it run sooner; higher keeps it behind for longer.',
  }),
  embeddingContexts: integer({
    group: 'engine',
    readBy: ['worker'],
    default: 2,
    min: 1,
    max: 64,
    unit: 'contexts',
    why: 'How many inputs an embedding model computes side by side. Each has memory of its own and a thread; more than the machine has cores only makes them wait for one another.',
  }),
  threads: optionalInteger({
    group: 'engine',
    readBy: ['worker', 'serve'],
    min: 1,
    max: 1024,
    unit: 'threads',
    why: 'Threads of the engine. Absent: the cores that this process may use less one, and at least 1. Never all of them: engine threads spin while Node needs the core (measured on two cores, 32 sequences of a tiny model: 129 tokens/s with 2 threads, 1,037 with 1).',
  }),
  gpu: choice({
    group: 'engine',
    readBy: ['worker', 'serve'],
    choices: ['off', 'auto', 'cuda', 'vulkan', 'metal'],
    default: 'auto',
    why: 'What computes. `auto` takes a GPU if its engine package is installed (`make engine-cuda`, `make engine-vulkan`) and works, else the CPU; a named one is required and its absence is an error. Whether the model fits is worked out from main memory alone for now, also with a GPU: see `memoryReserveMib`.',
  }),
  gpuLayers: optionalInteger({
    group: 'engine',
    readBy: ['worker'],
    min: 0,
    max: 10_000,
    unit: 'layers',
    why: 'How many layers of the model go to the GPU. Absent: as many as its memory holds.',
  }),
  memoryReserveMib: integer({
    group: 'engine',
    readBy: ['worker', 'serve', 'cli'],
    default: 512,
    min: 0,
    max: 16_777_216,
    unit: 'MiB',
    why: 'Memory that the planner leaves to everything else on the machine when it works out whether a model fits. It looks at main memory alone for now: where a model that the memory of a GPU would hold is refused, 0 here, a smaller `context` or a smaller `maxBatchSize` may let it start.',
  }),
  idleUnloadMs: integer({
    group: 'engine',
    readBy: ['worker'],
    default: 0,
    min: 0,
    max: 604_800_000,
    unit: 'milliseconds',
    why: 'A model that nobody has asked for so long is unloaded, and loaded again when it is asked for; 0: it stays until another needs its memory. A model may have its own in the models file.',
  }),
  trialLoad: boolean({
    group: 'engine',
    readBy: ['worker'],
    default: true,
    why: 'Whether a model file that this machine has not seen is loaded in a process of its own first, so that a damaged one can crash that and not the worker. What was found is remembered by the digest of the file.',
  }),
  trialTimeoutMs: integer({
    group: 'engine',
    readBy: ['worker'],
    default: 600_000,
    min: 1_000,
    max: 3_600_000,
    unit: 'milliseconds',
    why: 'How long such a trial may take before the model counts as one that can not be loaded.',
  }),
  cacheFolder: text({
    group: 'engine',
    readBy: ['worker'],
    default: '.millrace/cache',
    why: 'Where the worker keeps what it can find out again: digests of model files and how their trials ended.',
  }),
  python: text({
    group: 'engine',
    readBy: ['worker'],
    default: 'python3',
    why: 'The Python that runs models with `engine: openvino`. Name that of an environment which has tools/openvino-server/requirements.txt.',
  }),
  templateTimeoutMs: integer({
    group: 'engine',
    readBy: ['worker'],
    default: 2_000,
    min: 10,
    max: 60_000,
    unit: 'milliseconds',
    why: 'How long a chat template may take to render a prompt, and a JSON schema or the tools of a request to become a grammar, before the request is refused.',
  }),
  stallTimeoutMs: integer({
    group: 'engine',
    readBy: ['worker'],
    default: 90_000,
    min: 100,
    max: 3_600_000,
    unit: 'milliseconds',
    why: 'How long a sequence may stand still without credit before it is cancelled and its place given away. Keep it above `clientStallTimeoutMs`.',
  }),
  workerMetricsPort: optionalInteger({
    group: 'engine',
    readBy: ['worker'],
    min: 0,
    max: 65_535,
    unit: 'port',
    why: "Serves the worker's own metrics at `/metrics` on this port of `workerHost`. Absent: they are not served.",
  }),

  // ------------------------------------------------------------------------------------------------------- stores
  dataFolder: text({
    group: 'stores',
    readBy: ['gateway', 'serve', 'cli'],
    default: '.millrace/data',
    why: 'Where a gateway keeps what must survive it: the embedded database, the admin key, records that are not in the database yet. One gateway at a time.',
  }),
  postgresUrl: optionalText({
    group: 'stores',
    readBy: ['gateway', 'serve'],
    secret: true,
    why: 'The Postgres (15 or newer) that keeps keys and records: `postgres://user:password@host:5432/name`. Absent: an embedded one in `dataFolder`, for one gateway alone.',
  }),
  postgresConnectionsMax: integer({
    group: 'stores',
    readBy: ['gateway'],
    default: 4,
    min: 1,
    max: 100,
    unit: 'connections',
    why: 'How many connections to Postgres each gateway opens at most. No request waits for one; more helps only the admin API.',
  }),
  sqlTimeoutMs: integer({
    group: 'stores',
    readBy: ['gateway'],
    default: 5_000,
    min: 100,
    max: 600_000,
    unit: 'milliseconds',
    why: 'How long one statement may take, and how long a connection may take to open, before the database counts as away.',
  }),
  redisUrl: optionalText({
    group: 'stores',
    readBy: ['gateway', 'worker', 'serve'],
    secret: true,
    why: 'The Redis (7 or newer) in which several gateways count together: `redis://user:password@host:6379/0`, or `rediss://`. Absent: each counts by itself, in memory.',
  }),
  redisTimeoutMs: integer({
    group: 'stores',
    readBy: ['gateway', 'worker'],
    default: 250,
    min: 10,
    max: 60_000,
    unit: 'milliseconds',
    why: 'How long Redis may take to answer before a gateway goes on without it. A request may wait for it so long, once; then none does until Redis is back.',
  }),
  redisKeyPrefix: text({
    group: 'stores',
    readBy: ['gateway', 'worker'],
    default: 'millrace',
    why: 'What the names of all keys in Redis begin with, so that several installations can share one.',
  }),

  dispatch: choice({
    group: 'queue',
    readBy: ['gateway', 'worker'],
    choices: ['grpc', 'queue', 'both'],
    default: 'grpc',
    why: 'How work reaches a worker: `grpc`, sent by the gateways that found it; `queue`, taken by itself from the queue of its `pool` in Redis; or `both`. Of a gateway: by which of these it looks for workers.',
  }),
  pool: optionalTextLike({
    group: 'queue',
    schema: poolName,
    takes: 'a text of at most 64 lower-case letters, digits, - and _ that begins with a letter or digit',
    readBy: ['worker'],
    why: 'The pool whose queue this worker takes from. All of its workers serve the same models. Absent: `default`.',
  }),
  queueRedisUrl: optionalText({
    group: 'queue',
    readBy: ['gateway', 'worker'],
    secret: true,
    why: 'The Redis (7 or newer) that holds the queues, written as `redisUrl`. It must not forget keys (`maxmemory-policy noeviction`), so it should not be the one that keeps answers. Absent: `redisUrl`. With `rediss://`, the files of `redisTls` are for it, too.',
  }),
  queueJobsMax: integer({
    group: 'queue',
    readBy: ['gateway'],
    default: 1_000,
    min: 1,
    max: 1_000_000,
    unit: 'jobs',
    why: "How many jobs may wait in the queue of a pool. The next is refused at once, with a 429. Each takes its request's bytes in Redis.",
  }),
  queueLockMs: integer({
    group: 'queue',
    readBy: ['worker'],
    default: 60_000,
    min: 3_000,
    max: 3_600_000,
    unit: 'milliseconds',
    why: 'How long a job belongs to the worker that took it without that one renewing it, which it does three times in this time. A worker that could not drops the job, which is asked for again. Longer than anything can keep a worker from its event loop.',
  }),

  qdrantUrl: optionalText({
    group: 'stores',
    readBy: ['gateway', 'serve'],
    why: 'The Qdrant that keeps vectors: `http://host:6333`. Absent: they are in the SQL database, with pgvector.',
  }),
  qdrantApiKey: optionalText({
    group: 'stores',
    readBy: ['gateway'],
    secret: true,
    why: 'The key of that Qdrant, where it wants one.',
  }),
  vectorTimeoutMs: integer({
    group: 'stores',
    readBy: ['gateway'],
    default: 1000,
    min: 10,
    max: 600000,
    unit: 'milliseconds',
    why: 'How long one question to the store of vectors may take before it counts as away.',
  }),

  s3Url: optionalText({
    group: 'stores',
    readBy: ['gateway', 'worker', 'serve', 'cli'],
    why: 'The S3 server that keeps files and models: `https://host:9000`, any that speaks plain S3 (docs/how-to/object-store.md). Absent: files are in a folder of `dataFolder`, for gateways of one machine, and models in `modelsDir`.',
  }),
  s3Bucket: optionalText({
    group: 'stores',
    readBy: ['gateway', 'worker', 'serve', 'cli'],
    why: 'The bucket there. It has to exist, and whoever has the keys has to be allowed to read, write, list and delete in it.',
  }),
  s3Prefix: text({
    group: 'stores',
    readBy: ['gateway', 'worker', 'serve', 'cli'],
    default: 'millrace',
    why: 'What the names of all objects begin with there, so that several installations can share a bucket.',
  }),
  s3Region: text({
    group: 'stores',
    readBy: ['gateway', 'worker', 'serve', 'cli'],
    default: 'us-east-1',
    why: 'The region that the bucket is in. Most servers other than those of Amazon do not care.',
  }),
  s3AccessKey: optionalText({
    group: 'stores',
    readBy: ['gateway', 'worker', 'serve', 'cli'],
    secret: true,
    why: 'The id of the key that the S3 server knows this installation by.',
  }),
  s3SecretKey: optionalText({
    group: 'stores',
    readBy: ['gateway', 'worker', 'serve', 'cli'],
    secret: true,
    why: 'The secret that belongs to `s3AccessKey`.',
  }),
  s3SilenceMsMax: integer({
    group: 'stores',
    readBy: ['gateway', 'worker', 'cli'],
    default: 30_000,
    min: 100,
    max: 600_000,
    unit: 'milliseconds',
    why: 'How long the S3 server may say nothing while something is expected of it, before it counts as away.',
  }),

  // ----------------------------------------------------------------------------------------------------------- files
  fileBytesMax: integer({
    group: 'files',
    readBy: ['gateway'],
    default: 512 * MIB,
    min: 1,
    max: 1024 * 1024 * MIB,
    unit: 'bytes',
    why: "The largest file that `POST /v1/files` takes, and OpenAI's own limit. Content is never held in memory, so more costs room in the object store only.",
  }),
  batchFileBytesMax: integer({
    group: 'files',
    readBy: ['gateway'],
    default: 200_000_000,
    min: 1,
    max: 1024 * 1024 * MIB,
    unit: 'bytes',
    why: "The largest file of purpose `batch`, and OpenAI's own limit.",
  }),
  uploadBytesMax: integer({
    group: 'files',
    readBy: ['gateway'],
    default: 8 * 1024 * MIB,
    min: 1,
    max: 1024 * 1024 * MIB,
    unit: 'bytes',
    why: "The largest file that comes in parts, by `/v1/uploads`, and OpenAI's own limit. While its parts are put together the object store holds it twice.",
  }),
  uploadAgeMsMax: integer({
    group: 'files',
    readBy: ['gateway'],
    default: 3_600_000,
    min: 1_000,
    max: 604_800_000,
    unit: 'milliseconds',
    why: "How long an upload takes parts, and can be completed; OpenAI's own is an hour. What was not completed by then is removed.",
  }),
  filesPerKeyMax: integer({
    group: 'files',
    readBy: ['gateway'],
    default: 10_000,
    min: 1,
    max: 10_000_000,
    unit: 'files',
    why: 'How many files one key may keep; without keys, all callers together.',
  }),
  fileBytesPerKeyMax: integer({
    group: 'files',
    readBy: ['gateway'],
    default: 100 * 1024 * MIB,
    min: 1,
    max: 1024 * 1024 * 1024 * MIB,
    unit: 'bytes',
    why: 'How much all files of one key may take; without keys, those of all callers together. The object store has to have room for as many keys as there are.',
  }),
  fileUploadTimeoutMs: integer({
    group: 'files',
    readBy: ['gateway'],
    default: 3_600_000,
    min: 1_000,
    max: 86_400_000,
    unit: 'milliseconds',
    why: 'How long the upload of one file may take. One that stands still, or all but, is ended after `bodyTimeoutMs`. Raise it for very large files over slow lines.',
  }),
  fileUploadsMax: integer({
    group: 'files',
    readBy: ['gateway'],
    default: 16,
    min: 1,
    max: 1_000,
    unit: 'uploads',
    why: 'How many files, or parts of them, one gateway takes in or puts together at a time, for one key half of them; further ones are told to come back. With an S3 server each holds about 10 MiB of memory.',
  }),
  fileDownloadsMax: integer({
    group: 'files',
    readBy: ['gateway'],
    default: 64,
    min: 1,
    max: 10_000,
    unit: 'downloads',
    why: 'How many files one gateway sends at a time, to one key half of them; further ones are told to come back. Each holds a connection to the S3 server, where there is one, for as long as its client takes, and of those there are 128.',
  }),

  // --------------------------------------------------------------------------------------------------------- batches
  batchConcurrency: integer({
    group: 'batches',
    readBy: ['gateway'],
    default: 8,
    min: 1,
    max: 1_000,
    unit: 'lines',
    why: 'How many lines of batch jobs one gateway has running at a time while nobody waits for an answer; while somebody does, it is `batchConcurrencyBeside`. More fills the batches of idle workers better; an answer that is asked for then finds more lines to wait beside.',
  }),
  batchConcurrencyBeside: integer({
    group: 'batches',
    readBy: ['gateway'],
    default: 1,
    min: 1,
    max: 1_000,
    unit: 'lines',
    why: 'How many it has running while somebody waits for an answer, at most `batchConcurrency`. Raise it with workers that have room beside them, as on GPUs, together with their `backgroundSteps`.',
  }),
  batchLinesMax: integer({
    group: 'batches',
    readBy: ['gateway'],
    default: 50_000,
    min: 1,
    max: 1_000_000,
    unit: 'lines',
    why: "How many lines the input of a batch may have, and OpenAI's own limit. A gateway that checks an input holds about 100 bytes for each.",
  }),
  batchesPerKeyMax: integer({
    group: 'batches',
    readBy: ['gateway'],
    default: 50,
    min: 1,
    max: 10_000,
    unit: 'batches',
    why: 'How many batches of one key may be under way; without keys, of all callers together. The next is refused with 429 until one is over.',
  }),
  batchKeptDays: integer({
    group: 'batches',
    readBy: ['gateway'],
    default: 90,
    min: 1,
    max: 3_650,
    unit: 'days',
    why: 'How long a batch that is over is told of and listed. Its files stay: they have expiries of their own.',
  }),

  // --------------------------------------------------------------------------------------------------- stored chats
  storedChatDays: integer({
    group: 'storedChats',
    readBy: ['gateway'],
    default: 30,
    min: 1,
    max: 3_650,
    unit: 'days',
    why: 'How long a chat completion that was asked for with `store` is kept, with its messages.',
  }),
  storedChatsPerKeyMax: integer({
    group: 'storedChats',
    readBy: ['gateway'],
    default: 10_000,
    min: 1,
    max: 1_000_000,
    unit: 'completions',
    why: 'How many one key may have kept; without keys, all callers together. Beyond that the oldest go; each gateway looks once for every hundredth of it.',
  }),
  storedChatBytesMax: integer({
    group: 'storedChats',
    readBy: ['gateway'],
    default: MIB,
    min: 1_024,
    max: 64 * MIB,
    unit: 'bytes',
    why: 'How long the messages and the answer may be together, as JSON. A longer one is answered, and not kept.',
  }),

  // ----------------------------------------------------------------------------------------------------- moderation
  moderationModel: optionalText({
    group: 'moderation',
    readBy: ['gateway'],
    why: 'Which model judges the texts of `/v1/moderations`, such as a Llama Guard (docs/how-to/moderation.md). Absent: whoever asks has to name one.',
  }),

  // ------------------------------------------------------------------------------------------------------ responses
  responsesKeptDays: integer({
    group: 'responses',
    readBy: ['gateway'],
    default: 30,
    min: 1,
    max: 3_650,
    unit: 'days',
    why: "How long a response is kept after it ended, to be asked for and gone on from, and OpenAI's own number. One that others go on from stays as long as they do. With `store: false` none is kept at all.",
  }),
  responsesPerKeyMax: integer({
    group: 'responses',
    readBy: ['gateway'],
    default: 100_000,
    min: 1,
    max: 100_000_000,
    unit: 'responses',
    why: 'How many responses of one key are kept; without keys, of all callers together. It is looked at every hour, and then the oldest go. Each takes what was said in it and about a kilobyte.',
  }),
  responseBytesMax: integer({
    group: 'responses',
    readBy: ['gateway'],
    default: 8 * MIB,
    min: 1024,
    max: 256 * MIB,
    unit: 'bytes',
    why: 'How large a response may be, with its input, its tools and all else that it says, to be kept. One that is larger is answered all the same and says `store: false`; in the background, where there is no other way to read it, it is refused with 413.',
  }),
  conversationsKeptDays: integer({
    group: 'responses',
    readBy: ['gateway'],
    default: 365,
    min: 1,
    max: 3_650,
    unit: 'days',
    why: 'How long a conversation is kept after it was last changed or answered on. OpenAI keeps them for ever; here nothing is.',
  }),
  conversationsPerKeyMax: integer({
    group: 'responses',
    readBy: ['gateway'],
    default: 10_000,
    min: 1,
    max: 10_000_000,
    unit: 'conversations',
    why: 'How many conversations one key may have; without keys, all callers together. The next is refused with 400.',
  }),
  backgroundResponsesMax: integer({
    group: 'responses',
    readBy: ['gateway'],
    default: 16,
    min: 1,
    max: 1_000,
    unit: 'responses',
    why: 'How many responses with `background: true` one gateway answers at a time; others wait, in the order of the priorities of their keys. They wait for places and workers like any other request, and take up memory while they do.',
  }),
  backgroundResponsesPerKeyMax: integer({
    group: 'responses',
    readBy: ['gateway'],
    default: 100,
    min: 1,
    max: 100_000,
    unit: 'responses',
    why: 'How many responses of one key may be queued or in progress in the background; without keys, of all callers together. The next is refused with 429 until one has ended.',
  }),
  backgroundResponseTimeoutMs: integer({
    group: 'responses',
    readBy: ['gateway'],
    default: 86_400_000,
    min: 1_000,
    max: 604_800_000,
    unit: 'milliseconds',
    why: 'From the making of a response with `background: true` to its end, with all waiting and every attempt; afterwards it fails. Each attempt has `requestTimeoutMs` as well, or `backgroundTimeoutMs` with `service_tier: "flex"`.',
  }),

  // -------------------------------------------------------------------------------------------------- vector stores
  vectorStoreModel: optionalText({
    group: 'vectorStores',
    readBy: ['gateway'],
    why: 'The embedding model of vector stores that name none (docs/how-to/vector-stores.md). Absent: the only embedding model there is. A store keeps the model that it began with, whatever this says later.',
  }),
  vectorStoresPerKeyMax: integer({
    group: 'vectorStores',
    readBy: ['gateway'],
    default: 1000,
    min: 1,
    max: 1000000,
    unit: 'stores',
    why: 'How many vector stores one key may have.',
  }),
  vectorStoreFilesMax: integer({
    group: 'vectorStores',
    readBy: ['gateway'],
    default: 10000,
    min: 1,
    max: 1000000,
    unit: 'files',
    why: 'How many files one vector store may have. A search with a filter asks the vectors once for each ten thousand files that pass.',
  }),
  vectorStoreChunksMax: integer({
    group: 'vectorStores',
    readBy: ['gateway'],
    default: 50000,
    min: 1,
    max: 100000000,
    unit: 'chunks',
    why: 'How many chunks the files of one vector store may have in all. The database compares all of them for each search, within vectorTimeoutMs (docs/benchmarks.md); with a Qdrant there may be many more.',
  }),
  vectorFileBytesMax: integer({
    group: 'vectorStores',
    readBy: ['gateway'],
    default: 64 * MIB,
    min: 1,
    max: 4096 * MIB,
    unit: 'bytes',
    why: 'The largest file that is read into a vector store. The process that reads it holds it whole, so more wants more documentMemoryMib.',
  }),
  vectorTextBytesMax: integer({
    group: 'vectorStores',
    readBy: ['gateway'],
    default: 32 * MIB,
    min: 1,
    max: 512 * MIB,
    unit: 'bytes',
    why: 'How much text one file may hold. The gateway holds it, in up to twice as much memory, while it cuts it into chunks.',
  }),
  vectorFilesAtOnceMax: integer({
    group: 'vectorStores',
    readBy: ['gateway'],
    default: 2,
    min: 1,
    max: 64,
    unit: 'files',
    why: 'How many files each gateway reads into vector stores at a time. More finish sooner where workers have room; each takes up to documentMemoryMib.',
  }),
  vectorFileTimeoutMs: integer({
    group: 'vectorStores',
    readBy: ['gateway'],
    default: 86400000,
    min: 1000,
    max: 2592000000,
    unit: 'milliseconds',
    why: 'How long a file may be on its way into a vector store, waits for workers and limits of its key among it; then it has failed.',
  }),
  documentTimeoutMs: integer({
    group: 'vectorStores',
    readBy: ['gateway'],
    default: 60000,
    min: 100,
    max: 3600000,
    unit: 'milliseconds',
    why: 'How long the text of one file may take to read, in a process of its own, which is ended then. A PDF of a thousand pages takes some ten seconds.',
  }),
  documentMemoryMib: integer({
    group: 'vectorStores',
    readBy: ['gateway'],
    default: 512,
    min: 96,
    max: 65536,
    unit: 'MiB',
    why: 'How much memory that process may take, before it is ended and the file has failed.',
  }),

  // ------------------------------------------------------------------------------------------------------------- tls
  'tls.certFile': optionalText({
    group: 'tls',
    readBy: ['gateway', 'serve', 'cli'],
    why: 'The certificate that the gateway shows, in PEM with those between it and its authority. With `tls.keyFile`, the gateway speaks HTTPS. Both are read again when they change; connections stay. Commands that are run with this setting ask the gateway by HTTPS, and know it by this very certificate.',
  }),
  'tls.keyFile': optionalText({
    group: 'tls',
    readBy: ['gateway', 'serve'],
    why: 'The private key of `tls.certFile`, in PEM.',
  }),
  'tls.caFile': optionalText({
    group: 'tls',
    readBy: ['cli'],
    why: 'The authority by whose certificates the commands know the gateway, in PEM. Absent: those that the system trusts.',
  }),
  'workerTls.certFile': optionalText({
    group: 'tls',
    readBy: ['gateway', 'worker', 'serve', 'cli'],
    why: 'The certificate that gateways and workers show each other, in PEM. With `workerTls.keyFile` and `workerTls.caFile`, both sides speak TLS and refuse who has none of that authority. Read again when they change.',
  }),
  'workerTls.keyFile': optionalText({
    group: 'tls',
    readBy: ['gateway', 'worker', 'serve', 'cli'],
    why: 'The private key of `workerTls.certFile`, in PEM.',
  }),
  'workerTls.caFile': optionalText({
    group: 'tls',
    readBy: ['gateway', 'worker', 'serve', 'cli'],
    why: 'The authority that signed the certificates of gateways and workers, in PEM.',
  }),
  'workerTls.serverName': optionalText({
    group: 'tls',
    readBy: ['gateway', 'cli'],
    why: 'The name that the certificates of workers are for. Absent: the host of their address; workers found by number rather than by name need it.',
  }),
  'redisTls.caFile': optionalText({
    group: 'tls',
    readBy: ['gateway', 'worker', 'serve'],
    why: 'The authority by which Redis is known where `redisUrl` is `rediss://`, in PEM. Absent: those that Node trusts.',
  }),
  'redisTls.certFile': optionalText({
    group: 'tls',
    readBy: ['gateway', 'worker', 'serve'],
    why: 'The certificate to show Redis, in PEM, where it wants one.',
  }),
  'redisTls.keyFile': optionalText({
    group: 'tls',
    readBy: ['gateway', 'worker', 'serve'],
    why: 'The private key of `redisTls.certFile`, in PEM.',
  }),
  'postgresTls.caFile': optionalText({
    group: 'tls',
    readBy: ['gateway', 'serve'],
    why: 'The authority by which Postgres is known, in PEM; the connection is encrypted then, and the name in its certificate checked. Absent: as `sslmode` in `postgresUrl` says.',
  }),
  'postgresTls.certFile': optionalText({
    group: 'tls',
    readBy: ['gateway', 'serve'],
    why: 'The certificate to show Postgres, in PEM, where it wants one.',
  }),
  'postgresTls.keyFile': optionalText({
    group: 'tls',
    readBy: ['gateway', 'serve'],
    why: 'The private key of `postgresTls.certFile`, in PEM.',
  }),
  'qdrantTls.caFile': optionalText({
    group: 'tls',
    readBy: ['gateway', 'serve'],
    why: 'The authority by which Qdrant is known where `qdrantUrl` is `https://`, in PEM. Absent: those that Node trusts.',
  }),
  's3Tls.caFile': optionalText({
    group: 'tls',
    readBy: ['gateway', 'worker', 'serve', 'cli'],
    why: 'The authority by which the S3 server is known where `s3Url` is `https://`, in PEM. Absent: those that Node trusts.',
  }),

  // ------------------------------------------------------------------------------------------------------ records
  logMessages: boolean({
    group: 'records',
    readBy: ['gateway'],
    default: false,
    why: 'Whether records hold what was asked and answered. A key may have its own. Contents are kept as long as records are, and whoever reads the database reads them.',
  }),
  messageBytesMax: integer({
    group: 'records',
    readBy: ['gateway'],
    default: 65_536,
    min: 1_024,
    max: 16 * MIB,
    unit: 'bytes',
    why: 'How much of a question, and how much of its answer, a record holds when contents are kept; the rest is cut off and the record says so.',
  }),
  retentionDays: integer({
    group: 'records',
    readBy: ['gateway'],
    default: 30,
    min: 1,
    max: 3_650,
    unit: 'days',
    why: 'How long records are kept. The totals of each day, which `millrace usage` tells, stay.',
  }),
  recordBatchMs: integer({
    group: 'records',
    readBy: ['gateway'],
    default: 500,
    min: 10,
    max: 60_000,
    unit: 'milliseconds',
    why: 'How long records are gathered before they go to the database together.',
  }),
  spoolBytesMax: integer({
    group: 'records',
    readBy: ['gateway'],
    default: 256 * MIB,
    min: 65_536,
    max: 1024 * 1024 * MIB,
    unit: 'bytes',
    why: 'How many bytes of records may wait in `dataFolder` while the database is away (about 600 each without contents). Once it is full, further records are lost and counted.',
  }),
  runsFolder: optionalText({
    group: 'records',
    readBy: ['gateway', 'serve'],
    why: 'Where each start makes a folder with `manifest.json` and `interactions.jsonl`, a line for each request. Absent: none is made; `make run` gives `runs`.',
  }),
  runBytesMax: integer({
    group: 'records',
    readBy: ['gateway'],
    default: 256 * MIB,
    min: 65_536,
    max: 1024 * 1024 * MIB,
    unit: 'bytes',
    why: 'How large one `interactions.jsonl` may become; further lines are left out and counted.',
  }),
  runsMax: integer({
    group: 'records',
    readBy: ['gateway'],
    default: 50,
    min: 1,
    max: 10_000,
    unit: 'runs',
    why: 'How many runs `runsFolder` keeps; the oldest go first.',
  }),

  // ------------------------------------------------------------------------------------------------------ logging
  logLevel: choice({
    group: 'logging',
    readBy: ['gateway', 'worker', 'serve'],
    choices: ['debug', 'info', 'warn', 'error', 'silent'],
    default: 'info',
    why: '`info` writes one line per request; `debug` adds what each stage decided.',
  }),
  logFormat: choice({
    group: 'logging',
    readBy: ['gateway', 'worker', 'serve'],
    choices: ['auto', 'json', 'text'],
    default: 'auto',
    why: '`text` is for people, `json` for collectors; `auto` takes text on a terminal and json elsewhere.',
  }),

  // ------------------------------------------------------------------------------------------------------ process
  drainTimeoutMs: integer({
    group: 'process',
    readBy: ['gateway', 'worker', 'serve'],
    default: 30_000,
    min: 0,
    max: 3_600_000,
    unit: 'milliseconds',
    why: 'After SIGTERM or Ctrl-C: how long running answers may take to finish. What is left then, a worker hands back, to be continued on another; a gateway ends it with an error. For a gateway it begins after `drainDelayMs`.',
  }),
  drainDelayMs: integer({
    group: 'process',
    readBy: ['gateway', 'serve'],
    default: 0,
    min: 0,
    max: 600_000,
    unit: 'milliseconds',
    why: 'After SIGTERM or Ctrl-C: how long a gateway goes on as before, but says at `/readyz` that it stops, so that whoever sends it requests looks elsewhere; then it takes no new connections. Behind a load balancer longer than that takes to notice: 5,000 or more. 0: nobody is in front.',
  }),
  restartDelayMsMin: integer({
    group: 'process',
    readBy: ['serve'],
    default: 500,
    min: 10,
    max: 600_000,
    unit: 'milliseconds',
    why: 'How long `millrace serve` waits before it restarts a process that died; doubled each time, up to `restartDelayMsMax`.',
  }),
  restartDelayMsMax: integer({
    group: 'process',
    readBy: ['serve'],
    default: 30_000,
    min: 10,
    max: 3_600_000,
    unit: 'milliseconds',
    why: 'The longest pause before a restart. A process that lived for a minute starts again from `restartDelayMsMin`.',
  }),
} as const satisfies SettingTable;

export type SettingName = keyof typeof SETTINGS;
export type Settings = ValuesOf<typeof SETTINGS>;

export interface Contradiction {
  /** The settings concerned. A process that does not read all of them need not care. */
  readonly about: readonly SettingName[];
  /** Says both values and what to do. */
  readonly sentence: string;
}

/** Settings that only make sense together. */
export function contradictionsIn(settings: Settings): Contradiction[] {
  const found: Contradiction[] = [];
  const { restartDelayMsMin, restartDelayMsMax } = settings;
  if (restartDelayMsMin > restartDelayMsMax) {
    found.push({
      about: ['restartDelayMsMin', 'restartDelayMsMax'],
      sentence: `restartDelayMsMin is ${restartDelayMsMin} and restartDelayMsMax is ${restartDelayMsMax}. The first must not be larger; change one of them.`,
    });
  }
  found.push(
    ...discoveryWithout(settings),
    ...queueWithout(settings),
    ...bucketWithout(settings),
    ...halfGiven(settings),
    ...tlsOfPlainUrls(settings),
  );
  return found;
}

/** What each way of finding workers can't do without. */
const DISCOVERY_NEEDS = [
  ['dns', 'workersDns'],
  ['kubernetes', 'workersService'],
  ['redis', 'redisUrl'],
] as const;

function discoveryWithout(settings: Settings): Contradiction[] {
  return DISCOVERY_NEEDS.flatMap(([way, needed]) => {
    const about = ['workerDiscovery', needed] as const;
    if (settings.workerDiscovery === way && settings[needed] === undefined) {
      return [{ about, sentence: `workerDiscovery is ${way}, which needs ${needed}. Set it, or choose another way.` }];
    }
    // Redis is of use for more than that.
    if (settings.workerDiscovery === way || settings[needed] === undefined || needed === 'redisUrl') return [];
    const sentence = `${needed} is given, and workerDiscovery is ${settings.workerDiscovery}, which does not ask it. Set workerDiscovery to ${way}, or leave ${needed} out.`;
    return [{ about, sentence }];
  });
}

function queueWithout({ dispatch, queueRedisUrl, redisUrl }: Settings): Contradiction[] {
  if (dispatch === 'grpc' || (queueRedisUrl ?? redisUrl) !== undefined) return [];
  const sentence = `dispatch is ${dispatch}, which needs queueRedisUrl or redisUrl. Set one of them, or set dispatch to grpc.`;
  return [{ about: ['dispatch', 'queueRedisUrl', 'redisUrl'], sentence }];
}

const BUCKET_NEEDS = ['s3Bucket', 's3AccessKey', 's3SecretKey'] as const;

/** Whoever names a bucket or a key and no server would have files kept in a folder, and not know it. */
function bucketWithout(settings: Settings): Contradiction[] {
  return BUCKET_NEEDS.flatMap((needed) => {
    const about = ['s3Url', needed] as const;
    const [isServer, isThere] = [settings.s3Url !== undefined, settings[needed] !== undefined];
    if (isServer === isThere) return [];
    const sentence = isServer
      ? `s3Url is given, and ${needed} is not. Give s3Bucket, s3AccessKey and s3SecretKey with it, or leave it out.`
      : `${needed} is given, and s3Url is not. Give both, or leave ${needed} out.`;
    return [{ about, sentence }];
  });
}

/** Files that are of use only together. */
const FILES_TOGETHER: readonly (readonly SettingName[])[] = [
  ['tls.certFile', 'tls.keyFile'],
  ['workerTls.certFile', 'workerTls.keyFile', 'workerTls.caFile'],
  ['redisTls.certFile', 'redisTls.keyFile'],
  ['postgresTls.certFile', 'postgresTls.keyFile'],
];

function halfGiven(settings: Settings): Contradiction[] {
  return FILES_TOGETHER.flatMap((about) => {
    const missing = about.filter((name) => settings[name] === undefined);
    if (missing.length === 0 || missing.length === about.length) return [];
    const given = about.filter((name) => settings[name] !== undefined);
    const sentence = `${given.join(' and ')} ${given.length > 1 ? 'are' : 'is'} given, and ${missing.join(' and ')} ${missing.length > 1 ? 'are' : 'is'} not. Give ${about.length === 2 ? 'both' : `all ${about.length}`}, or none.`;
    return [{ about, sentence }];
  });
}

/** Files for a connection that would not be encrypted all the same: whoever gave them believes that it is. */
function tlsOfPlainUrls(settings: Settings): Contradiction[] {
  const stores = [
    { group: 'redisTls', url: 'redisUrl', isPlain: isPlainRedis, remedy: 'Write it as rediss://' },
    { group: 'postgresTls', url: 'postgresUrl', isPlain: isPlainPostgres, remedy: 'Write sslmode=verify-full into it' },
    { group: 'qdrantTls', url: 'qdrantUrl', isPlain: isPlainHttp, remedy: 'Write it as https://' },
    { group: 's3Tls', url: 's3Url', isPlain: isPlainHttp, remedy: 'Write it as https://' },
  ] as const;
  return stores.flatMap(({ group, url, isPlain, remedy }) => {
    const given = (Object.keys(settings) as SettingName[]).find(
      (name) => name.startsWith(`${group}.`) && settings[name] !== undefined,
    );
    const address = settings[url];
    if (given === undefined || (address !== undefined && !isPlain(address))) return [];
    // The same files are for the Redis of the queues.
    if (group === 'redisTls' && settings.queueRedisUrl !== undefined && !isPlain(settings.queueRedisUrl)) return [];
    const sentence =
      address === undefined
        ? `${given} is given, and ${url} is not. Give both, or leave ${group} out.`
        : `${given} is given, but the connection that ${url} names is not checked by it. ${remedy}, or leave ${group} out.`;
    return [{ about: [given, url], sentence }];
  });
}

function isPlainRedis(url: string): boolean {
  return /^redis:/i.test(url);
}

function isPlainHttp(url: string): boolean {
  return /^http:/i.test(url);
}

function isPlainPostgres(url: string): boolean {
  return /[?&](sslmode=(disable|no-verify)|ssl=(false|0|no-verify))(&|$)/i.test(url);
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);
}
