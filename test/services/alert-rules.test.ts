import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { RULES_FOLDER } from '../../tools/dashboards/files.js';
import { ALERTING_RULES, RULE_FILES } from '../../tools/dashboards/rules.js';
import { ROOT } from '../e2e/stack.js';
import { readText } from '../tidy/source-files.js';
import { describePrometheus, PROMTOOL } from './real-prometheus.js';

const FILES = RULE_FILES.map(({ name, groups }) => ({
  path: join(ROOT, RULES_FOLDER, `${name}.yaml`),
  alerts: groups.flatMap(({ rules }) => rules.flatMap((rule) => ('alert' in rule ? [rule.alert] : []))),
}));
/** Between two scrapes, and two looks at the rules. Days of minutes would take promtool half a minute. */
const INTERVALS = { minutes: '1m', days: '10m' } as const;

interface Scenario {
  readonly alert: string;
  /** A sentence: "… while …". */
  readonly when: string;
  /** How long it goes on; minutes unless said. */
  readonly lasts?: keyof typeof INTERVALS;
  /** In promtool's notation: `0+10x60` counts ten each interval, sixty times. */
  readonly series: Readonly<Record<string, string>>;
  readonly at: string;
  /** Of the alerts that fire, without those that every alert of the rule has. Empty: none does. */
  readonly fires: readonly Readonly<Record<string, string>>[];
}

const JOB = { job: 'gateway' };
const POD = { ...JOB, instance: 'a:8000' };
const requests = (code: string) => `millrace_requests_total{job="gateway", instance="a:8000", code="${code}"}`;
const firstTokens = (part: string) => `gen_ai_server_time_to_first_token_${part}`;
const gauge = (name: string, labels = '') => `${name}{job="gateway", instance="a:8000"${labels}}`;

