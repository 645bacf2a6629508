import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SETTINGS } from '@millrace/contracts';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import {
  CHART,
  containersOf,
  describeWithHelm,
  environmentOf,
  type Manifest,
  notesOf,
  podsIn,
  ROOT,
  refusalOf,
  render,
  type Values,
  withCopy,
} from './chart.testing.js';

const POSTGRES = { postgres: { bundled: { enabled: true } } };
const REDIS = { redis: { bundled: { enabled: true } } };
const ALL_BUNDLED = {
  ...POSTGRES,
  ...REDIS,
  qdrant: { bundled: { enabled: true } },
  s3: { bundled: { enabled: true } },
};
/** One pool that says so much of itself. */
const withPool = (pool: Values, others: Values = {}): Values => ({
  ...others,
  workers: { pools: [{ name: 'one', ...pool }] },
});
const GPU = { gpu: { count: 1 } };
const SIDECAR = { engine: 'vllm', models: [{ id: 'a' }], sidecar: { image: { repository: 'vllm', tag: '1' } } };

const gatewayOf = (values: Values) => render(values).one('Deployment', '-gateway');
const workerOf = (values: Values) => render(values).one('Deployment', '-worker-one');
const mainOf = ({ spec }: Manifest) => spec.template.spec.containers[0];

describeWithHelm('a typo in the values', () => {
  it.each<[string, Values, string]>([
    ['replcas', { gateway: { replcas: 2 } }, "at '/gateway': additional properties 'replcas' not allowed"],
    [
      'replcas of a pool',
      withPool({ replcas: 2 }),
      "at '/workers/pools/0': additional properties 'replcas' not allowed",
    ],
    [
      'a setting',
      { gateway: { settings: { maxQueDepth: 2 } } },
      "at '/gateway/settings': additional properties 'maxQueDepth' not allowed",
    ],
    [
      'a key of a model',
      withPool({ models: [{ id: 'a', contxt: 3 }] }),
      "at '/workers/pools/0/models/0': additional properties 'contxt' not allowed",
    ],
    [
      'a value out of range',
      { gateway: { settings: { maxQueueDepth: -1 } } },
      "at '/gateway/settings/maxQueueDepth': minimum: got -1, want 0",
    ],
    [
      'a password in an address',
      { s3: { external: { url: 'https://me:secret@s3.example.com' } } },
      "at '/s3/external/url'",
    ],
    [
      'a key of a volume',
      { gateway: { extraVolumes: [{ name: 'a', emptyDirr: {} }] } },
      "at '/gateway/extraVolumes/0': additional properties 'emptyDirr' not allowed",
    ],
    [
      'a key of a variable from a Secret',
      withPool({ extraEnv: [{ name: 'A', valueFrom: { secretKeyRef: { name: 's', kee: 'k' } } }] }),
      "at '/workers/pools/0/extraEnv/0/valueFrom/secretKeyRef': additional properties 'kee' not allowed",
    ],
    [
      'a key of a peer in the network',
      { networkPolicy: { clients: [{ namespaceSelecter: {} }] } },
      "at '/networkPolicy/clients/0': additional properties 'namespaceSelecter' not allowed",
    ],
    // `gateway:` with nothing below it, as when all of it is commented out.
    ['a section left empty', { gateway: null }, "at '': missing property 'gateway'"],
    [
      'a section within one',
      { networkPolicy: null, gateway: { drain: null } },
      "at '/gateway': missing property 'drain'",
    ],
    [
      'a name that no Service may have',
      { fullnameOverride: 'My_LLM' },
      "at '/fullnameOverride': 'My_LLM' does not match pattern",
    ],
  ])('is refused by the name of the key: %s', (_title, values, sentence) => {
    expect(refusalOf(values)).toContain(sentence);
  });
});

describeWithHelm('values that contradict each other', () => {
  it.each<[string, Values, string]>([
    [
      'HPA and KEDA',
      withPool({ hpa: { enabled: true }, keda: { enabled: true } }),
      'the pool one has hpa.enabled and keda.enabled, and each would undo what the other does. Turn one of them off.',
    ],
    [
      'more than one gateway without a Postgres',
      { gateway: { replicas: 2 } },
      'no Postgres that they share. Set postgres.bundled.enabled or postgres.external.existingSecret',
    ],
    ['an HPA of gateways without one', { gateway: { hpa: { enabled: true } } }, 'no Postgres that they share'],
    [
      'a store that is bundled and external',
      { postgres: { bundled: { enabled: true }, external: { existingSecret: 'mine' } } },
      'postgres.bundled.enabled is set, and so is postgres.external.existingSecret. Choose one of them.',
    ],
    [
      'a queue without a Redis',
      withPool({ dispatch: 'queue' }),
      'the pool one has dispatch queue, and there is no Redis for its queue.',
    ],
    [
      'a pull without a bucket',
      withPool({ pull: ['a', 'b'] }),
      'the pool one is to pull a, b, and there is no S3 server',
    ],
    [
      'a sidecar without an image',
      withPool({ engine: 'vllm', models: [{ id: 'a' }] }),
      'the pool one has the engine vllm and no image for it. Set sidecar.image.repository and sidecar.image.tag.',
    ],
    [
      'OpenVINO in an image without Python',
      withPool({ engine: 'openvino' }),
      'the pool one has the engine openvino, which runs in Python, and the images of Millrace have none.',
    ],
    [
      'an image without a tag',
      withPool({ image: { repository: 'worker' } }),
      'the pool one has image.repository worker, and neither its tag nor its digest.',
    ],
    [
      'a server at the port of its worker',
      withPool({ ...SIDECAR, sidecar: { ...SIDECAR.sidecar, port: 8_101 } }),
      'the pool one has sidecar.port 8101, which is the port of the metrics of the worker beside it.',
    ],
    [
      'several workers on one volume for one node',
      withPool({ replicas: 2, cache: { type: 'pvc' } }),
      'the pool one may have 2 workers, and cache.type is pvc with accessModes ["ReadWriteOnce"]',
    ],
    [
      'the same pool twice',
      { workers: { pools: [{ name: 'a' }, { name: 'a' }] } },
      'the pool a is there twice. Give each pool a name of its own.',
    ],
    [
      'rest at zero of nobody knows what',
      {
        workers: {
          pools: [
            { name: 'one', keda: { enabled: true } },
            { name: 'two', models: [{ id: 'b' }] },
          ],
        },
      },
      'the pool one rests at zero (keda.minReplicas 0) beside others, and names no models',
    ],
    [
      'fewest above most',
      withPool({ keda: { enabled: true, minReplicas: 5, maxReplicas: 2 } }),
      'the pool one has keda.minReplicas 5 and maxReplicas 2.',
    ],
    [
      'a label by which the chart finds its pods',
      { commonLabels: { 'app.kubernetes.io/name': 'mine' } },
      'The label app.kubernetes.io/name is among commonLabels, podLabels or the labels of monitoring',
    ],
    [
      'such a label of a pool',
      withPool({ podLabels: { 'millrace.dev/pool': 'mine' } }),
      'The label millrace.dev/pool is among',
    ],
    [
      'a gateway that asks for more than it is allowed',
      { gateway: { resources: { requests: { memory: '2Gi' } } } },
      'gateway.resources asks for 2Gi of memory and allows 1Gi, so that Kubernetes would start no pod. Raise limits.memory, or set it to null for none.',
    ],
    [
      'a pool that does',
      withPool({ resources: { requests: { memory: '24G' } } }),
      'resources of the pool one asks for 24G of memory and allows 4Gi',
    ],
    [
      'a server beside a worker that does',
      withPool({
        ...SIDECAR,
        sidecar: { ...SIDECAR.sidecar, resources: { requests: { cpu: 1.5 }, limits: { cpu: '1400m' } } },
      }),
      'sidecar.resources of the pool one asks for 1.5 of cpu and allows 1400m',
    ],
    [
      'a store that does',
      { redis: { bundled: { enabled: true, resources: { requests: { memory: '1025Mi' } } } } },
      'the bundled resources of redis asks for 1025Mi of memory and allows 1Gi',
    ],
    ['a route that joins nothing', { httpRoute: { enabled: true } }, 'there is no Gateway for it to join'],
    [
      'a server without its keys',
      { s3: { external: { url: 'https://s3.example.com' } } },
      's3.external.existingSecret is not. Name the Secret with access-key and secret-key.',
    ],
    [
      'no accounts',
      { serviceAccount: { create: false } },
      'serviceAccount.names.gateway or serviceAccount.names.worker is empty',
    ],
  ])('are refused with a sentence: %s', (_title, values, sentence) => {
    expect(refusalOf(values)).toContain(sentence);
  });
});

