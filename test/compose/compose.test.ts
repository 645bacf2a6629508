import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { environmentNameOf, modelsFileSchema, SETTINGS } from '@millrace/contracts';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { COLLECTOR, COMPOSE_LOADER, isBuilt } from '../../tools/compose/compose-tools.ts';
import { settingsOf, stage } from '../images/dockerfile.js';
import { COMPOSE_TEXT, composeFile, OBJECT_STORES, PROFILES, ROOT, storeText } from './compose-file.js';

const STACK = join(ROOT, 'tools/compose/stack.sh');
/** Why a service can't be asked for its health. */
const WITHOUT_HEALTH: Readonly<Record<string, string>> = {
  collector: 'its image has no shell',
  tempo: 'its image has no shell',
  bucket: 'it ends, and others wait for that',
};
/** Written by another part of the project, which need not be there. */
const OF_THE_CHART = 'deploy/helm/millrace/files/';

const { services, volumes } = composeFile();
const ours = Object.entries(services).filter(([, { image }]) => image.startsWith('millrace/'));
const folder = mkdtempSync(join(tmpdir(), 'millrace-compose-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('docker-compose.yaml', () => {
  it('starts a gateway, a worker, and the four stores, and the rest by profiles', () => {
    const byDefault = Object.keys(services).filter((name) => services[name]!.profiles === undefined);
    expect(byDefault.sort()).toEqual(['bucket', 'gateway', 'objects', 'postgres', 'qdrant', 'redis', 'worker']);
    const profiles = new Set(Object.values(services).flatMap(({ profiles = [] }) => profiles));
    expect([...profiles].sort()).toEqual([...PROFILES].sort());
  });

  it.each(OBJECT_STORES)('pins every image, with %s', (store) => {
    for (const [name, { image }] of Object.entries(composeFile(store).services)) {
      if (image.startsWith('millrace/')) continue;
      expect(image, name).toMatch(/^(docker\.io|ghcr\.io)\/[\w./-]+:[\w.-]*\d[\w.-]*$/);
    }
  });

  it.each(OBJECT_STORES)('asks every service for its health, with %s, or says why not', (store) => {
    for (const [name, { healthcheck }] of Object.entries(composeFile(store).services)) {
      expect(healthcheck !== undefined, name).toBe(WITHOUT_HEALTH[name] === undefined);
    }
  });

  it.each(OBJECT_STORES)('listens on this machine alone, with %s', (store) => {
    const ports = Object.values(composeFile(store).services).flatMap(({ ports = [] }) => ports);
    expect(ports.length).toBeGreaterThan(4);
    expect(ports.filter((port) => !port.startsWith('127.0.0.1:${'))).toEqual([]);
  });

  it('keeps what is stored on named volumes, and mounts only what is there', () => {
    for (const [name, { volumes: mounts = [] }] of Object.entries(services)) {
      for (const mount of mounts) {
        const [source] = mount.split(':') as [string];
        if (!source.startsWith('./')) expect(Object.keys(volumes), `${name}: ${mount}`).toContain(source);
        else if (!source.startsWith(`./${OF_THE_CHART}`) || existsSync(join(ROOT, OF_THE_CHART))) {
          expect(existsSync(join(ROOT, source)), `${name}: ${mount}`).toBe(true);
        }
        if (source.startsWith('./')) expect(mount).toMatch(/:ro$/);
      }
    }
    expect(services.postgres!.volumes).toContain('./init-scripts/postgres:/docker-entrypoint-initdb.d:ro');
  });

  it('has no credential in it, and no default for one', () => {
    for (const text of [COMPOSE_TEXT, ...OBJECT_STORES.map(storeText)]) {
      for (const [, name, rest] of text.matchAll(/\$\{(STACK_\w+)([^}]*)\}/g)) {
        expect(rest, name).toBe(':?run make up');
      }
    }
    const values = Object.values(services).flatMap(({ environment = {} }) => Object.entries(environment));
    for (const [name, value] of values) {
      if (/PASSWORD|SECRET|_KEY$|TOKEN|AUTH/.test(name))
        expect(String(value), name).toMatch(/^\$\{(STACK_\w+:\?|HF_TOKEN:-\})/);
    }
  });

  it('sets only variables that Millrace knows, and ports that it listens on', () => {
    const known = new Map(Object.entries(SETTINGS).map(([name, setting]) => [environmentNameOf(name), setting]));
    for (const [name, { environment = {} }] of ours) {
      const names = Object.keys(environment).filter((each) => each.startsWith('MILLRACE_'));
      expect(
        names.filter((each) => !known.has(each)),
        name,
      ).toEqual([]);
    }
    expect(services.gateway!.ports![0]).toMatch(new RegExp(`:${SETTINGS.port.default}$`));
    expect(services.gateway!.environment!.MILLRACE_WORKERS_DNS).toBe(`workers:${SETTINGS.workerPort.default}`);
  });

  it('builds each image from a target of the Dockerfile, tagged as `make images` does, and asks for its health as that does', () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    for (const [name, { image, build, healthcheck }] of ours) {
      const target = build?.target ?? 'worker';
      expect(stage(target).name).toBe(target);
      const tag =
        target === 'worker-cuda'
          ? `millrace/worker:\${MILLRACE_TAG:-VERSION}-cuda`
          : `millrace/${target}:\${MILLRACE_TAG:-VERSION}`;
      expect(image, name).toBe(tag.replace('VERSION', version));
      expect(healthcheck!.test.slice(1).join(' ')).toBe(
        settingsOf(target).healthcheck.join(' ').replace('/opt/millrace/bin/', ''),
      );
    }
  });

  it('gives ours a root that can’t be written, and time to drain', () => {
    for (const [name, service] of ours) {
      expect(service.read_only, name).toBe(true);
      expect(Number.parseInt(service.stop_grace_period!, 10) * 1_000).toBeGreaterThan(SETTINGS.drainTimeoutMs.default);
    }
  });

  it('asks MAX Serve for batches of 32, and for no telemetry', () => {
    expect(services.max!.command).toContain('--max-batch-size=32');
    expect(services.max!.environment).toMatchObject({ MAX_SERVE_DISABLE_TELEMETRY: '1' });
  });

  it.each(['max-serve', 'llama-server', 'openvino'])(
    'gives the worker of %s a models file that is one, for the server beside it',
    (name) => {
      const file = modelsFileSchema.parse(parse(readFileSync(join(ROOT, `configs/compose/${name}.yaml`), 'utf8')));
      const upstream = file.models[0]!.upstream!;
      const { hostname, port } = new URL(upstream.url!);
      const { command = [] } = services[hostname]!;
      expect(command.join(' ')).toMatch(new RegExp(`(--port|--rest_port)[ =]${port}`));
    },
  );
});

