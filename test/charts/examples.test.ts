import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  environmentNameOf,
  flagOf,
  MIGRATE_FLAGS,
  modelsFileSchema,
  SETTINGS,
  type SettingReader,
} from '@millrace/contracts';
import { GATEWAY_METRICS } from '@millrace/gateway/metrics';
import { loadSettings } from '@millrace/runtime';
import { WORKER_METRICS } from '@millrace/worker/metrics';
import { describe, expect, it } from 'vitest';
import { parse, parseDocument } from 'yaml';
import { KUBERNETES_VERSIONS } from '../../tools/charts/chart-tools.js';
import {
  CHART,
  containersOf,
  describeWithHelm,
  environmentOf,
  exampleNames,
  exampleText,
  faultsOf,
  lint,
  type Manifest,
  podsIn,
  type Rendered,
  ROOT,
  render,
} from './chart.testing.js';
import { podSecurityFaults } from './pod-security.js';

const DEFAULTS = 'values.yaml alone';
/** Everything at once that no example has. */
const THE_REST = 'what no example has';
const OTHERS: Readonly<Record<string, string>> = {
  [DEFAULTS]: '{}',
  [THE_REST]: `
gateway:
  tls: { existingSecret: cert }
  drain: { preStopSeconds: 5 }
  service: { type: LoadBalancer, annotations: { a: b } }
httpRoute: { enabled: true, gateway: { enabled: true, className: envoy, tlsSecretName: cert } }
qdrant: { bundled: { enabled: true } }
postgres: { bundled: { enabled: true } }
redis: { bundled: { enabled: true } }
s3: { bundled: { enabled: true } }
monitoring: { dashboards: { enabled: true } }
networkPolicy: { prometheus: [{ namespaceSelector: {} }] }
workers:
  discovery: dns
  pools:
    - name: llama
      engine: llama-server
      models: [{ id: a, context: 4096 }]
      gpu: { type: amd.com/gpu, count: 2 }
      sidecar: { image: { repository: llama, tag: one }, args: [-m, /models/registry/a/a.gguf] }
      pull: [a]
      hpa: { enabled: true }
    - name: ovms
      engine: ovms
      dispatch: both
      models: [{ id: b, context: 4096 }]
      sidecar: { image: { repository: ovms, tag: one } }
    - name: openvino
      engine: openvino
      image: { repository: registry.example.com/millrace/worker, tag: openvino }
      settings: { python: /opt/venv/bin/python }
      models: [{ id: c, path: /models/registry/c, openvino: { device: CPU } }]
      cache: { type: pvc, accessModes: [ReadWriteMany] }
    - name: remote
      engine: remote
      models: [{ id: d, context: 4096, upstream: { preset: vllm, url: "http://vllm.other.svc:8000/v1" } }]
`,
};
const valuesOf = (name: string) => OTHERS[name] ?? exampleText(name);
const ALL = [...exampleNames(), ...Object.keys(OTHERS)];

