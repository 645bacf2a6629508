import { modelsFileSchema, SETTINGS, type Setting, type SettingReader, type SettingTable } from '@millrace/contracts';
import * as z from 'zod';

/** A JSON schema, as it is written here. */
type Schema = Readonly<Record<string, unknown>>;

export const VALUES_SCHEMA = 'deploy/helm/millrace/values.schema.json';

/**
 * Settings that the chart works out, or takes under another name: what is said twice could be said in two ways. Secrets are none of a values
 * file's business in any case.
 */
export const SETTINGS_OF_THE_CHART: ReadonlySet<string> = new Set([
  'cacheFolder',
  'dataFolder',
  'dispatch',
  'drainDelayMs',
  'drainTimeoutMs',
  'host',
  'model',
  'modelId',
  'modelsDir',
  'modelsFile',
  'pool',
  'port',
  'postgresUrl',
  'qdrantUrl',
  'queueRedisUrl',
  'readyWithoutWorkers',
  'redisUrl',
  'runsFolder',
  's3Bucket',
  's3Prefix',
  's3Region',
  's3Url',
  'workerAdvertise',
  'workerDiscovery',
  'workerHost',
  'workerMetricsPort',
  'workerPort',
  'workers',
  'workersDns',
  'workersService',
]);

/** Those that may stand in `gateway.settings`, or in a pool's. */
export function settingsInValues(reader: SettingReader): readonly (readonly [string, Setting<unknown>])[] {
  const table: SettingTable = SETTINGS;
  return Object.entries(table).filter(
    ([name, { readBy, secret }]) =>
      readBy.includes(reader) && secret !== true && !SETTINGS_OF_THE_CHART.has(name) && !name.includes('.'),
  );
}

/**
 * `values.schema.json` of the chart: Helm refuses a key that is not here by its name, and a value of another kind. Models and settings come
 * from the tables that the processes read.
 */
export function valuesSchema(): string {
  return `${JSON.stringify(VALUES, null, 2)}\n`;
}