describe('what make up makes and tells', () => {
  const env = join(folder, '.env');
  const stack = (command: string, variables: NodeJS.ProcessEnv = {}) =>
    execFileSync(STACK, [command], {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, STACK_ENV_FILE: env, ...variables },
      stdio: 'pipe',
    });

  it('makes each credential once, for its owner’s eyes, and leaves the rest of .env as it is', () => {
    writeFileSync(env, 'MILLRACE_LOG_LEVEL=debug');
    stack('credentials');
    const first = readFileSync(env, 'utf8');
    expect(first).toContain('MILLRACE_LOG_LEVEL=debug\n');
    expect(statSync(env).mode & 0o777).toBe(0o600);
    const wanted = new Set(
      [...`${COMPOSE_TEXT}${OBJECT_STORES.map(storeText)}`.matchAll(/\$\{(STACK_\w+)/g)].map(([, name]) => name!),
    );
    const made = new Map(
      [...first.matchAll(/^(STACK_\w+)=([0-9a-f]{32})$/gm)].map(([, name, value]) => [name!, value!]),
    );
    expect([...made.keys()].sort()).toEqual([...wanted].sort());
    expect(new Set(made.values()).size).toBe(made.size);
    stack('credentials');
    expect(readFileSync(env, 'utf8')).toBe(first);
    // What one has taken out is made anew, and nothing else.
    writeFileSync(env, first.replace(/^STACK_QDRANT_KEY=.*\n/m, ''));
    stack('credentials');
    expect(readFileSync(env, 'utf8')).toMatch(/^STACK_QDRANT_KEY=[0-9a-f]{32}$/m);
    // `make run` in this folder reads the file too.
    expect([...made.keys()].filter((name) => name.startsWith('MILLRACE_'))).toEqual([]);
  });

  it('tells every address that is listened at, with the ports that were chosen', () => {
    const said = stack('addresses', { PROFILES: 'observe', GATEWAY_PORT: '8123' });
    const ports = Object.values(services).flatMap(({ ports = [] }) => ports);
    for (const port of ports) {
      const [, name, usual] = /\$\{(\w+):-(\d+)\}/.exec(port)!;
      expect(said).toContain(`127.0.0.1:${name === 'GATEWAY_PORT' ? 8123 : usual}`);
    }
    expect(stack('addresses')).not.toContain('Grafana');
    expect(stack('addresses', { OBJECT_STORE: 'seaweedfs' })).toContain('S3 (seaweedfs)');
  });

  it('refuses what it does not know, by its name', () => {
    expect(() => stack('addresses', { OBJECT_STORE: 'gcs' })).toThrow(
      'OBJECT_STORE is gcs. It takes minio or seaweedfs.',
    );
    expect(() => stack('addresses', { PROFILES: 'gpu grafana' })).toThrow('PROFILES has grafana.');
  });

  it('keeps what is stored when it ends it, and says how to remove it', () => {
    const recorder = join(folder, 'compose');
    writeFileSync(recorder, '#!/bin/sh\necho "$COMPOSE_PROFILES $*" >>"$(dirname "$0")/calls"\n', { mode: 0o755 });
    const said = stack('down', { COMPOSE: recorder });
    expect(readFileSync(join(folder, 'calls'), 'utf8')).toBe('* down\n');
    expect(said).toContain("docker compose --profile '*' down --volumes");
    expect(stack('up', { COMPOSE: recorder, PROFILES: 'observe gpu' })).toContain('/v1/chat/completions');
    expect(readFileSync(join(folder, 'calls'), 'utf8')).toContain('observe,gpu up --detach --wait --build\n');
  });
});

