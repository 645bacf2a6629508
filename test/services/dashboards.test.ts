import { execFile } from 'node:child_process';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { DASHBOARDS, RULES_FOLDER } from '../../tools/dashboards/files.js';
import { ALERTING_RULES, RECORDING_RULES, RULE_FILES, runbookOf } from '../../tools/dashboards/rules.js';
import { FOREIGN_METRICS } from '../../tools/docs/pages.js';
import { Stage } from '../bench/programs.js';
import { ROOT } from '../e2e/stack.js';
import { readText } from '../tidy/source-files.js';
import { pg, RealPostgres } from './real-postgres.js';
import { describePrometheus, RealPrometheus } from './real-prometheus.js';
import { RealRedis } from './real-redis.js';
import { scraped, WatchedLoad } from './watched-load.js';

const SCRAPE_SECONDS = 2;
const DAY_SECONDS = 86_400;
const PAGE = 'docs/how-to/dashboards.md';

const panels = DASHBOARDS.flatMap(({ path, dashboard }) =>
  dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map((target) => ({ name: `${basename(path, '.json')}: ${title} ${target.refId}`, ...target })),
  ),
);
const variables = DASHBOARDS.flatMap(({ path, dashboard }) =>
  dashboard.templating.list.map((variable) => ({ where: `${basename(path, '.json')}: ${variable.name}`, ...variable })),
);

/** As an operator has it: what is scraped, what is asked. Its Redis, its Postgres and its Prometheus are its own. */
describePrometheus('dashboards and rules on a service that is used', () => {
  const stage = new Stage();
  let prometheus: RealPrometheus;
  let postgres: RealPostgres;

  beforeAll(async () => {
    postgres = await RealPostgres.start();
    stage.add(() => postgres.end());
    const redis = await RealRedis.start(undefined, { keeps: true });
    stage.add(() => redis.end());
    const load = await WatchedLoad.start(stage, { redisUrl: redis.url, postgresUrl: postgres.url });
    prometheus = await RealPrometheus.start(configOf(load));
    stage.add(() => prometheus.end());
    const looks = async () => {
      const [gateway = 0, worker = 0] = numbersOf(await prometheus.ask('count_over_time(up[1h])'));
      return Math.min(gateway, worker);
    };
    await load.strangers();
    // A rate takes two looks; of what was there at the first of them alone, a histogram tells nothing.
    await load.round();
    await scraped(looks, 3);
    await load.round();
    await scraped(looks, 3);
  }, 600_000);
  afterAll(() => stage[Symbol.asyncDispose]());

  it.each(panels.filter(({ expr }) => expr !== undefined))('$name has data', async ({ expr }) => {
    const samples = await prometheus.ask(asGrafana(expr!));
    expect(numbersOf(samples), asGrafana(expr!)).not.toEqual([]);
  });

  it.each(RECORDING_RULES)('$record is recorded', async ({ record, expr }) => {
    expect(numbersOf(await prometheus.ask(record)), expr).not.toEqual([]);
  });

  it.each(ALERTING_RULES)('$alert has something to compare, and is no error', async ({ expr }) => {
    await prometheus.ask(expr);
    expect(numbersOf(await prometheus.ask(withoutComparison(expr))), withoutComparison(expr)).not.toEqual([]);
  });

  it('no rule fails when Prometheus itself looks at it', async () => {
    interface Rules {
      readonly groups: readonly { readonly rules: readonly { name: string; health: string; lastError?: string }[] }[];
    }
    const rules = (await prometheus.get<Rules>('rules')).groups.flatMap((group) => group.rules);
    expect(rules).toHaveLength(RECORDING_RULES.length + ALERTING_RULES.length);
    expect(rules.filter(({ health }) => health !== 'ok')).toEqual([]);
  });

  it.each(FOREIGN_METRICS)('%s has data by its name here', async (_theirs, query) => {
    expect(numbersOf(await prometheus.ask(query))).not.toEqual([]);
  });

  it.each(ALERTING_RULES)('the queries on the page of $alert have data', async ({ alert }) => {
    const queries = [...readText(runbookOf(alert)).matchAll(/^promtool query instant \S+ '([^']+)'$/gm)];
    expect(queries.length).toBeGreaterThan(0);
    for (const [, query] of queries) expect(numbersOf(await prometheus.ask(query!)), query).not.toEqual([]);
  });

  it.each(variables.filter(({ definition }) => /^label_values/.test(`${definition}`)))(
    '$where has something to choose',
    async ({ definition }) => {
      const [, series = '', label = ''] = /^label_values\((.*), (\w+)\)$/.exec(`${definition}`)!;
      expect(await prometheus.get(`label/${label}/values?${new URLSearchParams({ 'match[]': series })}`)).not.toEqual(
        [],
      );
    },
  );

  describe('the database, asked by whoever the page makes for it', () => {
    let ask: (sql: string) => Promise<Record<string, unknown>[]>;
    beforeAll(async () => {
      const [line = ''] = /^GRAFANA_POSTGRES_PASSWORD=.*$/m.exec(readText(PAGE))!;
      // Twice: as each `make up` does.
      for (const _time of [1, 2]) await shell(line, { MILLRACE_POSTGRES_URL: postgres.url });
      const url = new URL(postgres.url);
      url.username = 'millrace_grafana';
      const client = new pg.Client({ connectionString: url.href });
      await client.connect();
      stage.add(() => client.end());
      ask = async (query) => (await client.query(query)).rows;
    }, 60_000);

    it.each(panels.filter(({ rawSql }) => rawSql !== undefined))('$name has data', async ({ rawSql, format }) => {
      const rows = await ask(asGrafanaSql(rawSql!));
      expect(rows).not.toEqual([]);
      if (format !== 'time_series') return;
      const [time, name, ...values] = Object.keys(rows[0]!);
      expect([time, name, values.length]).toEqual(['time', 'metric', 1]);
      for (const row of rows) {
        expect(Number(row.time) % DAY_SECONDS, 'a midnight in UTC, in seconds').toBe(0);
        expect(Number(row[values[0]!])).not.toBeNaN();
      }
    });

    it('tells keys by their names, and what they cost', async () => {
      const { rawSql } = panels.find(({ name }) => name.includes('Keys and what they used'))!;
      const rows = await ask(asGrafanaSql(rawSql!));
      const alice = rows.find(({ key }) => key === 'alice')!;
      expect(Number(alice.cost)).toBeCloseTo((Number(alice.prompt) * 0.1 + Number(alice.answers) * 0.4) / 1e6, 9);
      expect(Number(alice.failed)).toBeGreaterThan(0);
      expect(rows.map(({ key }) => key)).toContain('hurried');
    });

    it('has keys to choose', async () => {
      const { query } = variables.find(({ name }) => name === 'key')!;
      expect((await ask(`${query}`)).map(({ __text }) => __text)).toEqual(expect.arrayContaining(['alice', 'hurried']));
    });

    it('gives that user a password, and none that is empty', async () => {
      const [role] = await postgres.ask("select rolpassword from pg_authid where rolname = 'millrace_grafana'");
      expect(role?.rolpassword).toMatch(/^SCRAM-SHA-256/);
      const withoutPassword =
        'psql --quiet --set=ON_ERROR_STOP=1 --file=configs/grafana/reader.sql "$MILLRACE_POSTGRES_URL"';
      const refused = 'GRAFANA_POSTGRES_PASSWORD is not set';
      for (const password of [{}, { GRAFANA_POSTGRES_PASSWORD: '' }]) {
        await expect(shell(withoutPassword, { MILLRACE_POSTGRES_URL: postgres.url, ...password })).rejects.toThrow(
          refused,
        );
      }
    });

    it('shows that user no question and no answer, and lets it write nothing', async () => {
      await expect(ask('select question from request_records')).rejects.toThrow(/permission denied/);
      await expect(ask('select * from keys')).rejects.toThrow(/permission denied/);
      await expect(ask('delete from usage_days')).rejects.toThrow(/permission denied/);
    });
  });
});