describeWithHelm('a gateway', () => {
  it('has the replicas that are asked for, and with an HPA none', () => {
    expect(gatewayOf({ ...POSTGRES, gateway: { replicas: 3 } }).spec.replicas).toBe(3);
    const scaled = render({ ...POSTGRES, gateway: { replicas: 3, hpa: { enabled: true, maxReplicas: 5 } } });
    expect(scaled.one('Deployment', '-gateway').spec).not.toHaveProperty('replicas');
    const { scaleTargetRef, minReplicas, maxReplicas } = scaled.one('HorizontalPodAutoscaler').spec;
    expect(scaleTargetRef.name).toBe(scaled.one('Deployment', '-gateway').metadata.name);
    expect([minReplicas, maxReplicas]).toEqual([2, 5]);
  });

  it.each([
    [{}, 0 + 5 + 120 + 15],
    [{ preStopSeconds: 10, delayMs: 20_500, timeoutMs: 300_000, marginSeconds: 30 }, 10 + 321 + 30],
  ])('is given as long to stop as all that it does then, %j', (drain, seconds) => {
    const deployment = gatewayOf({ gateway: { drain } });
    const environment = environmentOf(mainOf(deployment));
    const { terminationGracePeriodSeconds } = deployment.spec.template.spec;
    expect(terminationGracePeriodSeconds).toBe(seconds);
    const preStop = mainOf(deployment).lifecycle?.preStop.sleep.seconds ?? 0;
    const ms = Number(environment.MILLRACE_DRAIN_DELAY_MS) + Number(environment.MILLRACE_DRAIN_TIMEOUT_MS);
    // Records are written for up to five seconds after the last answer.
    expect(terminationGracePeriodSeconds - preStop - ms / 1_000).toBeGreaterThanOrEqual(10);
  });

  it('fails its readiness sooner than it stops to take connections', () => {
    const { periodSeconds, failureThreshold } = mainOf(gatewayOf({})).readinessProbe;
    const { delayMs } = parse(readFileSync(join(CHART, 'values.yaml'), 'utf8')).gateway.drain;
    expect(periodSeconds * failureThreshold * 1_000).toBeLessThan(delayMs);
  });

  it('is replaced without a gap, but where its database is in its folder', () => {
    expect(gatewayOf(POSTGRES).spec.strategy).toEqual({
      type: 'RollingUpdate',
      rollingUpdate: { maxSurge: 1, maxUnavailable: 0 },
    });
    expect(gatewayOf({}).spec.strategy).toEqual({ type: 'Recreate' });
  });

  it('keeps its folder on a volume where there is no Postgres, and only there', () => {
    const alone = render({});
    expect(alone.one('PersistentVolumeClaim').metadata.annotations).toEqual({ 'helm.sh/resource-policy': 'keep' });
    const volume = (values: Values) =>
      gatewayOf(values).spec.template.spec.volumes.find(({ name }: Manifest) => name === 'data');
    expect(volume({})).toEqual({ name: 'data', persistentVolumeClaim: { claimName: 'millrace-gateway' } });
    expect(volume({ gateway: { persistence: { existingClaim: 'mine' } } }).persistentVolumeClaim.claimName).toBe(
      'mine',
    );
    expect(volume(POSTGRES)).toEqual({ name: 'data', emptyDir: { sizeLimit: '4Gi' } });
  });

  it('has a budget for disruptions and is spread over zones and nodes', () => {
    const all = render(POSTGRES);
    expect(all.one('PodDisruptionBudget', '-gateway').spec.maxUnavailable).toBe(1);
    const { topologySpreadConstraints } = all.one('Deployment', '-gateway').spec.template.spec;
    expect(topologySpreadConstraints.map(({ topologyKey }: Manifest) => topologyKey)).toEqual([
      'topology.kubernetes.io/zone',
      'kubernetes.io/hostname',
    ]);
    const mine = [{ maxSkew: 2, topologyKey: 'rack', whenUnsatisfiable: 'DoNotSchedule' }];
    const { spec } = gatewayOf({ gateway: { topologySpreadConstraints: mine } });
    expect(spec.template.spec.topologySpreadConstraints).toEqual([
      // Without one it would choose nobody, and spread nothing.
      { ...mine[0], labelSelector: spec.selector },
    ]);
    const chosen = [{ ...mine[0], labelSelector: { matchLabels: { team: 'a' } } }];
    expect(
      workerOf(withPool({ topologySpreadConstraints: chosen })).spec.template.spec.topologySpreadConstraints,
    ).toEqual(chosen);
  });

  it('has settings by name, also large ones and lists', () => {
    const settings = { maxQueueBytes: 107_374_182_400, corsOrigins: ['https://a', 'https://b'], logMessages: false };
    expect(environmentOf(mainOf(gatewayOf({ gateway: { settings } })))).toMatchObject({
      MILLRACE_MAX_QUEUE_BYTES: '107374182400',
      MILLRACE_CORS_ORIGINS: 'https://a,https://b',
      MILLRACE_LOG_MESSAGES: 'false',
    });
  });

  it('says HTTPS to whoever asks it, once it has a certificate', () => {
    const all = render({
      gateway: { tls: { existingSecret: 'cert' } },
      monitoring: { serviceMonitor: { enabled: true } },
    });
    const gateway = mainOf(all.one('Deployment', '-gateway'));
    expect([gateway.readinessProbe, gateway.livenessProbe].map(({ httpGet }) => httpGet.scheme)).toEqual([
      'HTTPS',
      'HTTPS',
    ]);
    expect(environmentOf(gateway).MILLRACE_TLS_CERT_FILE).toBe('/etc/millrace/tls/tls.crt');
    expect(all.one('ServiceMonitor').spec.endpoints[0].scheme).toBe('https');
  });

  it('has no token of Kubernetes unless it watches endpoints', () => {
    const tokenOf = (discovery: string) =>
      gatewayOf({ workers: { discovery } }).spec.template.spec.automountServiceAccountToken;
    expect([tokenOf('kubernetes'), tokenOf('dns')]).toEqual([true, false]);
    expect(render({ workers: { discovery: 'dns' } }).all('Role')).toEqual([]);
    const queued = render(withPool({ dispatch: 'queue' }, REDIS));
    expect(queued.one('Deployment', '-gateway').spec.template.spec.automountServiceAccountToken).toBe(false);
    expect(queued.all('Role')).toEqual([]);
  });

  it('may do nothing in Kubernetes but see endpoints', () => {
    const all = render({});
    expect(all.one('Role').rules).toEqual([
      { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['get', 'list', 'watch'] },
    ]);
    expect(all.one('RoleBinding').subjects[0].name).toBe(
      all.one('Deployment', '-gateway').spec.template.spec.serviceAccountName,
    );
    expect(all.all('ClusterRole')).toEqual([]);
  });

  it('is ready without workers where a pool rests at none, and requests wait longer for the first', () => {
    const environment = (values: Values) => environmentOf(mainOf(gatewayOf(values)));
    const atZero = environment(withPool({ keda: { enabled: true, minReplicas: 0 } }));
    expect(atZero).toMatchObject({ MILLRACE_READY_WITHOUT_WORKERS: 'true', MILLRACE_COLD_START_WAIT_MS: '300000' });
    // Whoever has waited for all of that still has time to be answered.
    expect(atZero.MILLRACE_REQUEST_TIMEOUT_MS).toBe('600000');
    expect(environment(withPool({ keda: { enabled: true, minReplicas: 1 } }))).not.toHaveProperty(
      'MILLRACE_READY_WITHOUT_WORKERS',
    );
    const said = { gateway: { settings: { coldStartWaitMs: 0 } } };
    expect(environment(withPool({ keda: { enabled: true } }, said)).MILLRACE_COLD_START_WAIT_MS).toBe('0');
  });

  it.each([
    [['grpc'], 'grpc'],
    [['queue'], 'queue'],
    [['grpc', 'queue'], 'both'],
    [['both'], 'both'],
  ])('reaches pools of %j by %s', (ways, dispatch) => {
    const pools = ways.map((way, index) => ({ name: `p${index}`, dispatch: way }));
    expect(environmentOf(mainOf(gatewayOf({ ...REDIS, workers: { pools } }))).MILLRACE_DISPATCH).toBe(dispatch);
  });

  it('knows the models of all pools, its own, and further names', () => {
    const all = render({
      models: { defaultModel: 'a', entries: [{ id: 'far', engine: 'openai-compatible' }], aliases: [] },
      workers: {
        pools: [
          { name: 'one', models: [{ id: 'a', path: '/models/a.gguf' }] },
          {
            name: 'two',
            models: [
              { id: 'a', path: '/models/a.gguf' },
              { id: 'b', path: '/models/b.gguf' },
            ],
          },
        ],
      },
    });
    const file = parse(all.one('ConfigMap', '-gateway-models').data['models.yaml']);
    expect(file.defaultModel).toBe('a');
    expect(file.models.map(({ id }: Manifest) => id)).toEqual(['far', 'a', 'b']);
  });
});

