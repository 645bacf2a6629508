import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { DASHBOARDS, RULES_FOLDER } from '../../tools/dashboards/files.js';
import { RULE_FILES } from '../../tools/dashboards/rules.js';
import { Stage, until } from '../bench/programs.js';
import { Fleet } from '../chaos/fleet.js';
import { ROOT } from '../e2e/stack.js';
import { describePrometheus, RealPrometheus } from './real-prometheus.js';

const SCRAPE_SECONDS = 1;
const PATIENCE_MS = 60_000;
/** What somebody looks at first, and expects an own request in. */
const SHOWN = [
  ['overview', 'Requests a second'],
  ['overview', 'First token, 95 of 100'],
  ['overview', 'Time to the first token'],
  ['overview', 'Time of whole answers'],
  ['overview', 'Time in the waiting room'],
  ['overview', 'The gateway’s own time, 95 of 100'],
  ['overview', 'Requests by outcome'],
  ['models', 'Requests by model'],
  ['models', 'Time to the first token, half of all'],
  ['models', 'Time of a token, 95 of 100'],
  ['models', 'Tokens of answers by model'],
  ['workers', 'Sequences that share a step, on average'],
  ['workers', 'Time of a step'],
  ['workers', 'Tokens that are chosen, by model and pool'],
] as const;

describePrometheus('one request, the first that a new Millrace is asked', () => {
  const stage = new Stage();
  let prometheus: RealPrometheus;
  /** Panels that had NaN while nobody had asked. */
  const notNumbers: string[] = [];
  const valuesOf = async ({ expr }: { readonly expr?: string }): Promise<readonly number[]> => {
    if (expr === undefined) return []; // Postgres is asked.
    const query = expr.replaceAll('$__rate_interval', '1m').replaceAll(/\$(model|pool|instance)\b/g, '.*');
    return (await prometheus.ask(query)).map(({ value }) => Number(value[1]));
  };

  beforeAll(async () => {
    const fleet = await Fleet.start(stage, { gateways: 1, workers: 1 });
    const [gateway, worker] = [fleet.gateways[0]!, fleet.workers[0]!];
    const job = (job_name: string, url: string) => ({
      job_name,
      static_configs: [{ targets: [new URL(url).host] }],
    });
    const every = `${SCRAPE_SECONDS}s`;
    prometheus = await RealPrometheus.start(
      stringify({
        global: { scrape_interval: every, scrape_timeout: every, evaluation_interval: every },
        rule_files: RULE_FILES.map(({ name }) => join(ROOT, RULES_FOLDER, `${name}.yaml`)),
        scrape_configs: [job('millrace-gateway', gateway.url), job('millrace-worker', worker.url)],
      }),
    );
    stage.add(() => prometheus.end());
    const looksAtBoth = async () => (await prometheus.ask('count_over_time(up[1h]) > 2')).length === 2;
    await until(looksAtBoth, PATIENCE_MS, 'both are looked at');
    const recorded = async () => (await prometheus.ask(`{__name__=~"millrace:.*"}`)).length > 0;
    await until(recorded, PATIENCE_MS, 'rules have recorded');
    for (const { title, targets = [] } of DASHBOARDS.flatMap(({ dashboard }) => dashboard.panels)) {
      const values = (await Promise.all(targets.map(valuesOf))).flat();
      if (values.some(Number.isNaN)) notNumbers.push(title);
    }
    const response = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ messages: [{ role: 'user', content: 'What is the capital of France?' }] }),
    });
    expect(response.status).toBe(200);
    await response.text();
    const seen = async () => (await prometheus.ask('sum(millrace_requests_total) > 0')).length === 1;
    await until(seen, PATIENCE_MS, 'the request is scraped');
    const stepsSeen = async () =>
      (await prometheus.ask('sum(millrace_worker_step_duration_seconds_count) > 0')).length === 1;
    await until(stepsSeen, PATIENCE_MS, 'its steps are scraped');
  }, 240_000);
  afterAll(() => stage[Symbol.asyncDispose]());

  it('is awaited by panels that show nothing or zeros, and no NaN', () => {
    expect(notNumbers).toEqual([]);
  });

  it.each(SHOWN)('is in the dashboard %s: %s', async (name, title) => {
    const { dashboard } = DASHBOARDS.find(({ path }) => basename(path) === `${name}.json`)!;
    const { targets = [] } = dashboard.panels.find((panel) => panel.title === title)!;
    expect(targets.length).toBeGreaterThan(0);
    const found = (await Promise.all(targets.map(valuesOf))).flat();
    expect(found.filter((value) => value > 0)).not.toEqual([]);
  });
});