const credentials = Object.fromEntries(
  [...`${COMPOSE_TEXT}${OBJECT_STORES.map(storeText)}`.matchAll(/\$\{(STACK_\w+)/g)].map(([, name]) => [
    name!,
    'x'.repeat(32),
  ]),
);
const skipped = (tool: string) => (isBuilt(tool) ? '' : ' (skipped: `make compose-check` has not built it)');

describe.skipIf(!isBuilt(COMPOSE_LOADER))(`Compose’s own loader${skipped(COMPOSE_LOADER)}`, () => {
  const load = (variables: NodeJS.ProcessEnv, profiles = '*') =>
    JSON.parse(
      execFileSync(COMPOSE_LOADER, [join(ROOT, 'docker-compose.yaml'), profiles], {
        encoding: 'utf8',
        env: variables,
        stdio: 'pipe',
      }),
    ) as { services: Record<string, { image: string; volumes?: { type: string; source: string }[] }> };

  it.each(OBJECT_STORES)('takes the file with all profiles and %s, and finds what is mounted', (store) => {
    const loaded = load({ ...credentials, OBJECT_STORE: store });
    expect(Object.keys(loaded.services).sort()).toEqual(Object.keys(composeFile(store).services).sort());
    expect(loaded.services.objects!.image).toContain(store);
    const binds = Object.values(loaded.services).flatMap(({ volumes: mounts = [] }) =>
      mounts.filter(({ type }) => type === 'bind'),
    );
    const missing = binds
      .map(({ source }) => source)
      .filter((path) => !existsSync(path) && !path.includes(OF_THE_CHART));
    expect(missing).toEqual([]);
  });

  it('takes each profile alone', () => {
    for (const profile of PROFILES) {
      const names = Object.keys(load(credentials, profile).services);
      expect(names).toEqual(expect.arrayContaining(['gateway', 'worker']));
    }
  });

  it('says what to do where there are no credentials', () => {
    expect(() => load({})).toThrow('required variable STACK_ADMIN_KEY is missing a value: run make up');
  });
});

describe.skipIf(!isBuilt(COLLECTOR))(`OpenTelemetry’s collector${skipped(COLLECTOR)}`, () => {
  const validate = (path: string) =>
    execFileSync(COLLECTOR, ['validate', `--config=${path}`], { stdio: 'pipe', encoding: 'utf8' });

  it('takes its configuration, and refuses one with a mistake in it', () => {
    const path = join(ROOT, 'configs/collector/collector.yaml');
    validate(path);
    const spoilt = join(folder, 'collector.yaml');
    writeFileSync(spoilt, readFileSync(path, 'utf8').replace('limit_mib', 'limit_mb'));
    expect(() => validate(spoilt)).toThrow('limit_mb');
  });
});

const noPromtool = !['/usr/bin', ...(process.env.PATH ?? '').split(':')].some((each) =>
  existsSync(join(each, 'promtool')),
);

describe.skipIf(noPromtool)(
  `promtool${noPromtool ? ' (skipped: it is not installed; Debian’s package prometheus has it)' : ''}`,
  () => {
    const text = readFileSync(join(ROOT, 'configs/prometheus/prometheus.yaml'), 'utf8');
    const check = (content: string) => {
      const path = join(folder, 'prometheus.yaml');
      // Where the rules are mounted, nothing is here.
      writeFileSync(path, content.replace('/etc/prometheus-rules/', join(ROOT, OF_THE_CHART, 'rules/')));
      return execFileSync('promtool', ['check', 'config', path], { encoding: 'utf8', stdio: 'pipe' });
    };

    it('takes Prometheus’ configuration, and refuses one with a mistake in it', () => {
      expect(check(text)).toContain('is valid prometheus config file syntax');
      expect(() => check(text.replace('scrape_interval', 'scrape_intervall'))).toThrow('scrape_intervall');
    });
  },
);

describe('what Prometheus, Grafana, Tempo and the collector are told', () => {
  const read = (path: string) => parse(readFileSync(join(ROOT, path), 'utf8'));

  it('scrapes the ports that Millrace listens on', () => {
    const { scrape_configs } = read('configs/prometheus/prometheus.yaml') as {
      scrape_configs: { job_name: string; dns_sd_configs: { names: string[]; port: number }[] }[];
    };
    const asked = Object.fromEntries(scrape_configs.map(({ dns_sd_configs: [one] }) => [one!.names[0], one!.port]));
    expect(asked).toEqual({
      gateway: SETTINGS.port.default,
      workers: Number(settingsOf('worker').environment.MILLRACE_WORKER_METRICS_PORT),
    });
  });

  it('finds each other by names and ports that are there', () => {
    const { datasources } = read('configs/grafana/provisioning/datasources/millrace.yaml') as {
      datasources: { url: string }[];
    };
    const hosts = datasources.map(({ url }) => new URL(url.includes('://') ? url : `tcp://${url}`));
    for (const { hostname } of hosts) expect(Object.keys(services)).toContain(hostname);
    expect(hosts.find(({ hostname }) => hostname === 'tempo')?.port).toBe(
      String(read('configs/tempo/tempo.yaml').server.http_listen_port),
    );
    const exporter = read('configs/collector/collector.yaml').exporters.otlp.endpoint as string;
    expect(read('configs/tempo/tempo.yaml').distributor.receivers.otlp.protocols.grpc.endpoint).toBe(
      exporter.replace('tempo', '0.0.0.0'),
    );
  });

  it('provisions the dashboards where they are mounted', () => {
    const { providers } = read('configs/grafana/provisioning/dashboards/millrace.yaml') as {
      providers: { options: { path: string } }[];
    };
    expect(services.grafana!.volumes!.some((mount) => mount.split(':')[1] === providers[0]!.options.path)).toBe(true);
    const dashboards = resolve(ROOT, OF_THE_CHART, 'dashboards');
    if (!existsSync(dashboards)) return;
    const home = services.grafana!.environment!.GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH!;
    expect(readdirSync(dashboards)).toContain(home.split('/').at(-1));
  });
});