describeWithHelm('a pool of workers', () => {
  it('gives up an old pod before a new one starts where it has GPUs, and never one too many elsewhere', () => {
    expect(workerOf(withPool(GPU)).spec.strategy.rollingUpdate).toEqual({ maxSurge: 0, maxUnavailable: 1 });
    expect(workerOf(withPool({})).spec.strategy.rollingUpdate).toEqual({ maxSurge: 1, maxUnavailable: 0 });
    expect(workerOf(withPool({ ...GPU, strategy: { type: 'Recreate' } })).spec.strategy).toEqual({ type: 'Recreate' });
  });

  it('gives up an old pod before a new one starts where only one node can mount its volume', () => {
    const rolling = (cache: Values) => workerOf(withPool({ cache })).spec.strategy.rollingUpdate;
    expect(rolling({ type: 'pvc' })).toEqual({ maxSurge: 0, maxUnavailable: 1 });
    expect(rolling({ type: 'pvc', existingClaim: 'mine' })).toEqual({ maxSurge: 0, maxUnavailable: 1 });
    for (const cache of [
      { type: 'pvc', accessModes: ['ReadWriteMany'] },
      { type: 'ephemeral' },
      { type: 'emptyDir' },
    ]) {
      expect(rolling(cache), cache.type).toEqual({ maxSurge: 1, maxUnavailable: 0 });
    }
  });

  it('has GPUs as a resource, the image with CUDA, and an engine that insists on it', () => {
    const worker = mainOf(workerOf(withPool({ gpu: { count: 2 } })));
    expect(worker.resources.limits).toEqual({ memory: '4Gi', 'nvidia.com/gpu': 2 });
    expect(worker.image).toBe('docker.io/millrace/worker:0.1.0-cuda');
    expect(environmentOf(worker).MILLRACE_GPU).toBe('cuda');
    const cpu = mainOf(workerOf(withPool({})));
    expect([cpu.image, environmentOf(cpu).MILLRACE_GPU]).toEqual(['docker.io/millrace/worker:0.1.0', 'off']);
    const amd = mainOf(workerOf(withPool({ gpu: { type: 'amd.com/gpu', count: 1 } })));
    expect([amd.image, environmentOf(amd).MILLRACE_GPU]).toEqual(['docker.io/millrace/worker:0.1.0', 'auto']);
  });

  it('has an image of its own where it names one', () => {
    const image = { repository: 'registry.example.com/worker', tag: 'rocm' };
    expect(mainOf(workerOf(withPool({ ...GPU, image }))).image).toBe('registry.example.com/worker:rocm');
    const digest = `sha256:${'a'.repeat(64)}`;
    const pinned = withPool({ image: { ...image, digest }, pull: ['a'] }, ALL_BUNDLED);
    const { initContainers, containers } = workerOf(pinned).spec.template.spec;
    for (const { image } of [...initContainers, ...containers])
      expect(image).toBe(`registry.example.com/worker@${digest}`);
    const [vllm] = workerOf(withPool({ ...SIDECAR, sidecar: { image: { repository: 'vllm', digest } } })).spec.template
      .spec.initContainers;
    expect(vllm.image).toBe(`vllm@${digest}`);
  });

  it('and a gateway may have no resources at all', () => {
    const all = render({ gateway: { resources: null, affinity: null }, workers: { defaults: { resources: null } } });
    for (const ending of ['-gateway', '-cpu']) expect(mainOf(all.one('Deployment', ending)).resources).toEqual({});
  });

  it('is scheduled where it is told to', () => {
    const where = {
      nodeSelector: { disk: 'fast' },
      tolerations: [{ key: 'gpu', operator: 'Exists' }],
      runtimeClassName: 'nvidia',
      priorityClassName: 'high',
      affinity: { nodeAffinity: {} },
    };
    expect(workerOf(withPool(where)).spec.template.spec).toMatchObject(where);
  });

  it('has shared memory where it wants some', () => {
    const { volumes, containers } = workerOf(withPool({ shm: { size: '8Gi' } })).spec.template.spec;
    expect(volumes).toContainEqual({ name: 'shm', emptyDir: { medium: 'Memory', sizeLimit: '8Gi' } });
    expect(containers[0].volumeMounts).toContainEqual({ name: 'shm', mountPath: '/dev/shm' });
  });

  it('has half an hour to load its model, or what it is given, and then is probed', () => {
    const patience = (values: Values) => {
      const { startupProbe } = mainOf(workerOf(values));
      expect(startupProbe.grpc).toEqual({ port: SETTINGS.workerPort.default });
      return startupProbe.periodSeconds * startupProbe.failureThreshold;
    };
    expect(patience(withPool({}))).toBe(1_800);
    expect(patience(withPool({ startupSeconds: 7_201 }))).toBe(7_205);
    const { progressDeadlineSeconds } = workerOf(withPool({ startupSeconds: 7_201 })).spec;
    expect(progressDeadlineSeconds).toBeGreaterThan(7_205);
  });

  it('is given as long to stop as it needs', () => {
    const deployment = workerOf(withPool({ drain: { timeoutMs: 90_500 } }));
    expect(environmentOf(mainOf(deployment)).MILLRACE_DRAIN_TIMEOUT_MS).toBe('90500');
    expect(deployment.spec.template.spec.terminationGracePeriodSeconds).toBe(91 + 20);
  });

  it('has what its defaults say, a false and a zero of its own included', () => {
    const workers = {
      defaults: { replicas: 3, pdb: { enabled: true, maxUnavailable: 2 } },
      pools: [{ name: 'one', replicas: 0, pdb: { enabled: false } }, { name: 'two' }],
    };
    const all = render({ workers });
    expect(all.one('Deployment', '-one').spec.replicas).toBe(0);
    expect(all.one('Deployment', '-two').spec.replicas).toBe(3);
    expect(all.all('PodDisruptionBudget').map(({ metadata }) => metadata.name)).toEqual([
      'millrace-gateway',
      'millrace-worker-two',
    ]);
    expect(all.one('PodDisruptionBudget', '-two').spec.maxUnavailable).toBe(2);
  });

  it('takes away by a null what its defaults say', () => {
    const workers = {
      defaults: { nodeSelector: { disk: 'fast', zone: 'a' }, podLabels: { team: 'a' } },
      pools: [
        {
          name: 'one',
          resources: { requests: { memory: '24Gi' }, limits: { memory: null } },
          nodeSelector: { zone: null },
          podLabels: { team: null },
        },
        { name: 'two', resources: { limits: null } },
      ],
    };
    const { template } = workerOf({ workers }).spec;
    expect(template.spec.containers[0].resources).toEqual({ requests: { cpu: '1', memory: '24Gi' }, limits: {} });
    expect(template.spec.nodeSelector).toEqual({ disk: 'fast' });
    expect(template.metadata.labels).not.toHaveProperty('team');
    const two = render({ workers }).one('Deployment', '-two').spec.template;
    expect(two.spec.containers[0].resources).toEqual({ requests: { cpu: '1', memory: '2Gi' } });
    expect(two.metadata.labels.team).toBe('a');
  });

  it('starts anew when its models file changes', () => {
    const mark = (context: number) =>
      workerOf(withPool({ models: [{ id: 'a', path: '/models/a.gguf', context }] })).spec.template.metadata.annotations;
    expect(mark(1_024)).not.toEqual(mark(2_048));
    expect(mark(1_024)).toEqual(mark(1_024));
  });

  it.each([
    ['emptyDir', { emptyDir: { sizeLimit: '20Gi' } }],
    ['pvc', { persistentVolumeClaim: { claimName: 'millrace-worker-one-models' } }],
  ])('keeps models in %s', (type, source) => {
    const { volumes } = workerOf(withPool({ cache: { type } })).spec.template.spec;
    expect(volumes).toContainEqual({ name: 'models', ...source });
  });

  it('keeps models on a volume of each pod', () => {
    const cache = { type: 'ephemeral', size: '9Gi', storageClass: 'fast' };
    const { volumes } = workerOf(withPool({ cache, replicas: 3 })).spec.template.spec;
    const { spec } = volumes.find(({ name }: Manifest) => name === 'models').ephemeral.volumeClaimTemplate;
    expect([spec.storageClassName, spec.resources.requests.storage]).toEqual(['fast', '9Gi']);
  });

  it('fetches no more models of the bucket than its volume holds', () => {
    const S3 = { s3: { bundled: { enabled: true } } };
    const limit = (pool: Values, others: Values = S3) =>
      environmentOf(mainOf(workerOf(withPool(pool, others)))).MILLRACE_MODEL_CACHE_BYTES_MAX;
    expect(Number(limit({}))).toBe(Math.round(20 * 1024 ** 3 * 0.9));
    expect(Number(limit({ cache: { type: 'ephemeral', size: '1.5T' } }))).toBe(1.35e12);
    expect(Number(limit({ cache: { size: '50Gi' }, settings: { modelCacheBytesMax: 4_000_000_000 } }))).toBe(4e9);
    expect(limit({ cache: { type: 'pvc', existingClaim: 'mine' } })).toBeUndefined();
    expect(limit({}, {})).toBeUndefined();
  });

  it('may take as long to roll out as fetching and loading take, one after the other', () => {
    const deadline = (pool: Values) =>
      workerOf(withPool({ ...pool, startupSeconds: 1_000 }, ALL_BUNDLED)).spec.progressDeadlineSeconds;
    expect([deadline({}), deadline(SIDECAR), deadline({ ...SIDECAR, pull: ['a'] })]).toEqual([1_600, 2_600, 3_600]);
  });

  it('brings models of the bucket before anything else starts', () => {
    const values = withPool({ ...SIDECAR, pull: ['Qwen_3.5', 'b'] }, ALL_BUNDLED);
    const { initContainers } = workerOf(values).spec.template.spec;
    expect(initContainers.map(({ name }: Manifest) => name.replace(/-[0-9a-f]{6}$/, ''))).toEqual([
      'pull-qwen-3-5',
      'pull-b',
      'vllm',
    ]);
    expect(initContainers[0].command).toEqual(['millrace', 'models', 'pull', 'Qwen_3.5', '--replace']);
    expect(environmentOf(initContainers[0])).toMatchObject({
      MILLRACE_MODELS_DIR: '/models/registry',
      MILLRACE_S3_URL: 'http://millrace-minio:9000',
      MILLRACE_S3_ACCESS_KEY: '(millrace-minio/access-key)',
    });
  });

  it('takes from a queue under its own name, and is no endpoint then', () => {
    const all = render(withPool({ dispatch: 'queue' }, REDIS));
    expect(environmentOf(mainOf(all.one('Deployment', '-one')))).toMatchObject({
      MILLRACE_DISPATCH: 'queue',
      MILLRACE_POOL: 'one',
      MILLRACE_REDIS_URL: 'redis://:$(REDIS_PASSWORD)@millrace-redis:6379/0',
    });
    expect(all.all('Service').map(({ metadata }) => metadata.name)).toEqual(['millrace-gateway', 'millrace-redis']);
  });

  it('shows certificates, and is asked with one whether its model is loaded', () => {
    const all = render(withPool({}, { workerTls: { existingSecret: 'inside' } }));
    const worker = mainOf(all.one('Deployment', '-one'));
    expect(environmentOf(worker).MILLRACE_WORKER_TLS_CA_FILE).toBe('/etc/millrace/worker-tls/ca.crt');
    const command = ['millrace', 'health', '--worker', '--worker-tls-server-name', 'millrace-worker'];
    // Its port is open long before that, and a rollout would take the old worker away.
    for (const { exec, timeoutSeconds, periodSeconds } of [worker.startupProbe, worker.readinessProbe]) {
      expect(exec).toEqual({ command });
      // The command itself waits three seconds for an answer.
      expect(timeoutSeconds).toBeGreaterThan(3);
      expect(timeoutSeconds).toBeLessThan(periodSeconds);
    }
    const { periodSeconds, failureThreshold } = worker.startupProbe;
    expect(periodSeconds * failureThreshold).toBe(1_800);
    expect(environmentOf(mainOf(all.one('Deployment', '-gateway')))).toMatchObject({
      MILLRACE_WORKER_TLS_KEY_FILE: '/etc/millrace/worker-tls/tls.key',
      MILLRACE_WORKER_TLS_SERVER_NAME: 'millrace-worker',
    });
  });
});