describeWithHelm('each of the examples', () => {
  describe.each(ALL)('%s', (name) => {
    it('is what helm lint takes', () => {
      expect(lint(valuesOf(name))).toContain('1 chart(s) linted, 0 chart(s) failed');
    });

    it.each(KUBERNETES_VERSIONS)('makes what Kubernetes %s takes, to the last key', (version) => {
      const { text } = render(valuesOf(name), { kubernetes: version });
      expect(faultsOf(text, version)).toEqual([]);
    });

    it('makes pods that restricted Pod Security lets in', () => {
      for (const { owner, template } of podsIn(render(valuesOf(name)))) {
        expect(podSecurityFaults(template), owner).toEqual([]);
      }
    });

    it('makes references that lead somewhere', () => {
      expect(danglingIn(render(valuesOf(name)))).toEqual([]);
    });

    it('gives gateways and workers settings with which they start', () => {
      const all = render(valuesOf(name));
      for (const { container, reader, owner } of ownContainers(all)) {
        const environment = plausible(environmentOf(container));
        const unknown = Object.keys(environment).filter(
          (variable) => variable.startsWith('MILLRACE_') && !READERS.get(variable)?.some((one) => reader.includes(one)),
        );
        expect(unknown, `${owner}: read by nobody there`).toEqual([]);
        const folder = mkdtempSync(join(tmpdir(), 'millrace-chart-'));
        try {
          expect(() =>
            loadSettings({ reader: reader[0]!, args: [], environment, workingFolder: folder }),
          ).not.toThrow();
        } finally {
          rmSync(folder, { recursive: true });
        }
      }
    });

    it('makes models files that are read as they are', () => {
      const files = render(valuesOf(name))
        .all('ConfigMap')
        .flatMap(({ data }) => data['models.yaml'] ?? []);
      for (const file of files) expect(modelsFileSchema.safeParse(parse(file)).error).toBeUndefined();
    });

    it('calls commands and paths that there are', () => {
      const all = render(valuesOf(name));
      for (const { container, owner, reader } of ownContainers(all)) {
        if (container.command !== undefined) expect(commandFaults(container.command), owner).toEqual([]);
        const probes = [container.startupProbe, container.livenessProbe, container.readinessProbe].filter(Boolean);
        for (const { exec } of probes) if (exec) expect(commandFaults(exec.command), owner).toEqual([]);
        const paths = probes.flatMap(({ httpGet }) => httpGet?.path ?? []);
        expect(paths.filter((path) => !GATEWAY_ROUTES.has(path))).toEqual([]);
        if (reader[0] === 'worker') expect(paths).toEqual([]);
      }
      for (const { spec } of [...all.all('ServiceMonitor'), ...all.all('PodMonitor')]) {
        const [endpoint] = spec.endpoints ?? spec.podMetricsEndpoints;
        expect(GATEWAY_ROUTES.has(endpoint.path) && SCRAPE_SERVER.includes(`'${endpoint.path}'`)).toBe(true);
      }
    });

    it('asks for metrics that there are, by labels that they have', () => {
      expect(metricFaults(queriesIn(render(valuesOf(name))))).toEqual([]);
    });
  });

  it.each(exampleNames())('%s makes what it made before', async (name) => {
    const text = render(valuesOf(name)).text.replaceAll(
      /^( {2}(?:admin-key|key-secret|password|api-key|access-key|secret-key): )\S+$/gm,
      '$1(made at random)',
    );
    await expect(text).toMatchFileSnapshot(`snapshots/${name}`);
  });
});

describeWithHelm('each switch, turned over by itself,', () => {
  const values = parse(readFileSync(join(CHART, 'values.yaml'), 'utf8'));
  const switches = switchesOf(values);
  /** What a switch wants beside it, which the chart says in a sentence. */
  const WANTING: Readonly<Record<string, RegExp>> = {
    'gateway.hpa.enabled': /no Postgres that they share/,
    'httpRoute.enabled': /there is no Gateway for it to join/,
    'httpRoute.gateway.enabled': /className is empty|there is no Gateway for it to join/,
    'serviceAccount.create': /Name the accounts that there are/,
    // Beside a pool that has an HPA.
    'workers.defaults.keda.enabled': /has hpa.enabled and keda.enabled/,
    // Beside a pool that has a queue, and one that pulls.
    'redis.bundled.enabled': /there is no Redis for its queue/,
    's3.bundled.enabled': /there is no S3 server to pull from/,
  };

  it('are more than a few', () => expect(switches.length).toBeGreaterThan(15));

  it.each([DEFAULTS, THE_REST])('on top of %s, makes what Kubernetes takes, or is refused with a sentence', (base) => {
    const texts: string[] = [];
    for (const path of switches) {
      const document = parseDocument(valuesOf(base));
      const before = document.getIn(path) ?? path.reduce((node, key) => node[key], values);
      document.setIn(path, !before);
      const name = path.join('.');
      try {
        const all = render(document.toJS());
        // An account that the chart does not make is one of yours.
        if (name !== 'serviceAccount.create') expect(danglingIn(all), name).toEqual([]);
        for (const { owner, template } of podsIn(all)) expect(podSecurityFaults(template), owner).toEqual([]);
        texts.push(all.text);
      } catch (error) {
        if (WANTING[name] === undefined) throw new Error(`${name}: ${error}`);
        expect(String(error)).toMatch(WANTING[name]);
      }
    }
    expect(texts.length).toBeGreaterThan(switches.length - 7);
    expect(faultsOf(texts.join('\n---\n'), KUBERNETES_VERSIONS[1])).toEqual([]);
  });
});