const SCENARIOS: readonly Scenario[] = [
  {
    alert: 'MillraceAvailabilityBurnsFast',
    when: 'one request in ten fails',
    series: { [requests('none')]: '0+9x90', [requests('worker_lost')]: '0+1x90' },
    at: '30m',
    fires: [JOB],
  },
  {
    alert: 'MillraceAvailabilityBurnsFast',
    when: 'one in 25 fails for six hours',
    series: { [requests('none')]: '0+24x400', [requests('model_not_ready')]: '0+1x400' },
    at: '6h30m',
    fires: [JOB],
  },
  {
    alert: 'MillraceAvailabilityBurnsFast',
    when: 'one in fifty fails, which is a matter for the day',
    series: { [requests('none')]: '0+49x400', [requests('worker_lost')]: '0+1x400' },
    at: '6h30m',
    fires: [],
  },
  {
    alert: 'MillraceAvailabilityBurnsFast',
    when: 'all fail, and they are five',
    series: { [requests('worker_lost')]: '0+1x5 5x60' },
    at: '6m',
    fires: [],
  },
  {
    alert: 'MillraceAvailabilityBurnsFast',
    when: 'callers send what can not be answered, go over their limits and leave',
    series: {
      [requests('none')]: '0+1x90',
      [requests('invalid_request')]: '0+50x90',
      [requests('rate_limit_exceeded')]: '0+50x90',
      [requests('client_closed_request')]: '0+50x90',
    },
    at: '60m',
    fires: [],
  },
  {
    alert: 'MillraceAvailabilityBurnsFast',
    when: 'half of them failed for ten minutes, forty minutes ago',
    series: { [requests('none')]: '0+10x120', [requests('worker_lost')]: '0+10x10 100x120' },
    at: '50m',
    fires: [],
  },
  {
    alert: 'MillraceAvailabilityBurnsSlowly',
    when: 'one in fifty fails for a day',
    series: { [requests('none')]: '0+49x150', [requests('worker_lost')]: '0+1x150' },
    lasts: 'days',
    at: '25h',
    fires: [JOB],
  },
  {
    alert: 'MillraceAvailabilityBurnsSlowly',
    when: 'one in a hundred fails for three days',
    series: { [requests('none')]: '0+99x450', [requests('worker_lost')]: '0+1x450' },
    lasts: 'days',
    at: '73h',
    fires: [JOB],
  },
  {
    alert: 'MillraceAvailabilityBurnsSlowly',
    when: 'three in a thousand fail, which is promised',
    series: { [requests('none')]: '0+997x450', [requests('worker_lost')]: '0+3x450' },
    lasts: 'days',
    at: '73h',
    fires: [],
  },
  ...['1', '1.0'].flatMap((le): Scenario[] => {
    const within = `${firstTokens('bucket')}{job="gateway", le="${le}"}`;
    const all = `${firstTokens('count')}{job="gateway"}`;
    return [
      {
        alert: 'MillraceFirstTokenBurnsFast',
        when: `four answers in five begin late (le="${le}")`,
        series: { [within]: '0+2x90', [all]: '0+10x90' },
        at: '30m',
        fires: [JOB],
      },
      {
        alert: 'MillraceFirstTokenBurnsFast',
        when: `one in ten begins late, which is a matter for the day (le="${le}")`,
        series: { [within]: '0+9x400', [all]: '0+10x400' },
        at: '6h30m',
        fires: [],
      },
      {
        alert: 'MillraceFirstTokenBurnsSlowly',
        when: `one in ten begins late for three days (le="${le}")`,
        series: { [within]: '0+9x450', [all]: '0+10x450' },
        lasts: 'days',
        at: '73h',
        fires: [JOB],
      },
      {
        alert: 'MillraceFirstTokenBurnsSlowly',
        when: `three in a hundred begin late, which is promised (le="${le}")`,
        series: { [within]: '0+97x450', [all]: '0+100x450' },
        lasts: 'days',
        at: '73h',
        fires: [],
      },
    ];
  }),
  { alert: 'MillraceNoGateway', when: 'nothing is scraped', series: { up: '0x20' }, at: '10m', fires: [{}] },
  {
    alert: 'MillraceNoGateway',
    when: 'a gateway nobody is connected to is scraped',
    series: { [gauge('millrace_connections')]: '0x20' },
    at: '10m',
    fires: [],
  },
  {
    alert: 'MillraceWaitingRoomFull',
    when: 'one request a minute is refused for want of room',
    series: { [gauge('millrace_limit_refusals_total', ', limit="queue"')]: '0+1x30' },
    at: '15m',
    fires: [JOB],
  },
  {
    alert: 'MillraceWaitingRoomFull',
    when: 'a key goes over its own limit',
    series: {
      [gauge('millrace_limit_refusals_total', ', limit="requests_per_minute"')]: '0+100x30',
      [gauge('millrace_limit_refusals_total', ', limit="queue"')]: '7x30',
    },
    at: '15m',
    fires: [],
  },
  {
    alert: 'MillraceSpoolGrows',
    when: 'records pile up',
    series: { [gauge('millrace_spool_bytes')]: '0+10000x60' },
    at: '45m',
    fires: [POD],
  },
  {
    alert: 'MillraceSpoolGrows',
    when: 'a busy gateway empties its spool twice a second, at whatever moment it is scraped',
    series: {
      [gauge('millrace_spool_bytes')]: Array.from({ length: 60 }, (_, at) => (at * 377_777) % 1_000_000).join(' '),
    },
    at: '45m',
    fires: [],
  },
  {
    alert: 'MillraceSpoolGrows',
    when: 'what has piled up is being written',
    series: { [gauge('millrace_spool_bytes')]: '9000000-100000x60' },
    at: '45m',
    fires: [],
  },
  {
    alert: 'MillraceCertificateExpires',
    when: 'those of a gateway and of a worker are ten days from their end',
    series: {
      [gauge('millrace_tls_certificate_seconds', ', use="gateway"')]: '864000-60x120',
      [gauge('millrace_worker_tls_certificate_seconds', ', use="gateways"')]: '864000-60x120',
    },
    at: '90m',
    fires: [
      { ...POD, use: 'gateway' },
      { ...POD, use: 'gateways' },
    ],
  },
  {
    alert: 'MillraceCertificateExpires',
    when: 'it is valid for a month',
    series: { [gauge('millrace_tls_certificate_seconds', ', use="gateway"')]: '2592000-60x120' },
    at: '90m',
    fires: [],
  },
  {
    alert: 'MillraceNoWorkerReady',
    when: 'all workers load for a quarter of an hour',
    series: {
      [gauge('millrace_workers', ', phase="ready"')]: '0x30',
      [gauge('millrace_workers', ', phase="loading"')]: '2x30',
    },
    at: '15m',
    fires: [JOB],
  },
  {
    alert: 'MillraceNoWorkerReady',
    when: 'the only worker is replaced within five minutes',
    series: { [gauge('millrace_workers', ', phase="ready"')]: '1x10 0x5 1x20' },
    at: '16m',
    fires: [],
  },
  {
    alert: 'MillraceCircuitOpen',
    when: 'a worker fails for a quarter of an hour',
    series: { [gauge('millrace_open_circuits')]: '1x30' },
    at: '15m',
    fires: [POD],
  },
  {
    alert: 'MillraceCircuitOpen',
    when: 'a worker failed for five minutes',
    series: { [gauge('millrace_open_circuits')]: '0x5 1x5 0x30' },
    at: '11m',
    fires: [],
  },
];