describeWithHelm('a server beside a worker', () => {
  it.each([
    ['llama-server', 8080, '/v1', '/health'],
    ['max-serve', 8010, '/v1', '/health'],
    ['vllm', 8001, '/v1', '/health'],
    ['ovms', 8020, '/v3', '/v2/health/ready'],
  ])('%s starts first, ends last, and is known to the worker', (engine, port, path, health) => {
    const all = render(withPool({ ...SIDECAR, engine }));
    const { initContainers, containers } = all.one('Deployment', '-one').spec.template.spec;
    const [sidecar] = initContainers;
    // Kubernetes' own sidecars: an init container that goes on.
    expect([sidecar.name, sidecar.restartPolicy]).toEqual([engine, 'Always']);
    expect(sidecar.args.join(' ')).toContain(String(port));
    expect(sidecar.startupProbe.httpGet).toEqual({ path: health, port: 'engine' });
    const [model] = parse(all.one('ConfigMap', '-one-models').data['models.yaml']).models;
    expect(model).toEqual({
      id: 'a',
      engine: 'openai-compatible',
      upstream: { preset: engine, url: `http://127.0.0.1:${port}${path}` },
    });
    expect(containers[0].name).toBe('worker');
  });

  it('has the GPUs, and the worker none', () => {
    const { initContainers, containers } = workerOf(withPool({ ...SIDECAR, ...GPU })).spec.template.spec;
    expect(initContainers[0].resources.limits).toEqual({ 'nvidia.com/gpu': 1 });
    expect(containers[0].resources.limits).toEqual({ memory: '4Gi' });
    expect(containers[0].image).toBe('docker.io/millrace/worker:0.1.0');
    expect(environmentOf(containers[0]).MILLRACE_GPU).toBe('off');
  });

  it.each([
    ['llama-server', ['--host', '0.0.0.0', '--port', '8080', '-m', 'a.gguf']],
    ['max-serve', ['--host', '0.0.0.0', '--port', '8010', '-m', 'a.gguf']],
    ['vllm', ['--host', '0.0.0.0', '--port', '8001', '-m', 'a.gguf']],
    ['ovms', ['--rest_port', '8020', '-m', 'a.gguf']],
  ])('%s is told names and values apart, since llama-server knows no `--port=8080`', (engine, args) => {
    const sidecar = { ...SIDECAR.sidecar, args: ['-m', 'a.gguf'] };
    const [container] = workerOf(withPool({ ...SIDECAR, engine, sidecar })).spec.template.spec.initContainers;
    expect(container.args).toEqual(args);
  });

  it('has a home and a name, which its image has for root alone', () => {
    const [container] = workerOf(withPool(SIDECAR)).spec.template.spec.initContainers;
    expect(environmentOf(container)).toMatchObject({ HOME: '/tmp', USER: 'millrace' });
  });

  it.each([
    ['vllm', 'HF_HOME', '/models/hugging-face'],
    ['max-serve', 'HF_HOME', '/models/hugging-face'],
    ['llama-server', 'LLAMA_CACHE', '/models/llama.cpp'],
  ])('%s puts what it fetches into the cache, unless it is told another place', (engine, name, folder) => {
    const variables = (sidecar: Values) =>
      workerOf(withPool({ ...SIDECAR, engine, sidecar })).spec.template.spec.initContainers[0];
    expect(environmentOf(variables(SIDECAR.sidecar))[name]).toBe(folder);
    const own = variables({
      ...SIDECAR.sidecar,
      env: [
        { name, value: '/mine' },
        { name: 'USER', value: 'me' },
      ],
    });
    expect(environmentOf(own)).toMatchObject({ [name]: '/mine', USER: 'me' });
    // Once each: of two with one name, an upgrade may take away the wrong one.
    const names = own.env.map((one: Manifest) => one.name);
    expect(new Set(names).size).toBe(names.length);
  });

  it('of MAX is told to keep to itself what it does', () => {
    const { initContainers } = workerOf(withPool({ ...SIDECAR, engine: 'max-serve' })).spec.template.spec;
    expect(environmentOf(initContainers[0]).MAX_SERVE_DISABLE_TELEMETRY).toBe('1');
  });

  it('takes an address of its own, and what the model says of it', () => {
    const sidecar = { ...SIDECAR.sidecar, port: 9_999, args: ['Qwen/Qwen3-8B'], healthPath: '/up' };
    const models = [{ id: 'a', upstream: { model: 'Qwen/Qwen3-8B', maxConcurrent: 4 } }];
    const all = render(withPool({ ...SIDECAR, models, sidecar }));
    const [container] = all.one('Deployment', '-one').spec.template.spec.initContainers;
    expect(container.args).toEqual(['--host', '0.0.0.0', '--port', '9999', 'Qwen/Qwen3-8B']);
    expect(container.startupProbe.httpGet.path).toBe('/up');
    const [model] = parse(all.one('ConfigMap', '-one-models').data['models.yaml']).models;
    expect(model.upstream).toEqual({
      preset: 'vllm',
      url: 'http://127.0.0.1:9999/v1',
      model: 'Qwen/Qwen3-8B',
      maxConcurrent: 4,
    });
  });
});