describeWithHelm('what the examples are held to', () => {
  const { text, manifests } = tryRender();
  const gateway = () =>
    structuredClone(manifests.find(({ metadata }) => metadata.name === 'millrace-gateway' && metadata)!);

  it('finds a key that Kubernetes does not have, in the middle of a manifest', () => {
    const planted = text.replace('readinessProbe:', 'readynessProbe:');
    expect(planted).not.toBe(text);
    for (const version of KUBERNETES_VERSIONS) {
      expect(faultsOf(planted, version).join()).toContain("additional properties 'readynessProbe' not allowed");
    }
  });

  it('finds a key of KEDA, of Prometheus or of the Gateway API that there is not', () => {
    const rest = render(valuesOf(THE_REST)).text;
    const keda = render(valuesOf('many-pools-keda.yaml')).text;
    const faults = (where: string, from: string, to: string) => {
      expect(where).toContain(from);
      return faultsOf(where.replace(from, to), KUBERNETES_VERSIONS[1]).join();
    };
    expect(faults(keda, 'cooldownPeriod:', 'coolDownPeriod:')).toContain("'coolDownPeriod' not allowed");
    expect(faults(keda, 'podMetricsEndpoints:', 'podMetricEndpoints:')).toContain("'podMetricEndpoints' not allowed");
    expect(faults(rest, 'parentRefs:', 'parentsRefs:')).toContain("'parentsRefs' not allowed");
  });

  it('finds a value of another kind', () => {
    expect(faultsOf(text.replace('replicas: 1', 'replicas: one'), KUBERNETES_VERSIONS[0]).join()).toContain(
      '/spec/replicas',
    );
  });

  it('finds a pod that runs as root, or keeps what it could do', () => {
    const loose = structuredClone(podsIn({ manifests } as Rendered)[0]!.template);
    loose.spec.securityContext = {};
    loose.spec.containers[0].securityContext.capabilities = {};
    loose.spec.volumes.push({ name: 'node', hostPath: { path: '/' } });
    expect(podSecurityFaults(loose)).toEqual([
      'the volume node is a hostPath',
      expect.stringContaining('may run as root'),
      expect.stringContaining('keeps capabilities'),
      expect.stringContaining('has no seccomp'),
    ]);
  });

  it('finds a Service that chooses nobody, and a port that no container has', () => {
    const service = manifests.find(({ kind }) => kind === 'Service');
    const broken = { ...gateway(), ...structuredClone(service) };
    broken.spec.selector = { nobody: 'here' };
    expect(danglingIn({ ...emptyRendered(), manifests: [...manifests, broken] }).join()).toContain('chooses no pod');
    const port = structuredClone(service);
    port.spec.ports[0].targetPort = 'nowhere';
    expect(danglingIn({ ...emptyRendered(), manifests: [...manifests, port] }).join()).toContain('nowhere');
  });

  it('finds a metric and a label that there is not', () => {
    const wrong = [
      'sum(millrace_waiting_request)',
      'millrace_workers{fase="ready"}',
      'gen_ai_server_time_to_first_token_seconds_bucket',
    ];
    expect(metricFaults(wrong)).toEqual([
      'millrace_waiting_request is no metric',
      'millrace_workers has no label fase',
      'gen_ai_server_time_to_first_token_seconds_bucket is no metric',
    ]);
    const right =
      'sum by (le, gen_ai_request_model) (rate(gen_ai_server_time_to_first_token_bucket{namespace="llm"}[5m]))';
    expect(metricFaults([right])).toEqual([]);
  });

  it('finds a command and a flag that there is not', () => {
    expect(commandFaults(['millrace', 'migrat'])).toEqual(['there is no command migrat']);
    expect(commandFaults(['millrace', 'migrate', '--chek'])).toEqual(['migrate has no flag --chek']);
  });
});

