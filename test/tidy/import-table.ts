/**
 * Who may import whom: DESIGN's table, as rules. The first rule whose `files` matches a path holds for it; whatever a
 * rule does not allow is forbidden. Tests beside a source may import more: see `TEST_EXTRAS`.
 */
export interface ImportRule {
  readonly name: string;
  /** Paths from the root that this rule holds for. */
  readonly files: RegExp;
  /** Our own files that may be imported. */
  readonly ours: readonly RegExp[];
  /** Packages and `node:` modules that may be imported. */
  readonly packages: readonly RegExp[];
  /** What to do instead of a forbidden import. */
  readonly instead: string;
}

const CONTRACTS = /^libs\/contracts\//;
const RUNTIME = /^libs\/runtime\//;
const OPENAI_ENGINE = /^libs\/openai-engine\//;
const STORAGE = /^libs\/storage\//;
const NODE = /^node:/;
const OTEL_API = /^@opentelemetry\/api$/;

const gateway = (folder: string) => new RegExp(`^apps/gateway/src/${folder}`);
const worker = (folder: string) => new RegExp(`^apps/worker/src/${folder}`);

const GATEWAY_STAGES = [
  'validation',
  'keys',
  'limits',
  'admission',
  'cache',
  'routing',
  'dispatch',
  'files',
  'batch-jobs',
  'stored-chats',
  'vector-stores',
  'responses',
  'request-log',
];

/** Port types and logic of a stage, but never its adapters. */
const stageWithoutAdapters = (stage: string) => gateway(`${stage}/(?!adapters/)`);