describeWithHelm('a pool that grows and shrinks', () => {
  it('by an HPA has no replicas of its own, and looks at what waits', () => {
    const all = render(withPool({ replicas: 3, hpa: { enabled: true, maxReplicas: 6, waitingPerReplica: 5 } }));
    expect(all.one('Deployment', '-one').spec).not.toHaveProperty('replicas');
    const { metrics, scaleTargetRef } = all.one('HorizontalPodAutoscaler').spec;
    expect(scaleTargetRef.name).toBe('millrace-worker-one');
    expect(metrics[0].external).toMatchObject({
      metric: { name: 'millrace_waiting_requests' },
      target: { type: 'AverageValue', averageValue: '5' },
    });
  });

  it('by KEDA has no replicas of its own, and looks at what waits and what runs', () => {
    const all = render(withPool({ keda: { enabled: true, minReplicas: 0, maxReplicas: 6, waitingPerReplica: 5 } }));
    expect(all.one('Deployment', '-one').spec).not.toHaveProperty('replicas');
    expect(all.all('HorizontalPodAutoscaler')).toEqual([]);
    const { spec } = all.one('ScaledObject');
    expect([spec.minReplicaCount, spec.maxReplicaCount, spec.scaleTargetRef.name]).toEqual([
      0,
      6,
      'millrace-worker-one',
    ]);
    const asked = spec.triggers.map(({ metadata }: Manifest) => [metadata.query, metadata.threshold]);
    expect(asked).toEqual([
      ['sum(millrace_waiting_requests{namespace="llm",service="millrace-gateway"}) or vector(0)', '5'],
      // Without the names of its models all that waits counts, and all that is refused.
      [
        'sum(millrace_worker_running_sequences{namespace="llm",pool="one",release="millrace"}) + sum(millrace_worker_waiting_sequences{namespace="llm",pool="one",release="millrace"}) or vector(0)',
        '24',
      ],
      [
        'clamp_max(sum(increase(millrace_requests_total{namespace="llm",service="millrace-gateway",code="model_not_ready"}[2m])), 1) or vector(0)',
        '1',
      ],
    ]);
  });

  const queriesOf = (scaled: Manifest) => scaled.spec.triggers.map(({ metadata }: Manifest) => metadata.query);
  const QWEN = { id: 'qwen-2.5', path: '/models/qwen.gguf' };
  const KEDA = { enabled: true, minReplicas: 0 };

  it('by KEDA looks at its own models alone, and at what nobody knows the model of where it rests at zero', () => {
    const small = { id: 'org/small', path: '/models/small.gguf' };
    const pools = [
      { name: 'large', models: [QWEN, { ...small, id: 'b' }], keda: KEDA },
      { name: 'small', models: [small], keda: { enabled: true, minReplicas: 1 } },
    ];
    const all = render({ workers: { pools } });
    const [large, one] = ['-large', '-small'].map((name) => queriesOf(all.one('ScaledObject', name)));
    const labels = 'namespace="llm",service="millrace-gateway"';
    expect(large[0]).toBe(`sum(millrace_waiting_requests{${labels},model=~"qwen-2[.]5|b|unknown"}) or vector(0)`);
    expect(large[2]).toBe(
      `clamp_max(sum(increase(millrace_resting_model_requests_total{${labels},model=~"qwen-2[.]5|b"}[2m])), 1) or vector(0)`,
    );
    expect(one).toHaveLength(2);
    expect(one[0]).toBe(`sum(millrace_waiting_requests{${labels},model=~"org/small"}) or vector(0)`);
  });

  it('by KEDA and fed by a queue looks at its jobs, and at requests that wait until one of it takes jobs', () => {
    const pool = { dispatch: 'queue', models: [QWEN], keda: KEDA };
    const queries = queriesOf(render(withPool(pool, REDIS)).one('ScaledObject'));
    expect(queries[0]).toContain('sum(millrace_waiting_requests{');
    expect(queries[1]).toBe(
      'max(millrace_queue_waiting_jobs{namespace="llm",service="millrace-gateway",pool="one"}) or vector(0)',
    );
  });

  it('by an HPA looks at its own models alone', () => {
    const all = render(withPool({ models: [QWEN], hpa: { enabled: true } }));
    const [{ external }] = all.one('HorizontalPodAutoscaler').spec.metrics;
    expect(external.metric.selector).toEqual({
      matchLabels: { service: 'millrace-gateway' },
      matchExpressions: [{ key: 'model', operator: 'In', values: ['qwen-2.5'] }],
    });
  });

  it('to nothing has the gateways wait for its models, and for no others', () => {
    const pools = [
      { name: 'large', models: [QWEN], keda: KEDA },
      { name: 'small', models: [{ ...QWEN, id: 'b' }], keda: { enabled: true, minReplicas: 1 } },
      { name: 'more', models: [{ ...QWEN, id: 'c' }], keda: { enabled: true, minReplicas: 1 } },
      // Of two pools with one model it is enough that one rests: as long as the other is there, nobody waits.
      { name: 'most', models: [{ ...QWEN, id: 'c' }], keda: KEDA },
    ];
    const file = parse(render({ workers: { pools } }).one('ConfigMap', '-gateway-models').data['models.yaml']);
    expect(file.models.map(({ id, restsAtZero }: Manifest) => [id, restsAtZero])).toEqual([
      ['qwen-2.5', true],
      ['b', undefined],
      ['c', true],
    ]);
  });
});