describeWithHelm('the ports of the pods', () => {
  it('are those of the code, where it has one', () => {
    const all = render({});
    const portsOf = (ending: string) =>
      all
        .one('Deployment', ending)
        .spec.template.spec.containers[0].ports.map(({ containerPort }: Manifest) => containerPort);
    expect(portsOf('-gateway')).toEqual([SETTINGS.port.default]);
    expect(portsOf('-cpu')[0]).toBe(SETTINGS.workerPort.default);
    const environment = environmentOf(all.one('Deployment', '-cpu').spec.template.spec.containers[0]);
    expect(portsOf('-cpu')[1]).toBe(Number(environment.MILLRACE_WORKER_METRICS_PORT));
  });

  it('are asked for the health of the whole worker, which it tells under the empty name', () => {
    const source = readFileSync(join(ROOT, 'apps/worker/src/serving/worker-server.ts'), 'utf8');
    expect(source).toMatch(/HEALTH_NAMES = \[''/);
    const { readinessProbe } = render({}).one('Deployment', '-cpu').spec.template.spec.containers[0];
    expect(readinessProbe.grpc).toEqual({ port: SETTINGS.workerPort.default });
  });
});

describe('the alerts of the chart', () => {
  const folder = join(CHART, 'files/rules');
  const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));

  it('ask for metrics that there are, and say what to do', () => {
    const rules = files.flatMap((name) => rulesIn(parse(readFileSync(join(folder, name), 'utf8'))));
    expect(rules.length).toBeGreaterThan(0);
    expect(metricFaults(rules.map(({ expr }) => expr))).toEqual([]);
    const alerts = rules.filter(({ alert }) => alert !== undefined);
    for (const { alert, annotations } of alerts) {
      expect(Object.keys(annotations ?? {}), alert).toEqual(expect.arrayContaining(['summary', 'description']));
    }
  });

  const promtool = spawnSync('promtool', ['--version']).status === 0;
  if (!promtool) console.warn('Skipped: promtool on the alerts of the chart; install it (Debian: prometheus).');
  it.skipIf(!promtool)(promtool ? 'are what promtool takes' : 'are what promtool takes (there is none)', () => {
    const { stdout, stderr, status } = spawnSync(
      'promtool',
      ['check', 'rules', ...files.map((name) => join(folder, name))],
      { encoding: 'utf8' },
    );
    expect(status, stdout + stderr).toBe(0);
  });
});

// ----------------------------------------------------------------------------------------------- what is looked for

interface Rule {
  readonly alert?: string;
  readonly expr: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

function rulesIn({ groups }: { groups: readonly { rules: readonly Rule[] }[] }): readonly Rule[] {
  return groups.flatMap(({ rules }) => rules);
}

function tryRender(): Rendered {
  try {
    return render({});
  } catch {
    // Without helm nothing of this runs.
    return emptyRendered();
  }
}

function emptyRendered(): Rendered {
  return { text: '', manifests: [], one: () => undefined, all: () => [] };
}

/** Where in the values a true or a false stands. */
function switchesOf(values: Manifest, path: readonly string[] = []): readonly (readonly string[])[] {
  return Object.entries(values).flatMap(([key, value]): readonly (readonly string[])[] => {
    if (typeof value === 'boolean') return [[...path, key]];
    return typeof value === 'object' && value !== null ? switchesOf(value, [...path, key]) : [];
  });
}

/** Who reads which variable, by the table of the settings. */
const READERS = new Map<string, readonly SettingReader[]>(
  Object.entries(SETTINGS).map(([name, { readBy }]) => [environmentNameOf(name), readBy as readonly SettingReader[]]),
);

interface OwnContainer {
  readonly owner: string;
  readonly container: Manifest;
  /** As what its program reads the settings; the first is that by which they are checked. */
  readonly reader: readonly SettingReader[];
}

/** Containers that run a program of Millrace. */
function ownContainers(all: Rendered): readonly OwnContainer[] {
  return podsIn(all).flatMap(({ owner, template }) =>
    containersOf(template)
      .filter(({ image }) => /\/millrace\/(gateway|worker)[:@]/.test(image))
      .map((container) => ({ owner: `${owner} ${container.name}`, container, reader: readersOf(container) })),
  );
}

function readersOf({ command, image }: Manifest): readonly SettingReader[] {
  const [, name] = command ?? [];
  if (name === 'models') return ['cli'];
  return name === 'migrate' || image.includes('/millrace/gateway') ? ['gateway'] : ['worker'];
}

/** What a Secret may hold, by the variable that it is for. */
const FROM_SECRETS: Readonly<Record<string, string>> = {
  MILLRACE_ADMIN_KEY: 'a'.repeat(32),
  MILLRACE_KEY_SECRET: 'k'.repeat(48),
  MILLRACE_POSTGRES_URL: 'postgres://me:secret@pg.example.com:5432/llm?sslmode=verify-full',
  MILLRACE_REDIS_URL: 'rediss://me:secret@redis.example.com:6380/0',
  MILLRACE_QUEUE_REDIS_URL: 'rediss://me:secret@queue.example.com:6380/0',
};

/** The environment as the kubelet would make it: secrets in their places. */
function plausible(environment: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [
      name,
      (value.startsWith('(') ? (FROM_SECRETS[name] ?? 'x'.repeat(32)) : value).replaceAll(/\$\(\w+\)/g, 'x'),
    ]),
  );
}