export const IMPORT_RULES: readonly ImportRule[] = [
  {
    name: 'libs/contracts',
    files: CONTRACTS,
    ours: [CONTRACTS],
    packages: [/^zod$/, /^@bufbuild\/protobuf/, /^@grpc\/grpc-js$/],
    instead: 'Contracts are pure: move what reads files or talks to a network into libs/runtime or an app.',
  },
  {
    name: 'libs/runtime',
    files: RUNTIME,
    ours: [CONTRACTS, RUNTIME],
    packages: [NODE, /^pino(-pretty)?$/, /^yaml$/, /^zod$/, /^@opentelemetry\//],
    instead: 'Runtime knows no app and no framework: give the app a function to call instead.',
  },
  {
    name: 'libs/openai-engine',
    files: OPENAI_ENGINE,
    ours: [CONTRACTS, RUNTIME, OPENAI_ENGINE],
    packages: [NODE],
    instead: 'It speaks to a server by node:http alone, and knows neither worker nor gateway.',
  },
  {
    name: 'libs/storage adapters',
    files: /^libs\/storage\/src\/adapters\//,
    ours: [CONTRACTS, RUNTIME, STORAGE],
    packages: [NODE, /^minio$/],
    instead: 'An adapter knows its one client library and the port; what both adapters share lies beside the port.',
  },
  {
    name: 'libs/storage',
    files: STORAGE,
    ours: [CONTRACTS, RUNTIME, STORAGE],
    packages: [NODE, /^zod$/],
    instead: 'Files and models as worker, gateway and CLI need them; it knows none of the three.',
  },
  {
    name: 'gateway wiring',
    files: gateway('(wiring|open-parts|open-tls|migrate)\\.ts$'),
    ours: [CONTRACTS, RUNTIME, STORAGE, gateway('(?!http/|main\\.ts|gateway\\.module\\.ts)')],
    packages: [NODE],
    instead: 'wiring.ts knows everything but HTTP and Nest: put those into gateway.module.ts or main.ts.',
  },
  {
    name: 'gateway entry',
    files: gateway('(main|gateway\\.module|start-gateway|[a-z-]+\\.(test|testing|contract))\\.ts$'),
    ours: [CONTRACTS, RUNTIME, STORAGE, gateway('(?!.*/adapters/)')],
    packages: [NODE, /^@nestjs\//, /^fastify$/, /^@fastify\//, /^reflect-metadata$/],
    instead: 'Adapters are chosen in wiring.ts only.',
  },
  {
    name: 'gateway vocabulary',
    files: gateway('vocabulary\\.ts$'),
    ours: [CONTRACTS],
    packages: [],
    instead: 'vocabulary.ts holds types only.',
  },
  {
    name: 'gateway walks',
    files: gateway('walks/'),
    ours: [
      CONTRACTS,
      RUNTIME,
      STORAGE,
      gateway('(walks|metrics|vocabulary)'),
      ...GATEWAY_STAGES.map(stageWithoutAdapters),
      gateway('stores/(?!adapters/)'),
    ],
    packages: [NODE],
    instead: 'A walk tells the story in terms of the stages: no Nest, no Fastify, no adapter.',
  },
  {
    name: 'gateway http',
    files: gateway('http/'),
    ours: [CONTRACTS, RUNTIME, gateway('(http|walks|vocabulary|metrics)'), gateway('keys/authenticator\\.ts$')],
    packages: [NODE, /^@nestjs\//, /^fastify$/, /^@fastify\//, /^rxjs$/, /^swagger-ui-dist/],
    instead: 'HTTP knows walks only: let the walk call the stage.',
  },
  {
    name: 'gateway metrics',
    files: gateway('metrics/'),
    ours: [CONTRACTS, RUNTIME, gateway('(metrics|vocabulary)')],
    packages: [NODE, OTEL_API],
    instead: 'Metrics are told what happened; they do not look it up.',
  },
  {
    name: 'embedded database',
    files: gateway('stores/adapters/pglite/'),
    ours: [
      CONTRACTS,
      RUNTIME,
      gateway('stores/(?!adapters/)'),
      gateway('stores/adapters/(pglite/|postgres-database\\.ts$)'),
    ],
    packages: [NODE, /^@electric-sql\/pglite/],
    instead:
      'This folder runs PGlite in a process of its own, asks it as it asks any Postgres, and knows nothing else.',
  },
  {
    name: 'queue dispatch',
    files: gateway('dispatch/adapters/queue/'),
    ours: [
      CONTRACTS,
      RUNTIME,
      gateway('vocabulary'),
      gateway('dispatch/(?!adapters/)'),
      gateway('dispatch/adapters/queue/'),
    ],
    packages: [NODE, /^ioredis$/, /^bullmq$/],
    instead:
      'This folder sends work to the queues of pools and reads what comes back: no other adapter, no other stage.',
  },
  {
    name: 'gateway stores',
    files: gateway('stores/(?!adapters/)'),
    ours: [CONTRACTS, RUNTIME, gateway('stores/(?!adapters/)')],
    packages: [NODE],
    instead: 'Stores are ports that several stages share, and what is the same for all of their adapters.',
  },
  {
    name: 'gateway adapters',
    files: gateway('[a-z-]+/adapters/'),
    ours: [
      CONTRACTS,
      RUNTIME,
      OPENAI_ENGINE,
      STORAGE,
      gateway('vocabulary'),
      gateway('[a-z-]+/(?!adapters/)[a-z-]+\\.ts$'),
    ],
    packages: [
      NODE,
      /^@grpc\/grpc-js$/,
      /^pg$/,
      /^ioredis$/,
      /^bullmq$/,
      /^lru-cache$/,
      /^@qdrant\/js-client-rest$/,
      /^undici$/,
      /^@kubernetes\/client-node$/,
    ],
    instead:
      'An adapter translates between its own port and one client library: no other adapter, no stage logic, no Nest.',
  },
  {
    name: 'documents',
    files: gateway('vector-stores/documents/'),
    ours: [gateway('vector-stores/documents/')],
    packages: [NODE, /^unpdf$/, /^htmlparser2$/, /^yauzl$/],
    instead:
      'This folder reads what anybody may have made, in a process of its own that starts for each document: it knows nothing else.',
  },
  ...GATEWAY_STAGES.map(
    (stage): ImportRule => ({
      name: `gateway ${stage}`,
      files: gateway(`${stage}/`),
      ours: [
        CONTRACTS,
        RUNTIME,
        STORAGE,
        gateway('(vocabulary|metrics)'),
        gateway('stores/(?!adapters/)'),
        stageWithoutAdapters(stage),
      ],
      packages: [NODE, OTEL_API, /^zod$/],
      instead:
        'A stage does not know another stage: declare a small interface for what it needs, and be given it by wiring.ts.',
    }),
  ),
  {
    name: 'worker entry',
    files: worker('(main|pool-threads|open-tls)\\.ts$'),
    ours: [CONTRACTS, RUNTIME, OPENAI_ENGINE, STORAGE, worker('')],
    packages: [NODE],
    instead: 'main.ts only puts the parts together.',
  },
  {
    name: 'llama.cpp adapter',
    files: worker('token-engine/adapters/llama-cpp/'),
    ours: [CONTRACTS, RUNTIME, worker('token-engine/(?!adapters/)'), worker('token-engine/adapters/llama-cpp/')],
    packages: [NODE, /^node-llama-cpp$/],
    instead: 'This folder translates the TokenEngine port to node-llama-cpp, and knows nothing else.',
  },
  {
    name: 'scripted token engine',
    files: worker('token-engine/adapters/scripted/'),
    ours: [CONTRACTS, RUNTIME, worker('token-engine/(?!adapters/)'), worker('token-engine/adapters/scripted/')],
    packages: [NODE],
    instead: 'The scripted engine knows its port only.',
  },
  {
    name: 'worker token-engine port',
    files: worker('token-engine/'),
    ours: [CONTRACTS, RUNTIME, worker('token-engine/(?!adapters/)')],
    packages: [NODE],
    instead: 'The port does not know its adapters.',
  },
  {
    name: 'worker batching',
    files: worker('batching/'),
    ours: [CONTRACTS, RUNTIME, worker('(batching|prompt|metrics)/'), worker('token-engine/(?!adapters/)')],
    packages: [NODE],
    instead: 'Batching knows the TokenEngine port, not who serves it nor which model it is.',
  },
  {
    name: 'worker embedding',
    files: worker('embedding/'),
    ours: [CONTRACTS, RUNTIME, worker('embedding/'), worker('token-engine/(?!adapters/)')],
    packages: [NODE],
    instead: 'Embedding knows the VectorEngine port, not who serves it nor which model it is.',
  },
  {
    name: 'worker prompt',
    files: worker('prompt/'),
    ours: [CONTRACTS, RUNTIME, worker('prompt/'), worker('token-engine/(?!adapters/)')],
    packages: [NODE, /^@huggingface\/jinja$/, /^@eslint-community\/regexpp$/, /^refa$/],
    instead: 'Prompt turns messages into text and text into answers; it knows no sequence and no step.',
  },
  {
    name: 'worker engines',
    files: worker('engines/'),
    ours: [
      CONTRACTS,
      RUNTIME,
      OPENAI_ENGINE,
      STORAGE,
      worker('(engines|models|metrics|batching|embedding|prompt|openvino|token-engine)/'),
    ],
    packages: [NODE],
    instead: 'Engines are put together here, each from its parts; who is served is the library’s and serving’s affair.',
  },
  {
    name: 'worker presence',
    files: worker('presence/'),
    ours: [CONTRACTS, RUNTIME, worker('presence/')],
    packages: [NODE, /^ioredis$/],
    instead: 'It tells gateways that this worker is there, and knows nothing of what it serves.',
  },
  {
    name: 'worker openvino',
    files: worker('openvino/'),
    ours: [CONTRACTS, RUNTIME, OPENAI_ENGINE, worker('openvino/')],
    packages: [NODE],
    instead: 'It starts one program and speaks to it; which model that is for, it is told.',
  },
  {
    name: 'worker serving',
    files: worker('serving/'),
    ours: [CONTRACTS, RUNTIME, worker('(serving|models|metrics)/')],
    packages: [NODE, /^@grpc\/grpc-js$/, /^grpc-health-check$/],
    instead: 'Serving speaks to the Engine seam of libs/contracts: no token engine, no scheduler.',
  },
  {
    name: 'worker queue',
    files: worker('queue/'),
    ours: [CONTRACTS, RUNTIME, worker('(queue|serving|models|metrics)/')],
    packages: [NODE, /^ioredis$/, /^bullmq$/],
    instead:
      'It takes jobs and hands them to serving, which knows the Engine seam; what computes them is no concern of it.',
  },
  {
    name: 'worker models',
    files: worker('models/'),
    ours: [CONTRACTS, RUNTIME, STORAGE, worker('models/'), worker('metrics/')],
    packages: [NODE],
    instead: 'The library is given the functions that open engines.',
  },
  {
    name: 'worker metrics',
    files: worker('metrics/'),
    ours: [CONTRACTS, RUNTIME, worker('metrics/')],
    packages: [NODE, OTEL_API],
    instead: 'Metrics are told what happened; they do not look it up.',
  },
  {
    name: 'cli',
    files: /^apps\/cli\//,
    ours: [CONTRACTS, RUNTIME, STORAGE, OPENAI_ENGINE, /^apps\/cli\//],
    packages: [NODE, /^picocolors$/, /^eventsource-parser/, /^@grpc\/grpc-js$/],
    instead: 'The CLI talks to running processes; it does not import their sources.',
  },
  {
    name: 'tools/demo-model and tools/demo-embed',
    files: /^tools\/demo-(model|embed)\//,
    ours: [/^tools\/demo-(model|embed)\//],
    // The tokenizer that trains the model is compared with llama.cpp's own.
    packages: [NODE, /^node-llama-cpp$/],
    instead: 'The recipe stands by itself; the trained model is judged over the OpenAI protocol.',
  },
  {
    name: 'engines as wholes',
    files: /^test\/engines\//,
    ours: [/^(test|tools)\//, CONTRACTS, RUNTIME, OPENAI_ENGINE, worker('')],
    packages: [NODE, /^vitest/, /^fast-check$/, /^ajv$/],
    instead: 'Here engines are tried below the gateway, by their seam; they are put together as main.ts does.',
  },
  {
    name: 'queue dispatch as a whole',
    files: /^test\/queue\//,
    ours: [/^(test|tools)\//, CONTRACTS, RUNTIME, gateway('(dispatch|stores)/|vocabulary'), worker('(queue|serving)/')],
    packages: [NODE, /^vitest/],
    instead: 'Here both ends of the queue meet, with a real Redis between them.',
  },
  {
    name: 'real services',
    files: /^test\/services\//,
    ours: [/^(test|tools)\//, CONTRACTS, RUNTIME, STORAGE, gateway('')],
    packages: [NODE, /^vitest/],
    instead: 'Here Redis and Postgres are started, and what speaks to them is tried as they come and go.',
  },
  {
    name: 'images, Compose and systemd',
    files: /^test\/(images|compose|systemd)\//,
    ours: [/^(test|tools)\//, CONTRACTS],
    packages: [NODE, /^vitest/, /^yaml$/, /^dockerfile-(ast|utils)$/],
    instead: 'What these files say is held against the settings; what runs is tried as processes.',
  },
  {
    name: 'other people’s clients',
    files: /^test\/e2e\/clients\//,
    ours: [/^test\/e2e\//],
    packages: [
      NODE,
      /^vitest/,
      /^openai/,
      /^zod$/,
      /^ai$/,
      /^@ai-sdk\//,
      /^@anthropic-ai\/sdk/,
      /^@langchain\//,
      /^langchain$/,
      /^@llamaindex\//,
      /^@readme\/openapi-parser$/,
    ],
    instead: 'A suite here is a guest: it has its client, an address, and nothing of ours.',
  },
  {
    name: 'tests, tools and examples',
    files: /^(test|tools|examples)\//,
    ours: [/^(test|tools|examples)\//, CONTRACTS, RUNTIME, STORAGE, OPENAI_ENGINE, /^apps\/[a-z]+\/src\/index\.ts$/],
    packages: [
      NODE,
      /^vitest/,
      /^openai/,
      /^yaml$/,
      /^fast-check$/,
      /^ajv(-formats)?(\/|$)/,
      /^zod$/,
      /^@grpc\/grpc-js$/,
      /^@millrace\/(gateway|worker)\/metrics$/,
      // Searches are measured on the stores as they are.
      /^@millrace\/gateway\/stores\/(adapters\/(pgvector-store|qdrant-vector-store|pglite\/embedded-database)|migrated-database|migration-files|vector-store)$/,
      // The choice of workers is simulated as it is.
      /^@millrace\/gateway\/routing\/worker-(choice|directory)$/,
    ],
    instead: 'Test what is promised through public entry points.',
  },
];

/** What a test beside a source may import as well. */
export const TEST_EXTRAS: readonly RegExp[] = [
  /^vitest/,
  /^fast-check$/,
  /^ajv(-formats)?(\/|$)/,
  /^openai/,
  /^@anthropic-ai\/sdk/,
  /^zod$/, // The schemas of a caller, as the official client takes them.
  /^node:/,
  /^@grpc\/grpc-js$/,
  /^yaml$/,
  /^pino$/,
  /^selfsigned$/,
];