describeWithHelm('stores', () => {
  it('are none unless they are asked for', () => {
    const all = render({});
    expect(all.all('StatefulSet')).toEqual([]);
    expect(all.all('Job')).toEqual([]);
    const names = Object.keys(environmentOf(mainOf(all.one('Deployment', '-gateway'))));
    expect(names.filter((name) => /POSTGRES|REDIS|QDRANT|S3/.test(name))).toEqual([]);
  });

  it('that are bundled have passwords which nobody wrote, and others at each installation', () => {
    const secrets = () =>
      render(ALL_BUNDLED)
        .all('Secret')
        .flatMap(({ metadata, data }): [string, string][] =>
          Object.entries(data as Record<string, string>).map(([key, value]) => [
            `${metadata.name}/${key}`,
            Buffer.from(value, 'base64').toString(),
          ]),
        );
    const [first, second] = [secrets(), secrets()];
    expect(first.map(([name]) => name).sort()).toEqual([
      'millrace-keys/admin-key',
      'millrace-keys/key-secret',
      'millrace-minio/access-key',
      'millrace-minio/secret-key',
      'millrace-postgres/password',
      'millrace-qdrant/api-key',
      'millrace-redis/password',
    ]);
    for (const [index, [name, value]] of first.entries()) {
      expect(value, name).toMatch(/^[A-Za-z0-9]{20,}$/);
      expect(value, name).not.toBe(second[index]![1]);
    }
    expect(first.find(([name]) => name === 'millrace-keys/key-secret')![1].length).toBeGreaterThanOrEqual(32);
  });

  it('that are bundled are reached by what they are called and where they listen', () => {
    const all = render(ALL_BUNDLED);
    const environment = environmentOf(mainOf(all.one('Deployment', '-gateway')));
    for (const [variable, service] of [
      ['MILLRACE_POSTGRES_URL', 'postgres'],
      ['MILLRACE_REDIS_URL', 'redis'],
      ['MILLRACE_QDRANT_URL', 'qdrant'],
      ['MILLRACE_S3_URL', 'minio'],
    ] as const) {
      const url = new URL(environment[variable]!.replace(/\$\(\w+\)/, 'x'));
      const [{ port, targetPort }] = all.one('Service', `-${service}`).spec.ports;
      expect([url.hostname, Number(url.port)]).toEqual([`millrace-${service}`, port]);
      const { ports } = mainOf(all.one('StatefulSet', `-${service}`));
      expect(ports).toContainEqual({ name: targetPort, containerPort: port, protocol: 'TCP' });
    }
  });

  it('that are yours are named by their Secrets, and no password stands in a manifest', () => {
    const all = render({
      postgres: { external: { existingSecret: 'pg', caSecret: 'ca' } },
      redis: { external: { existingSecret: 'rd', queueKey: 'queue' } },
      qdrant: { external: { url: 'https://q.example.com', existingSecret: 'qd' } },
      s3: { external: { url: 'https://s3.example.com', existingSecret: 's3' } },
      secrets: { existingSecret: 'keys' },
    });
    expect(all.all('Secret')).toEqual([]);
    expect(all.all('StatefulSet')).toEqual([]);
    const gateway = all.one('Deployment', '-gateway');
    expect(environmentOf(mainOf(gateway))).toMatchObject({
      MILLRACE_ADMIN_KEY: '(keys/admin-key)',
      MILLRACE_KEY_SECRET: '(keys/key-secret)',
      MILLRACE_POSTGRES_URL: '(pg/url)',
      MILLRACE_POSTGRES_TLS_CA_FILE: '/etc/millrace/ca/postgres/ca.crt',
      MILLRACE_REDIS_URL: '(rd/url)',
      MILLRACE_QUEUE_REDIS_URL: '(rd/queue)',
      MILLRACE_QDRANT_URL: 'https://q.example.com',
      MILLRACE_QDRANT_API_KEY: '(qd/api-key)',
      MILLRACE_S3_SECRET_KEY: '(s3/secret-key)',
    });
    expect(gateway.spec.template.spec.volumes).toContainEqual({ name: 'ca-postgres', secret: { secretName: 'ca' } });
  });

  it('that are bundled, and Jobs, run where they are told to', () => {
    const placement = { nodeSelector: { arch: 'amd64' }, tolerations: [{ key: 'stores', operator: 'Exists' }] };
    const all = render({ ...ALL_BUNDLED, placement });
    const others = [...all.all('StatefulSet'), ...all.all('Job')];
    expect(others.length).toBe(6);
    for (const { metadata, spec } of others) expect(spec.template.spec, metadata.name).toMatchObject(placement);
    expect(all.one('Deployment', '-gateway').spec.template.spec).not.toHaveProperty('nodeSelector');
  });

  it('have a bucket made for them', () => {
    const job = render({ s3: { bundled: { enabled: true }, bucket: 'mine' } }).one('Job');
    expect(job.metadata.name).toMatch(/^millrace-bucket-[0-9a-f]{8}$/);
    expect(environmentOf(mainOf(job)).BUCKET).toBe('mine');
  });
});

describeWithHelm('the migration', () => {
  const jobOf = (values: Values) => render(values).one('Job');

  it('is a Job, and gateways wait for it', () => {
    const all = render(POSTGRES);
    expect(mainOf(all.one('Job')).command).toEqual(['millrace', 'migrate', '--timeout-ms=300000']);
    const [wait] = all.one('Deployment', '-gateway').spec.template.spec.initContainers;
    expect(wait.command).toEqual(['millrace', 'migrate', '--check', '--timeout-ms=300000']);
    expect(wait.image).toBe(mainOf(all.one('Job')).image);
    // No hook: those of an install would run before the bundled Postgres is there.
    expect(all.one('Job').metadata.annotations).toBeUndefined();
  });

  it('of another version is another Job, since a Job can not be changed', () => {
    const [old, next] = ['1.0.0', '2.0.0'].map((tag) => jobOf({ ...POSTGRES, image: { gateway: { tag } } }));
    expect(old.metadata.name).not.toBe(next.metadata.name);
    expect(jobOf(POSTGRES).metadata.name).toBe(jobOf(POSTGRES).metadata.name);
  });

  it('may have an address of its own', () => {
    const all = render({
      postgres: { external: { existingSecret: 'pg' } },
      migrations: { existingSecret: 'direct', key: 'uri' },
    });
    expect(environmentOf(mainOf(all.one('Job'))).MILLRACE_POSTGRES_URL).toBe('(direct/uri)');
    const [wait] = all.one('Deployment', '-gateway').spec.template.spec.initContainers;
    expect(environmentOf(wait).MILLRACE_POSTGRES_URL).toBe('(pg/url)');
  });

  it('can be left to the gateways', () => {
    const all = render({ ...POSTGRES, migrations: { enabled: false } });
    expect(all.all('Job')).toEqual([]);
    expect(all.one('Deployment', '-gateway').spec.template.spec).not.toHaveProperty('initContainers');
  });
});

describeWithHelm('the way in', () => {
  it('by an Ingress passes streams on as they come, and has the patience of the gateway', () => {
    const { metadata, spec } = render({
      ingress: { enabled: true, className: 'nginx', hosts: ['a.example.com'], tls: { secretName: 'cert' } },
      gateway: { settings: { backgroundTimeoutMs: 7_200_000 } },
    }).one('Ingress');
    expect(metadata.annotations).toMatchObject({
      'nginx.ingress.kubernetes.io/proxy-buffering': 'off',
      'nginx.ingress.kubernetes.io/proxy-request-buffering': 'off',
      'nginx.ingress.kubernetes.io/proxy-read-timeout': '7200',
      'nginx.ingress.kubernetes.io/proxy-body-size': '0',
    });
    expect(spec.tls).toEqual([{ secretName: 'cert', hosts: ['a.example.com'] }]);
    expect(spec.rules[0].http.paths[0].backend.service).toEqual({ name: 'millrace-gateway', port: { name: 'http' } });
  });

  it('by an Ingress of another NGINX does the same in its words', () => {
    const ingress = { enabled: true, controller: 'nginx.org' };
    const { annotations } = render({ ingress, gateway: { tls: { existingSecret: 'cert' } } }).one('Ingress').metadata;
    expect(annotations).toEqual({
      'nginx.org/proxy-buffering': 'False',
      'nginx.org/proxy-read-timeout': '3600s',
      'nginx.org/proxy-send-timeout': '3600s',
      'nginx.org/client-max-body-size': '0',
      'nginx.org/ssl-services': 'millrace-gateway',
    });
  });

  it('by an Ingress has annotations of your own, which win', () => {
    const annotations = { 'nginx.ingress.kubernetes.io/proxy-read-timeout': '5' };
    const said = render({ ingress: { enabled: true, annotations } }).one('Ingress').metadata.annotations;
    expect(said['nginx.ingress.kubernetes.io/proxy-read-timeout']).toBe('5');
    expect(render({ ingress: { enabled: true, controller: 'none' } }).one('Ingress').metadata).not.toHaveProperty(
      'annotations',
    );
  });

  it('by an HTTPRoute has the patience of the gateway, and a Gateway of its own with TLS where it wants one', () => {
    const all = render({
      httpRoute: {
        enabled: true,
        hostnames: ['a.example.com'],
        gateway: { enabled: true, className: 'envoy', tlsSecretName: 'cert' },
      },
    });
    const { parentRefs, rules } = all.one('HTTPRoute').spec;
    expect(parentRefs).toEqual([{ name: all.one('Gateway').metadata.name }]);
    expect(rules[0].timeouts).toEqual({ request: '3600s', backendRequest: '3600s' });
    expect(rules[0].backendRefs).toEqual([{ name: 'millrace-gateway', port: 80 }]);
    expect(all.one('Gateway').spec.listeners[0]).toMatchObject({
      protocol: 'HTTPS',
      port: 443,
      tls: { certificateRefs: [{ name: 'cert' }] },
    });
  });
});