const shell = (line: string, environment: NodeJS.ProcessEnv) =>
  promisify(execFile)('sh', ['-c', line], { cwd: ROOT, env: { PATH: process.env.PATH, ...environment } });

function configOf(load: WatchedLoad): string {
  const job = (job_name: string, target: string) => ({ job_name, static_configs: [{ targets: [target] }] });
  const every = `${SCRAPE_SECONDS}s`;
  return stringify({
    global: { scrape_interval: every, scrape_timeout: every, evaluation_interval: every },
    rule_files: RULE_FILES.map(({ name }) => join(ROOT, RULES_FOLDER, `${name}.yaml`)),
    scrape_configs: [job('millrace-gateway', load.gateway), job('millrace-worker', load.worker)],
  });
}

/** With everything chosen. */
function asGrafana(expr: string): string {
  return expr.replaceAll('$__rate_interval', '10m').replaceAll(/\$(model|pool|instance)\b/g, '.*');
}

function asGrafanaSql(sql: string): string {
  const [from, to] = [-1, 1].map((sign) => new Date(Date.now() + sign * 3_600_000).toISOString());
  return sql
    .replaceAll(/\$__timeFilter\((\w+)\)/g, `$1 BETWEEN '${from}' AND '${to}'`)
    .replaceAll('$__timeFrom()', `'${from}'`)
    .replaceAll(/\$__timeGroup\((\w+), '24h', 0\)/g, `floor(extract(epoch from $1)/${DAY_SECONDS})*${DAY_SECONDS}`)
    .replaceAll('array[$key]', "array(select coalesce(nullif(key_id, ''), 'none') from usage_days)")
    .replaceAll('$prompt_price', '0.10')
    .replaceAll('$answer_price', '0.40');
}

/** What an alert compares, without what it is compared with: that must be there while all is well. */
function withoutComparison(expr: string): string {
  return expr.replace(/^absent\((.*)\)$/, '$1').replaceAll(/ (?:>=|<=|==|>|<) [\d.]+(?: \* \d+)?/g, '');
}

function numbersOf(samples: Awaited<ReturnType<RealPrometheus['ask']>>): readonly number[] {
  return samples.map(({ value }) => Number(value[1])).filter((value) => Number.isFinite(value));
}