const text: Schema = { type: 'string' };
const flag: Schema = { type: 'boolean' };
const count: Schema = { type: 'integer', minimum: 0 };
const atLeastOne: Schema = { type: 'integer', minimum: 1 };
const port: Schema = { type: 'integer', minimum: 1, maximum: 65_535 };
const portOrNone: Schema = { type: 'integer', minimum: 0, maximum: 65_535 };
const size: Schema = { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$' };
const share: Schema = { anyOf: [count, { type: 'string', pattern: '^[0-9]+%$' }] };
const duration: Schema = { type: 'string', pattern: '^([0-9]+(ms|s|m|h))+$' };
const oneOf = (...choices: readonly string[]): Schema => ({ enum: choices });
const list = (items: Schema): Schema => ({ type: 'array', items });
const someOf = (items: Schema): Schema => ({ type: 'array', items, minItems: 1 });
/** As Kubernetes has it, deep inside: what is wrong in there the API server says. */
const raw: Schema = { type: 'object' };
const texts: Schema = { type: 'object', additionalProperties: text };
/** The beginning of names: what a Service may be called. */
const nameStart: Schema = { type: 'string', pattern: '^([a-z]([a-z0-9-]*[a-z0-9])?)?$' };
const textsOrNone: Schema = { type: 'object', additionalProperties: { type: ['string', 'null'] } };
const ref = (name: string): Schema => ({ $ref: `#/definitions/${name}` });

/** An object with these keys and no others. */
function keys(properties: Readonly<Record<string, Schema>>, required: readonly string[] = []): Schema {
  const needed = required.length === 0 ? {} : { required };
  return { type: 'object', additionalProperties: false, properties, ...needed };
}

function settingsSchema(reader: SettingReader): Schema {
  return keys(Object.fromEntries(settingsInValues(reader).map(([name, setting]) => [name, settingSchema(setting)])));
}

function settingSchema({ kind, min, max, choices, why }: Setting<unknown>): Schema {
  const range = { ...(min !== undefined && { minimum: min }), ...(max !== undefined && { maximum: max }) };
  const kinds: Record<typeof kind, Schema> = {
    integer: { type: 'integer', ...range },
    number: { type: 'number', ...range },
    boolean: flag,
    text,
    choice: { enum: choices },
    list: list(text),
  };
  return { ...kinds[kind], description: why };
}

/** One of the models file, as the file itself is checked, but for rules that span several keys: those a worker tells. */
const modelsFile = z.toJSONSchema(modelsFileSchema, {
  target: 'draft-7',
  io: 'input',
  unrepresentable: 'any',
}) as unknown as {
  readonly properties: { readonly models: { readonly items: Schema }; readonly aliases: { readonly items: Schema } };
};

const keyOf = keys({ name: text, key: text, optional: flag }, ['key']);
const valueFrom = keys({
  secretKeyRef: keyOf,
  configMapKeyRef: keyOf,
  fieldRef: keys({ apiVersion: text, fieldPath: text }),
  resourceFieldRef: keys({ containerName: text, resource: text, divisor: text }),
});
const env = list(keys({ name: text, value: text, valueFrom }, ['name']));
const source = keys({ name: text, optional: flag }, ['name']);
const envFrom = list(keys({ prefix: text, configMapRef: source, secretRef: source }));
const selector = keys({
  matchLabels: texts,
  matchExpressions: list(keys({ key: text, operator: text, values: list(text) }, ['key', 'operator'])),
});
/** Of a NetworkPolicy: who, and what may be reached. */
const peers = list(
  keys({
    namespaceSelector: selector,
    podSelector: selector,
    ipBlock: keys({ cidr: text, except: list(text) }, ['cidr']),
  }),
);
const egress = list(
  keys({
    to: peers,
    ports: list(
      keys({
        port: { type: ['integer', 'string'] },
        endPort: { type: 'integer' },
        protocol: oneOf('TCP', 'UDP', 'SCTP'),
      }),
    ),
  }),
);
/** Those that a pod may have under restricted Pod Security, and those of nodes and clouds, which Kubernetes knows as well. */
const VOLUMES = [
  ...[
    'configMap',
    'csi',
    'downwardAPI',
    'emptyDir',
    'ephemeral',
    'image',
    'persistentVolumeClaim',
    'projected',
    'secret',
  ],
  ...[
    'hostPath',
    'nfs',
    'iscsi',
    'fc',
    'cephfs',
    'rbd',
    'azureFile',
    'azureDisk',
    'awsElasticBlockStore',
    'gcePersistentDisk',
  ],
];
const volumes = list(keys({ name: text, ...Object.fromEntries(VOLUMES.map((kind) => [kind, raw])) }, ['name']));
const volumeMounts = list(
  keys(
    {
      name: text,
      mountPath: text,
      readOnly: flag,
      recursiveReadOnly: text,
      subPath: text,
      subPathExpr: text,
      mountPropagation: text,
    },
    ['name', 'mountPath'],
  ),
);
const spread = list(
  keys(
    {
      maxSkew: atLeastOne,
      minDomains: atLeastOne,
      topologyKey: text,
      whenUnsatisfiable: oneOf('DoNotSchedule', 'ScheduleAnyway'),
      labelSelector: selector,
      matchLabelKeys: list(text),
      nodeAffinityPolicy: text,
      nodeTaintsPolicy: text,
    },
    ['maxSkew', 'topologyKey', 'whenUnsatisfiable'],
  ),
);
const affinity = keys({ nodeAffinity: raw, podAffinity: raw, podAntiAffinity: raw });
const strategy = keys({
  type: oneOf('RollingUpdate', 'Recreate'),
  rollingUpdate: keys({ maxSurge: share, maxUnavailable: share }),
});
const scaling = keys({
  stabilizationWindowSeconds: count,
  selectPolicy: oneOf('Max', 'Min', 'Disabled'),
  policies: list(keys({ type: text, value: count, periodSeconds: count })),
  tolerance: { type: ['string', 'number'] },
});
const behavior = keys({ scaleUp: scaling, scaleDown: scaling });
const metrics = list(
  keys({ type: text, resource: raw, containerResource: raw, pods: raw, object: raw, external: raw }, ['type']),
);
const triggers = list(
  keys(
    {
      type: text,
      name: text,
      metadata: raw,
      metricType: text,
      useCachedMetrics: flag,
      authenticationRef: keys({ name: text, kind: text }, ['name']),
    },
    ['type', 'metadata'],
  ),
);
const parentRefs = list(
  keys({ group: text, kind: text, namespace: text, name: text, sectionName: text, port }, ['name']),
);
const tolerations = list(
  keys({
    key: text,
    operator: oneOf('Exists', 'Equal'),
    value: text,
    effect: oneOf('NoSchedule', 'PreferNoSchedule', 'NoExecute'),
    tolerationSeconds: { type: 'integer' },
  }),
);
/** As Kubernetes writes them; `null` takes away what a default says. */
const quantity: Schema = {
  type: ['string', 'number', 'null'],
  pattern: '^[0-9]+(\\.[0-9]+)?([numkMGTPE]|[KMGTPE]i)?$',
};
const quantities: Schema = { type: ['object', 'null'], additionalProperties: quantity };
const resources = keys({
  requests: quantities,
  limits: quantities,
  claims: list(keys({ name: text, request: text }, ['name'])),
});
const pdb = keys({ enabled: flag, maxUnavailable: share });

const ownImage = keys({ repository: text, tag: text, digest: text });

/** Of a pool, all of which stands in `workers.defaults` too. */
const POOL: Readonly<Record<string, Schema>> = {
  engine: oneOf('llama.cpp', 'openvino', 'llama-server', 'max-serve', 'vllm', 'ovms', 'remote'),
  image: ownImage,
  models: list(ref('model')),
  defaultModel: text,
  replicas: count,
  dispatch: oneOf('grpc', 'queue', 'both'),
  settings: ref('workerSettings'),
  resources,
  gpu: keys({ type: { type: 'string', pattern: '^[a-z0-9.-]+/[A-Za-z0-9._-]+$' }, count }),
  nodeSelector: textsOrNone,
  tolerations,
  affinity,
  runtimeClassName: text,
  priorityClassName: text,
  topologySpreadConstraints: spread,
  strategy,
  shm: keys({ size: { anyOf: [{ const: '' }, size] } }),
  cache: keys({
    type: oneOf('emptyDir', 'ephemeral', 'pvc'),
    size,
    storageClass: text,
    accessModes: someOf(oneOf('ReadWriteOnce', 'ReadWriteOncePod', 'ReadWriteMany', 'ReadOnlyMany')),
    existingClaim: text,
  }),
  pull: list({ type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9._-]*$' }),
  drain: keys({ timeoutMs: count, marginSeconds: { type: 'integer', minimum: 5 } }),
  startupSeconds: atLeastOne,
  pdb,
  hpa: keys({
    enabled: flag,
    minReplicas: atLeastOne,
    maxReplicas: atLeastOne,
    waitingPerReplica: atLeastOne,
    runningPerReplica: atLeastOne,
    behavior,
  }),
  keda: keys({
    enabled: flag,
    minReplicas: count,
    maxReplicas: atLeastOne,
    prometheusAddress: { type: 'string', pattern: '^https?://' },
    waitingPerReplica: atLeastOne,
    runningPerReplica: atLeastOne,
    pollingSeconds: atLeastOne,
    cooldownSeconds: atLeastOne,
    fallbackReplicas: count,
    authenticationRef: text,
    triggers,
  }),
  sidecar: keys({
    image: ownImage,
    command: list(text),
    args: list(text),
    port: portOrNone,
    healthPath: text,
    env,
    envFrom,
    resources,
    extraVolumeMounts: volumeMounts,
    readOnlyRootFilesystem: flag,
  }),
  extraEnv: env,
  extraEnvFrom: envFrom,
  extraVolumes: volumes,
  extraVolumeMounts: volumeMounts,
  podLabels: textsOrNone,
  podAnnotations: textsOrNone,
};

const OF_KUBERNETES: ReadonlySet<Schema> = new Set([resources, affinity, behavior]);

/**
 * One of values.yaml, whose own sections have to be there: a section that a file names and leaves empty is taken away by Helm, and templates that
 * look into it would fail with a sentence about Go. What is Kubernetes' own may be taken away.
 */
function section(properties: Readonly<Record<string, Schema>>): Schema {
  const isSection = (schema: Schema) => schema.additionalProperties === false && !OF_KUBERNETES.has(schema);
  const sections = Object.entries(properties).filter(([, schema]) => isSection(schema));
  return keys(
    properties,
    sections.map(([name]) => name),
  );
}

const bundled = section({ enabled: flag, image: text, size, storageClass: text, resources });
const monitor = section({ enabled: flag, interval: duration, labels: texts });

const VALUES: Schema = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'Values of the chart millrace',
  ...section({
    // Values for all charts of a tree, so that there are keys in it of which this one knows nothing.
    global: {
      type: 'object',
      properties: { imageRegistry: text, imagePullSecrets: list({ anyOf: [text, keys({ name: text }, ['name'])] }) },
    },
    nameOverride: nameStart,
    fullnameOverride: nameStart,
    commonLabels: texts,
    listenAddress: oneOf('0.0.0.0', '::'),
    revisionHistoryLimit: count,
    placement: section({ nodeSelector: texts, tolerations }),
    image: section({
      registry: text,
      pullPolicy: oneOf('Always', 'IfNotPresent', 'Never'),
      pullSecrets: list(text),
      gateway: section({ repository: text, tag: text, digest: text }),
      worker: section({ repository: text, tag: text, digest: text, cudaSuffix: text, cudaDigest: text }),
    }),
    secrets: section({ existingSecret: text }),
    models: section({
      defaultModel: text,
      entries: list(ref('model')),
      aliases: list(modelsFile.properties.aliases.items),
    }),
    gateway: section({
      replicas: count,
      settings: ref('gatewaySettings'),
      drain: section({
        preStopSeconds: count,
        delayMs: count,
        timeoutMs: count,
        marginSeconds: { type: 'integer', minimum: 10 },
      }),
      hpa: section({
        enabled: flag,
        minReplicas: atLeastOne,
        maxReplicas: atLeastOne,
        cpuUtilizationPercent: atLeastOne,
        metrics,
        behavior,
      }),
      pdb,
      topologySpreadConstraints: spread,
      resources,
      persistence: section({ enabled: flag, size, storageClass: text, existingClaim: text }),
      scratchSize: size,
      tls: section({ existingSecret: text }),
      service: section({
        type: oneOf('ClusterIP', 'NodePort', 'LoadBalancer'),
        port,
        nodePort: portOrNone,
        annotations: texts,
      }),
      startupSeconds: atLeastOne,
      extraEnv: env,
      extraEnvFrom: envFrom,
      extraVolumes: volumes,
      extraVolumeMounts: volumeMounts,
      podLabels: texts,
      podAnnotations: texts,
      nodeSelector: texts,
      tolerations,
      affinity,
      priorityClassName: text,
    }),
    workers: section({
      discovery: oneOf('kubernetes', 'dns'),
      // Part of the names of objects, and the name of a queue.
      pools: list(keys({ name: { type: 'string', pattern: '^[a-z]([a-z0-9-]{0,13}[a-z0-9])?$' }, ...POOL }, ['name'])),
      defaults: section(POOL),
    }),
    workerTls: section({ existingSecret: text, serverName: text }),
    postgres: section({ bundled, external: section({ existingSecret: text, key: text, port, caSecret: text }) }),
    redis: section({
      bundled,
      external: section({
        existingSecret: text,
        key: text,
        queueKey: text,
        queuePort: portOrNone,
        port,
        caSecret: text,
      }),
    }),
    qdrant: section({
      bundled,
      external: section({ url: address(), existingSecret: text, key: text, caSecret: text }),
    }),
    s3: section({
      bundled,
      external: section({ url: address(), existingSecret: text, caSecret: text }),
      bucket: { type: 'string', minLength: 3 },
      prefix: text,
      region: text,
    }),
    migrations: section({
      enabled: flag,
      existingSecret: text,
      key: text,
      port: portOrNone,
      timeoutMs: { type: 'integer', minimum: 0, maximum: 3_600_000 },
      backoffLimit: count,
      resources,
    }),
    ingress: section({
      enabled: flag,
      className: text,
      controller: oneOf('nginx', 'nginx.org', 'none'),
      annotations: texts,
      hosts: someOf(text),
      tls: section({ secretName: text }),
    }),
    httpRoute: section({
      enabled: flag,
      parentRefs,
      hostnames: someOf(text),
      annotations: texts,
      gateway: section({ enabled: flag, className: text, tlsSecretName: text }),
    }),
    telemetry: section({
      endpoint: { type: 'string', pattern: '^$|^https?://[^@]+$' },
      protocol: oneOf('http/protobuf', 'http/json', 'grpc'),
      tracesShare: { type: 'number', minimum: 0, maximum: 1 },
      metrics: oneOf('otlp', 'prometheus'),
    }),
    monitoring: section({
      serviceMonitor: monitor,
      podMonitor: monitor,
      prometheusRule: section({ enabled: flag, without: list(text), labels: texts }),
      dashboards: section({ enabled: flag, labels: texts, annotations: texts }),
    }),
    networkPolicy: section({
      enabled: flag,
      clients: peers,
      prometheus: peers,
      dns: peers,
      dnsPorts: someOf(port),
      apiServerPorts: someOf(port),
      stores: peers,
      storeCidrs: list(text),
      providers: flag,
      gatewayEgress: egress,
      workerEgress: egress,
    }),
    serviceAccount: section({ create: flag, annotations: texts, names: section({ gateway: text, worker: text }) }),
    extraObjects: list({ type: ['object', 'string'] }),
  }),
  definitions: {
    model: modelsFile.properties.models.items,
    gatewaySettings: settingsSchema('gateway'),
    workerSettings: settingsSchema('worker'),
  },
};

/** Of a server, without a password in it: that would be in a file that everybody reads. */
function address(): Schema {
  return { type: 'string', pattern: '^$|^https?://[^@/]+$' };
}