describeWithHelm('what is watched', () => {
  const MONITORING = {
    monitoring: {
      serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
      podMonitor: { enabled: true },
      prometheusRule: { enabled: true },
      dashboards: { enabled: true },
    },
  };

  it('are gateways by a ServiceMonitor and workers by a PodMonitor', () => {
    const all = render(MONITORING);
    const monitor = all.one('ServiceMonitor');
    expect(monitor.metadata.labels.release).toBe('prometheus');
    expect(monitor.spec.endpoints[0]).toEqual({ port: 'http', path: '/metrics', interval: '15s' });
    const [endpoint] = all.one('PodMonitor').spec.podMetricsEndpoints;
    expect(endpoint.relabelings.map(({ targetLabel }: Manifest) => targetLabel)).toEqual(['pool', 'release']);
    expect(all.one('Deployment', '-cpu').spec.template.metadata.labels['millrace.dev/pool']).toBe('cpu');
  });

  it('is asked for with the admin key where the gateway wants it', () => {
    const all = render({ ...MONITORING, gateway: { settings: { metricsNeedAdminKey: true } } });
    expect(all.one('ServiceMonitor').spec.endpoints[0].authorization).toEqual({
      credentials: { name: 'millrace-keys', key: 'admin-key' },
    });
  });

  function alertsOf(values: Values): readonly string[] {
    const { groups } = render(values).one('PrometheusRule').spec;
    return groups.flatMap(({ rules }: Manifest) => rules.map(({ alert }: Manifest) => alert));
  }

  it('has the alerts of the files, but for those that are left out', () => {
    expect(alertsOf(MONITORING)).toContain('MillraceNoWorkerReady');
    const prometheusRule = { enabled: true, without: ['MillraceNoWorkerReady'] };
    const left = alertsOf({ monitoring: { prometheusRule } });
    expect(left).not.toContain('MillraceNoWorkerReady');
    expect(left).toContain('MillraceCircuitOpen');
  });

  it('does not call it an alert that no worker is there, where all pools may rest at none', () => {
    const keda = { enabled: true, minReplicas: 0 };
    const pools = (...ways: Values[]) => ({
      ...MONITORING,
      workers: { pools: ways.map((way, index) => ({ name: `p${index}`, models: [{ id: `m${index}` }], ...way })) },
    });
    expect(alertsOf(pools({ keda }, { keda }))).not.toContain('MillraceNoWorkerReady');
    expect(alertsOf(pools({ keda }, {}))).toContain('MillraceNoWorkerReady');
    // Those that there are then, are none of the chart's.
    expect(alertsOf(pools())).toContain('MillraceNoWorkerReady');
  });

  it('has a ConfigMap for each dashboard, as it lies in the folder', () => {
    withCopy((chart) => {
      const board = { title: 'Ours', panels: [{ expr: 'rate(x{{y}}[5m])' }] };
      writeFileSync(join(chart, 'files/dashboards/ours.json'), JSON.stringify(board, null, 2));
      const map = render(MONITORING, { chart }).one('ConfigMap', '-dashboard-ours');
      expect(JSON.parse(map.data['ours.json'])).toEqual(board);
      expect(map.metadata.labels.grafana_dashboard).toBe('1');
    });
  });
});

describeWithHelm('a collector of OpenTelemetry', () => {
  const TELEMETRY = { telemetry: { endpoint: 'http://collector.observability.svc:4318', tracesShare: 0.05 } };

  it('is sent nothing unless there is one', () => {
    for (const { template } of podsIn(render({}))) {
      const names = Object.keys(environmentOf(template.spec.containers[0]));
      expect(names.filter((name) => name.startsWith('OTEL_'))).toEqual([]);
    }
  });

  it('is told to gateways and workers, with which pod it hears, and may be reached', () => {
    const all = render(TELEMETRY);
    for (const ending of ['-gateway', '-cpu']) {
      const variables = mainOf(all.one('Deployment', ending)).env.map(({ name }: Manifest) => name);
      expect(environmentOf(mainOf(all.one('Deployment', ending)))).toMatchObject({
        OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector.observability.svc:4318',
        OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
        OTEL_METRICS_EXPORTER: 'prometheus',
        OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
        OTEL_TRACES_SAMPLER_ARG: '0.05',
        OTEL_RESOURCE_ATTRIBUTES: 'k8s.namespace.name=llm,k8s.pod.name=$(POD_NAME)',
      });
      // Kubernetes puts in what stands before.
      expect(variables.indexOf('POD_NAME')).toBeLessThan(variables.indexOf('OTEL_RESOURCE_ATTRIBUTES'));
    }
    for (const ending of ['-gateway', '-worker']) {
      expect(all.one('NetworkPolicy', ending).spec.egress).toContainEqual({ ports: [{ port: 4318, protocol: 'TCP' }] });
    }
  });

  it('is told by variables that the page about telemetry has', () => {
    const page = readFileSync(join(ROOT, 'docs/how-to/telemetry.md'), 'utf8');
    const variables = Object.keys(environmentOf(mainOf(render(TELEMETRY).one('Deployment', '-gateway'))));
    const named = variables.filter((name) => name.startsWith('OTEL_'));
    expect(named.length).toBe(6);
    for (const name of named) expect(page).toContain(`\`${name}\``);
  });
});

describeWithHelm('pods with addresses of IPv6', () => {
  it('listen at them', () => {
    const all = render(withPool(SIDECAR, { ...ALL_BUNDLED, listenAddress: '::' }));
    expect(environmentOf(mainOf(all.one('Deployment', '-gateway'))).MILLRACE_HOST).toBe('::');
    const { containers, initContainers } = all.one('Deployment', '-one').spec.template.spec;
    expect(environmentOf(containers[0]).MILLRACE_WORKER_HOST).toBe('::');
    expect(initContainers[0].args.slice(0, 2)).toEqual(['--host', '::']);
    expect(environmentOf(mainOf(all.one('StatefulSet', '-qdrant'))).QDRANT__SERVICE__HOST).toBe('::');
    expect(all.text).not.toContain('value: 0.0.0.0');
  });
});

describeWithHelm('the network', () => {
  const policiesOf = (values: Values) => render(values).all('NetworkPolicy');
  const policy = (values: Values, ending: string) => render(values).one('NetworkPolicy', ending).spec;

  it('lets nothing through to any pod, in either direction, but names', () => {
    const all = render(ALL_BUNDLED);
    const { podSelector, policyTypes, ingress, egress } = all.one('NetworkPolicy', '-deny').spec;
    expect(policyTypes).toEqual(['Ingress', 'Egress']);
    expect(ingress).toBeUndefined();
    expect(egress.flatMap(({ ports }: Manifest) => ports.map(({ port }: Manifest) => port))).toEqual([53, 53]);
    for (const { owner, template } of podsIn(all)) {
      expect(template.metadata.labels, owner).toMatchObject(podSelector.matchLabels);
    }
  });

  it('lets gateways alone ask workers', () => {
    const [fromGateways, fromPrometheus] = policy({}, '-worker').ingress;
    expect(fromGateways.from).toEqual([
      { podSelector: { matchLabels: expect.objectContaining({ 'app.kubernetes.io/component': 'gateway' }) } },
    ]);
    expect(fromGateways.ports).toEqual([{ port: 'grpc', protocol: 'TCP' }]);
    expect(fromPrometheus.ports).toEqual([{ port: 'metrics', protocol: 'TCP' }]);
  });

  it('lets each store be asked by those that need it', () => {
    const who = (ending: string, values: Values = ALL_BUNDLED) =>
      policy(values, ending).ingress[0].from.map(
        ({ podSelector }: Manifest) => podSelector.matchLabels['app.kubernetes.io/component'],
      );
    expect(who('-postgres')).toEqual(['gateway', 'migration']);
    expect(who('-redis')).toEqual(['gateway']);
    expect(who('-redis', withPool({ dispatch: 'both' }, REDIS))).toEqual(['gateway', 'worker']);
    expect(who('-qdrant')).toEqual(['gateway']);
    expect(who('-minio')).toEqual(['gateway', 'worker', 'bucket']);
  });

  it('lets stores outside be reached at their ports and no others', () => {
    const external = {
      networkPolicy: { storeCidrs: ['10.0.0.0/8'] },
      postgres: { external: { existingSecret: 'pg', port: 6432 } },
      qdrant: { external: { url: 'https://q.example.com:6334' } },
      s3: { external: { url: 'https://s3.example.com', existingSecret: 's3' } },
      workers: { discovery: 'dns', pools: [{ name: 'one' }] },
    };
    const { egress } = policy(external, '-gateway');
    const outside = egress.filter(({ to }: Manifest) => to[0].ipBlock !== undefined);
    expect(outside.map(({ ports }: Manifest) => ports[0].port).sort()).toEqual([443, 6334, 6432]);
    expect(outside[0].to).toEqual([{ ipBlock: { cidr: '10.0.0.0/8' } }]);
    expect(policy(external, '-migration').egress[0].ports).toEqual([{ port: 6432, protocol: 'TCP' }]);
  });

  it('lets the migration past a pooler, and queues to a Redis of their own', () => {
    const external = {
      postgres: { external: { existingSecret: 'pg', port: 6432 } },
      migrations: { existingSecret: 'direct', port: 5432 },
      redis: { external: { existingSecret: 'rd', queueKey: 'queue', queuePort: 6380 } },
    };
    const portsOf = (ending: string) =>
      policy(withPool({ dispatch: 'queue' }, external), ending).egress.flatMap(({ ports }: Manifest) =>
        ports.map(({ port }: Manifest) => port),
      );
    expect(portsOf('-migration')).toEqual([5432]);
    expect(portsOf('-gateway')).toEqual(expect.arrayContaining([6432, 6379, 6380]));
    expect(portsOf('-gateway')).not.toContain(5432);
    expect(portsOf('-worker')).toEqual([6379, 6380]);
  });

  it('lets stores be reached that run elsewhere in the cluster, by whoever uses them', () => {
    const stores = [{ namespaceSelector: { matchLabels: { name: 'databases' } } }];
    const values = { networkPolicy: { stores }, postgres: { external: { existingSecret: 'pg' } } };
    for (const ending of ['-gateway', '-migration']) {
      const rule = policy(values, ending).egress.find(({ ports }: Manifest) => ports[0].port === 5432);
      expect(rule.to, ending).toContainEqual(stores[0]);
    }
  });

  it('knows the ports of DNS and of the API server of other clusters', () => {
    const networkPolicy = { dnsPorts: [5353], apiServerPorts: [7445] };
    expect(policy({ networkPolicy }, '-deny').egress[0].ports).toEqual([
      { port: 5353, protocol: 'UDP' },
      { port: 5353, protocol: 'TCP' },
    ]);
    expect(policy({ networkPolicy }, '-gateway').egress).toContainEqual({
      to: [{ ipBlock: { cidr: '0.0.0.0/0' } }, { ipBlock: { cidr: '::/0' } }],
      ports: [{ port: 7445, protocol: 'TCP' }],
    });
    // minikube's and MicroK8s' own, on which the example for a laptop is to work.
    const [api] = policy({}, '-gateway').egress.filter(({ to }: Manifest) => to[0].ipBlock !== undefined);
    expect(api.ports.map(({ port }: Manifest) => port)).toEqual([443, 6443, 8443, 16443]);
  });

  it('can be left alone', () => {
    expect(policiesOf({ ...ALL_BUNDLED, networkPolicy: { enabled: false } })).toEqual([]);
  });
});