/** Paths that controllers of the gateway answer, and the scrape that libs/runtime does. */
const HTTP = join(ROOT, 'apps/gateway/src/http');
const GATEWAY_SOURCES = readdirSync(HTTP)
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
  .map((name) => readFileSync(join(HTTP, name), 'utf8'))
  .join('\n');
const GATEWAY_ROUTES = new Set(
  [...GATEWAY_SOURCES.matchAll(/@(?:Get|Controller)\('([a-z]+)'\)/g)].map(([, path]) => `/${path}`),
);
const SCRAPE_SERVER = readFileSync(join(ROOT, 'apps/worker/src/metrics/scrape-server.ts'), 'utf8');

const CLI = readFileSync(join(ROOT, 'apps/cli/src/cli.ts'), 'utf8');
const VERBS = readFileSync(join(ROOT, 'apps/cli/src/models/store-verbs.ts'), 'utf8');
const MODELS_FLAGS = readFileSync(join(ROOT, 'apps/cli/src/models/models-flags.ts'), 'utf8');

function commandFaults([program, name, ...words]: readonly string[]): readonly string[] {
  if (program !== 'millrace') return [`${program} is no program of ours`];
  if (!new RegExp(`^  ${name}: \\{$`, 'm').test(CLI)) return [`there is no command ${name}`];
  const flags = words.filter((word) => word.startsWith('--')).map((word) => word.split('=')[0]!);
  const camel = (flag: string) => flag.slice(2).replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
  const known = (flag: string) => {
    if (name === 'migrate') return Object.hasOwn(MIGRATE_FLAGS, camel(flag));
    if (name === 'health') return flag === '--worker' || Object.keys(SETTINGS).some((one) => flagOf(one) === flag);
    return new RegExp(`^  ${camel(flag)}: `, 'm').test(MODELS_FLAGS);
  };
  const faults = flags.filter((flag) => !known(flag)).map((flag) => `${name} has no flag ${flag}`);
  if (name === 'models' && !new RegExp(`^  ${words[0]}: \\{`, 'm').test(VERBS))
    faults.push(`models has no ${words[0]}`);
  return faults;
}

/** PromQL anywhere in what was rendered, and metrics that an HPA names. */
function queriesIn(all: Rendered): readonly string[] {
  return [
    ...all.all('ScaledObject').flatMap(({ spec }) => spec.triggers.map(({ metadata }: Manifest) => metadata.query)),
    ...all.all('PrometheusRule').flatMap(({ spec }) => rulesIn(spec).map(({ expr }) => expr)),
    ...all
      .all('HorizontalPodAutoscaler')
      .flatMap(({ spec }) => spec.metrics.map(({ external, pods }: Manifest) => (external ?? pods)?.metric.name ?? '')),
    ...all
      .all('ConfigMap')
      .filter(({ metadata }) => metadata.name.includes('-dashboard-'))
      .flatMap(({ data }) => Object.values(data as Record<string, string>))
      .flatMap((json) =>
        [...json.matchAll(/"expr":\s*"((?:[^"\\]|\\.)*)"/g)].map(([, expr]) => expr!.replaceAll('\\"', '"')),
      ),
  ];
}

/** What Prometheus and its operator add to whatever they scrape, and what our monitors do. */
const LABELS_OF_THE_SCRAPE = [
  'namespace',
  'service',
  'pod',
  'container',
  'job',
  'instance',
  'endpoint',
  'pool',
  'release',
  'le',
];

function metricFaults(queries: readonly string[]): readonly string[] {
  const declared = new Map(
    [...GATEWAY_METRICS, ...WORKER_METRICS].flatMap(({ name, kind, labels }) => {
      const written = name.replaceAll('.', '_');
      const names = kind === 'histogram' ? ['_bucket', '_sum', '_count'].map((end) => written + end) : [written];
      return names.map((one): [string, readonly string[]] => [one, labels.map((label) => label.replaceAll('.', '_'))]);
    }),
  );
  return queries.flatMap((query) =>
    [...query.matchAll(/\b((?:millrace|gen_ai)_[a-z_]+)(?:\{([^}]*)\})?/g)].flatMap(([, name, selector = '']) => {
      const labels = declared.get(name!);
      if (labels === undefined) return isLabel(name!, declared) ? [] : [`${name} is no metric`];
      return [...selector.matchAll(/([a-z_]+)\s*(?:=~|!~|!=|=)/g)]
        .map(([, label]) => label!)
        .filter((label) => !labels.includes(label) && !LABELS_OF_THE_SCRAPE.includes(label))
        .map((label) => `${name} has no label ${label}`);
    }),
  );
}