function groupsOf(path: string): string[] {
  const { groups } = parse(readFileSync(path, 'utf8')) as { groups: { name: string }[] };
  return groups.map(({ name }) => name);
}

const SEVERITIES = new Map(ALERTING_RULES.map(({ alert, labels }) => [alert, labels.severity]));

describePrometheus('the rules, by promtool', () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-alert-rules-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(FILES)('are taken by Prometheus: $path', ({ path }) => {
    expect(promtool('check', 'rules', path)).toContain('SUCCESS');
  });

  it('are read as docs/how-to/dashboards.md has Prometheus read them', () => {
    const [, config = ''] = /```yaml\n(global:[^`]*)```/.exec(readText('docs/how-to/dashboards.md'))!;
    const file = join(folder, 'prometheus.yml');
    writeFileSync(file, config.replaceAll('/path/to/millrace', ROOT));
    const told = promtool('check', 'config', file);
    for (const { path } of FILES) expect(told).toContain(`Checking ${path}\n  SUCCESS`);
  });

  it.each(SCENARIOS)('$alert: fires $fires.length while $when', ({ alert, lasts = 'minutes', series, at, fires }) => {
    const file = join(folder, `${alert}.yaml`);
    const firing = fires.map((labels) => {
      const all = { alertname: alert, alertstate: 'firing', severity: SEVERITIES.get(alert)!, ...labels };
      return { labels: `ALERTS{${Object.entries(all).map(([name, value]) => `${name}="${value}"`)}}`, value: 1 };
    });
    const interval = INTERVALS[lasts];
    const files = FILES.filter(({ alerts }) => alerts.includes(alert)).map(({ path }) => path);
    const test = {
      interval,
      input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
      promql_expr_test: [
        { expr: `ALERTS{alertname="${alert}", alertstate="firing"}`, eval_time: at, exp_samples: firing },
      ],
    };
    // Left to itself promtool takes groups in any order, and an alert may then read what was recorded a step before; Prometheus has no order
    // either, but looks a thousand times a day.
    const group_eval_order = files.flatMap(groupsOf);
    const suite = { rule_files: files, evaluation_interval: interval, group_eval_order, tests: [test] };
    writeFileSync(file, stringify(suite));
    expect(promtool('test', 'rules', file)).toContain('SUCCESS');
  });

  it('are each seen to fire, and not to', () => {
    for (const { alert } of ALERTING_RULES) {
      const tried = SCENARIOS.filter((scenario) => scenario.alert === alert).map(({ fires }) => fires.length > 0);
      expect(new Set(tried), alert).toEqual(new Set([true, false]));
    }
  });
});

/** @returns what it printed, whether it liked it or not. */
function promtool(...args: readonly string[]): string {
  try {
    return execFileSync(PROMTOOL!, args, { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    return `${stdout ?? ''}${stderr ?? ''}`.replaceAll('SUCCESS', 'success, but');
  }
}