describeWithHelm('images', () => {
  it('all come from the registry of the whole tree of charts, with its credentials', () => {
    const global = { imageRegistry: 'mirror.example.com:5000/hub', imagePullSecrets: ['a', { name: 'b' }], others: 1 };
    const sidecar = { image: { repository: 'vllm/vllm-openai', tag: '1' } };
    const image = { pullSecrets: ['c'] };
    const all = render(withPool({ ...SIDECAR, sidecar, pull: ['x'] }, { ...ALL_BUNDLED, global, image }));
    const images = podsIn(all).flatMap(({ template }) => containersOf(template).map(({ image }) => image as string));
    expect([...new Set(images.map((one) => one.replace(/:[^/]*$/, '')))].sort()).toEqual(
      [
        'library/redis',
        'millrace/gateway',
        'millrace/worker',
        'minio/minio',
        'pgvector/pgvector',
        'qdrant/qdrant',
        'vllm/vllm-openai',
      ].map((name) => `mirror.example.com:5000/hub/${name}`),
    );
    for (const { owner, template } of podsIn(all)) {
      expect(template.spec.imagePullSecrets, owner).toEqual([{ name: 'c' }, { name: 'a' }, { name: 'b' }]);
    }
  });
});

describeWithHelm('names', () => {
  it('begin with the release, and say it once', () => {
    const name = (release: string, values: Values = {}) =>
      render(values, { release }).one('Deployment', '-gateway').metadata.name;
    expect(name('millrace')).toBe('millrace-gateway');
    expect(name('prod')).toBe('prod-millrace-gateway');
    expect(name('prod', { fullnameOverride: 'llm' })).toBe('llm-gateway');
    // A release may be called so, and a Service may not.
    expect(name('v1.2')).toBe('v1-2-millrace-gateway');
  });

  it('are no longer than Kubernetes takes, whatever they are made of', () => {
    const release = 'r'.repeat(53);
    const pools = [{ name: 'a-pool-of-15-ch', dispatch: 'both', keda: { enabled: true } }];
    const all = render({ ...ALL_BUNDLED, workers: { pools } }, { release });
    for (const { kind, metadata } of all.manifests) {
      // Of a StatefulSet's pods and of a Deployment's, something comes behind.
      expect(metadata.name.length, `${kind} ${metadata.name}`).toBeLessThanOrEqual(63);
      for (const value of Object.values(metadata.labels as Record<string, string>)) {
        expect(value.length, `${kind} ${metadata.name}: ${value}`).toBeLessThanOrEqual(63);
      }
    }
  });

  it('have labels of your own everywhere', () => {
    const all = render({ ...ALL_BUNDLED, commonLabels: { team: 'search' } });
    for (const { kind, metadata } of all.manifests)
      expect(metadata.labels.team, `${kind} ${metadata.name}`).toBe('search');
    for (const { owner, template } of podsIn(all)) expect(template.metadata.labels.team, owner).toBe('search');
  });

  it('have labels once, though they are said for all and for some', () => {
    const labels = { team: 'some', 'app.kubernetes.io/part-of': 'search' };
    const all = render(
      withPool(
        { podLabels: { team: 'one' } },
        {
          commonLabels: { team: 'all', 'app.kubernetes.io/part-of': 'platform' },
          gateway: { podLabels: { team: 'gateway' } },
          monitoring: { serviceMonitor: { enabled: true, labels }, podMonitor: { enabled: true, labels } },
        },
      ),
    );
    expect(all.one('ServiceMonitor').metadata.labels).toMatchObject(labels);
    expect(all.one('PodMonitor').metadata.labels).toMatchObject(labels);
    expect(all.one('Service', '-gateway').metadata.labels).toMatchObject({ 'app.kubernetes.io/part-of': 'platform' });
    expect(podsIn(all).map(({ template }) => template.metadata.labels.team)).toEqual(['gateway', 'one']);
  });

  it('keep pods as they are when only the chart has a new version', () => {
    for (const { owner, template } of podsIn(render(ALL_BUNDLED))) {
      expect(Object.keys(template.metadata.labels), owner).not.toContain('helm.sh/chart');
    }
  });
});

describeWithHelm('further objects', () => {
  it('are added, as maps or as texts, with their templates rendered', () => {
    const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: '{{ .Release.Name }}-mine' } };
    const text = 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: "{{ include "millrace.fullname" . }}-text" }\n';
    const names = render({ extraObjects: [map, text] })
      .all('ConfigMap')
      .map(({ metadata }) => metadata.name);
    expect(names).toEqual(['millrace-mine', 'millrace-text']);
  });
});

describeWithHelm('the notes after an install', () => {
  it('say what the network policy keeps out that the models need', () => {
    const far = { upstream: { preset: 'groq', model: 'm' } };
    const entries = [{ id: 'far', engine: 'openai-compatible', context: 4_096, ...far }];
    const closed = 'the NetworkPolicy lets gateways reach none';
    expect(notesOf({ models: { entries } })).toContain(closed);
    for (const networkPolicy of [{ providers: true }, { enabled: false }, { gatewayEgress: [{}] }]) {
      expect(notesOf({ models: { entries }, networkPolicy })).not.toContain(closed);
    }
    const remote = withPool({ engine: 'remote', models: [{ id: 'a', ...far }] });
    expect(notesOf(remote)).toContain('The models of the pool one are on servers elsewhere');
    expect(notesOf({ ...remote, networkPolicy: { workerEgress: [{}] } })).not.toContain('servers elsewhere');
    expect(notesOf({})).not.toContain('NetworkPolicy');
  });

  it('say what to do next, and what is missing', () => {
    const notes = notesOf({ ...POSTGRES });
    expect(notes).toContain('kubectl --namespace llm exec deploy/millrace-gateway -- millrace keys create me --quiet');
    expect(notes).toContain('kubectl --namespace llm port-forward service/millrace-gateway 8000:80');
    expect(notes).toContain('There is no S3 server');
    expect(notes).toContain('There is no Redis');
    expect(notes).toContain('with 1 pool of workers: cpu (llama.cpp).');
    expect(notesOf({ workers: { pools: [] } })).toContain('as millrace, without workers.');
    const route = { enabled: true, hostnames: ['a.example.com'], gateway: { enabled: true, className: 'envoy' } };
    expect(notesOf({ httpRoute: route })).toContain('curl http://a.example.com/v1/models');
    const joined = { enabled: true, hostnames: ['a.example.com'], parentRefs: [{ name: 'theirs' }] };
    expect(notesOf({ httpRoute: joined })).toContain('curl https://a.example.com/v1/models');
    expect(notesOf({ ingress: { enabled: true, hosts: ['a.example.com'], tls: { secretName: 'c' } } })).toContain(
      'curl https://a.example.com/v1/models',
    );
  });
});