/** `gen_ai_request_model` stands in `by (…)`. */
function isLabel(name: string, declared: ReadonlyMap<string, readonly string[]>): boolean {
  return [...declared.values()].some((labels) => labels.includes(name));
}

/** What is named and not there: pods of a selector, ports, ConfigMaps, claims, accounts, and targets of what scales. */
function danglingIn({ manifests }: Rendered): readonly string[] {
  const faults: string[] = [];
  const named = (kind: string) =>
    new Set(manifests.filter((one) => one.kind === kind).map(({ metadata }) => metadata.name));
  const pods = podsIn({ manifests } as Rendered).map(({ template }) => template);
  const chosenBy = (labels: Record<string, string>) =>
    pods.filter(({ metadata }) => Object.entries(labels).every(([key, value]) => metadata.labels[key] === value));
  const portsOf = (template: Manifest) =>
    containersOf(template).flatMap(({ ports = [] }) =>
      ports.flatMap(({ name, containerPort }: Manifest) => [name, containerPort]),
    );
  for (const { kind, metadata, spec } of manifests) {
    const say = (what: string) => faults.push(`${kind} ${metadata.name} ${what}`);
    if (kind === 'Service') {
      const chosen = chosenBy(spec.selector);
      if (chosen.length === 0) say('chooses no pod');
      for (const { targetPort } of spec.ports) {
        if (!chosen.every((template) => portsOf(template).includes(targetPort)))
          say(`sends to ${targetPort}, which is not there`);
      }
    }
    if (kind === 'PodDisruptionBudget' && chosenBy(spec.selector.matchLabels).length === 0) say('chooses no pod');
    if (kind === 'NetworkPolicy') {
      const chosen = chosenBy(spec.podSelector.matchLabels);
      if (chosen.length === 0) say('chooses no pod');
      const own = (spec.ingress ?? []).flatMap(({ ports = [] }: Manifest) => ports);
      for (const { port } of own) if (!chosen.every((one) => portsOf(one).includes(port))) say(`lets in at ${port}`);
      for (const { from = [], to = [] } of [...(spec.ingress ?? []), ...(spec.egress ?? [])]) {
        for (const { podSelector } of [...from, ...to]) {
          if (podSelector && chosenBy(podSelector.matchLabels).length === 0) say('names a peer that is not there');
        }
      }
    }
    if (spec?.scaleTargetRef && !named('Deployment').has(spec.scaleTargetRef.name)) say('scales what is not there');
  }
  for (const { owner, template } of podsIn({ manifests } as Rendered)) {
    const say = (what: string) => faults.push(`${owner} ${what}`);
    if (!named('ServiceAccount').has(template.spec.serviceAccountName)) say('has an account that is not there');
    const volumes = template.spec.volumes ?? [];
    for (const { name, configMap, persistentVolumeClaim } of volumes) {
      if (configMap && !named('ConfigMap').has(configMap.name)) say(`${name} is a ConfigMap that is not there`);
      if (persistentVolumeClaim && !named('PersistentVolumeClaim').has(persistentVolumeClaim.claimName)) {
        say(`${name} is a claim that is not there`);
      }
    }
    const mountable = new Set([...volumes.map(({ name }: Manifest) => name), 'data']);
    for (const container of containersOf(template)) {
      for (const { name } of container.volumeMounts ?? [])
        if (!mountable.has(name)) say(`mounts ${name}, which is no volume`);
      const ports = portsOf(template);
      for (const probe of [container.startupProbe, container.livenessProbe, container.readinessProbe].filter(Boolean)) {
        const port = (probe.httpGet ?? probe.tcpSocket ?? probe.grpc)?.port;
        if (port !== undefined && !ports.includes(port)) say(`is probed at ${port}, which is no port`);
      }
    }
  }
  return faults;
}
