import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { environmentNameOf, modelsFileSchema, SETTINGS } from '@millrace/contracts';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { COLLECTOR, COMPOSE_LOADER, isBuilt } from '../../tools/compose/compose-tools.ts';
import { settingsOf, stage } from '../images/dockerfile.js';
import { COMPOSE_TEXT, composeFile, OBJECT_STORES, PROFILES, ROOT, type Service, storeText } from './compose-file.js';

const STACK = join(ROOT, 'tools/compose/stack.sh');
/** Why a service can't be asked for its health. */
const WITHOUT_HEALTH: Readonly<Record<string, string>> = {
  collector: 'its image has no shell',
  tempo: 'its image has no shell',
  bucket: 'it ends, and others wait for that',
  'grafana-reader': 'it ends, and Grafana waits for that',
};
/** Whose root can be written, and why. */
const WRITING_BESIDE_PROGRAM: Readonly<Record<string, string>> = {
  max: 'it compiles into folders of its own',
  openvino: 'where its server writes is not told',
  grafana: 'it unpacks plugins beside its program',
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

  it.each(OBJECT_STORES)('gives no service, with %s, what it can do without, or says why', (store) => {
    const all = Object.entries(composeFile(store).services);
    for (const [name, { security_opt }] of all) expect(security_opt, name).toEqual(['no-new-privileges:true']);
    const without = (holds: (service: Service) => boolean) =>
      all.flatMap(([name, service]) => (holds(service) ? [] : [name])).sort();
    expect(without(({ cap_drop }) => cap_drop?.[0] === 'ALL')).toEqual(['max', 'openvino']);
    expect(without(({ read_only, tmpfs }) => read_only === true && tmpfs?.includes('/tmp') === true)).toEqual(
      Object.keys(WRITING_BESIDE_PROGRAM).sort(),
    );
  });

  it('keeps traces on, and as many workers, for whoever calls Compose without make', () => {
    for (const [name, { environment = {} }] of ours) {
      expect(environment.OTEL_EXPORTER_OTLP_ENDPOINT, name).toBe(`\${COLLECTOR_URL:-}`);
    }
    expect(services.worker!.scale).toBe(`\${WORKERS:-1}`);
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

  /** `make up` and the like on a .env of their own, with an engine that writes down what it is asked; `volumes` are there already. */
  const machine = (text: string | undefined, volumes: readonly string[] = []) => {
    const place = mkdtempSync(join(folder, 'machine-'));
    const [envFile, calls] = [join(place, '.env'), join(place, 'calls')];
    if (text !== undefined) writeFileSync(envFile, text);
    writeFileSync(
      join(place, 'engine'),
      `#!/bin/sh
case "$*" in
  "volume inspect "*) case " ${volumes.join(' ')} " in *" $3 "*) exit 0 ;; *) exit 1 ;; esac ;;
  "config --services")
    echo gateway
    case ",$COMPOSE_PROFILES," in *,observe,*) echo grafana ;; esac
    case ",$COMPOSE_PROFILES," in *,gpu,*) echo worker-gpu ;; esac ;;
  "ps --all --services") [ ! -s '${calls}' ] || printf 'gateway\\ngrafana\\nworker-gpu\\n' ;;
  *) echo "$COMPOSE_PROFILES $OBJECT_STORE \${COLLECTOR_URL:--}: $*" >>'${calls}' ;;
esac
`,
      { mode: 0o755 },
    );
    return {
      envFile,
      run: (command: string, variables: NodeJS.ProcessEnv = {}) =>
        stack(command, { STACK_ENV_FILE: envFile, COMPOSE: join(place, 'engine'), ...variables }),
      calls: () => (existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n') : []),
    };
  };

  it('means the same the second time, and ends what is not chosen any more', () => {
    const { run, calls } = machine(undefined);
    expect(run('up', { PROFILES: 'observe,gpu', OBJECT_STORE: 'seaweedfs' })).toContain('Grafana');
    expect(run('up')).toContain('Grafana');
    run('up', { PROFILES: 'gpu' });
    run('up', { PROFILES: '' });
    run('up');
    expect(calls()).toEqual([
      'observe,gpu seaweedfs http://collector:4318: up --detach --wait --build',
      'observe,gpu seaweedfs http://collector:4318: up --detach --wait --build',
      '* seaweedfs -: rm --stop --force grafana',
      'gpu seaweedfs -: up --detach --wait --build',
      '* seaweedfs -: rm --stop --force grafana worker-gpu',
      ' seaweedfs -: up --detach --wait --build',
      '* seaweedfs -: rm --stop --force grafana worker-gpu',
      ' seaweedfs -: up --detach --wait --build',
    ]);
  });

  it('reads .env as Compose does, and runs nothing that stands in it', () => {
    const { run, calls } = machine(
      [
        'GATEWAY_PORT="8123" # taken by something else',
        "export REDIS_PORT='6380'",
        'COMPOSE_PROFILES=observe',
        'COLLECTOR_URL=http://elsewhere:4318',
        `QDRANT_PORT=$(touch ${join(folder, 'was-run')})}`,
        '',
      ].join('\n'),
    );
    const said = run('up');
    expect(said).toContain('http://127.0.0.1:8123/v1 ');
    expect(said).toContain('127.0.0.1:6380 ');
    expect(said).toContain('Grafana');
    expect(calls()).toEqual(['observe minio http://elsewhere:4318: up --detach --wait --build']);
    expect(existsSync(join(folder, 'was-run'))).toBe(false);
  });

  it('refuses a password of one’s own that would break an address, and takes any other', () => {
    const kept = machine("export STACK_REDIS_PASSWORD='my-own_1.~'\n");
    kept.run('up');
    expect(readFileSync(kept.envFile, 'utf8')).not.toMatch(/^STACK_REDIS_PASSWORD=/m);
    const broken = machine('STACK_REDIS_PASSWORD=p@ss/word\n');
    expect(() => broken.run('up')).toThrow('STACK_REDIS_PASSWORD has a character that does not stand in an address');
    expect(broken.calls()).toEqual([]);
  });

  it('makes no new credentials for a database from before, and says how to go on', () => {
    const { envFile, run, calls } = machine(undefined, ['millrace_postgres-data']);
    expect(() => run('up')).toThrow(
      'There is a database from before (the volume millrace_postgres-data), and .env'.replace('.env', envFile),
    );
    expect(existsSync(envFile)).toBe(false);
    // What runs can be ended all the same.
    run('down');
    expect(calls()).toEqual(['* minio -: down']);
  });

  it('makes nothing where there is no Compose, or one that is too old', () => {
    const place = mkdtempSync(join(folder, 'old-'));
    const envFile = join(place, '.env');
    const docker = (version: string) => {
      writeFileSync(join(place, 'docker'), `#!/bin/sh\n[ "$1" = compose ] || exit 1\n${version}\n`, { mode: 0o755 });
      return () => stack('up', { STACK_ENV_FILE: envFile, PATH: `${place}:/usr/bin:/bin` });
    };
    expect(docker('exit 1')).toThrow('This needs Docker with Compose 2.24 or newer, and there is none');
    expect(docker('echo v2.23.3')).toThrow('This needs Docker Compose 2.24 or newer; this is v2.23.3');
    expect(existsSync(envFile)).toBe(false);
    expect(docker('echo 5.7.0')()).toContain('docker compose exec gateway');
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

  it('lets Grafana in by the password that its user is given', () => {
    const { grafana, 'grafana-reader': reader } = services;
    expect(grafana!.environment!.POSTGRES_PASSWORD).toBe(reader!.environment!.GRAFANA_POSTGRES_PASSWORD);
    expect(reader!.environment!.PGPASSWORD).toBe(services.postgres!.environment!.POSTGRES_PASSWORD);
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
