import {
  DATABASE_VARIABLE,
  DATASOURCE_VARIABLE,
  type DashboardPlan,
  labelVariable,
  sqlVariable,
  textVariable,
} from './dashboard.ts';
import { helpOf } from './declared.ts';
import { OF_MODEL, ofGateways, rate, ratio, sumBy } from './promql.ts';

const THIRD = { width: 8, height: 9, kind: 'timeseries' } as const;
const HALF = { width: 12, height: 9, kind: 'timeseries' } as const;
/** A day's value stands at its midnight, which the last hour rarely has in it. */
const BY_DAY = { ...HALF, stacked: true, bars: true, span: '30d' } as const;

const cacheRequests = (matchers = '') =>
  sumBy([], rate(ofGateways('millrace_cache_requests_total', ...(matchers === '' ? [] : [matchers]))));
const HITS = 'outcome=~"hit|semantic_hit|shared"';

/** Of `usage_days`, whose days are those of UTC. An empty database has no key to choose, and `in ()` is no SQL. */
const CHOSEN_DAYS = `$__timeFilter(day) and coalesce(nullif(key_id, ''), 'none') = any(array[$key]::text[])`;
const CHOSEN_RECORDS = `$__timeFilter(arrived_at) and day >= ($__timeFrom()::timestamptz at time zone 'UTC')::date and coalesce(key_id, 'none') = any(array[$key]::text[])`;
const KEY = `coalesce(nullif(key_name, ''), nullif(key_id, ''), 'none')`;
const COST = `(sum(prompt_tokens) * '$prompt_price'::numeric + sum(completion_tokens) * '$answer_price'::numeric) / 1000000`;
/** A day without requests is 0, so that a bar is as wide as a day. */
const DAY = `$__timeGroup(day, '24h', 0) as time`;
const PRICE_NOTE =
  'By the two prices at the top, which are yours to set: Millrace knows none. Read from usage_days, as millrace usage reads it: whole days of UTC, also where a part of one is chosen.';

export const COST_AND_KEYS: DashboardPlan = {
  name: 'cost-and-keys',
  title: 'cost and keys',
  description:
    'Tokens and what they would cost, by key and model, and whom a limit refuses. Metrics have no keys: what is told by key comes from Postgres.',
  variables: [
    DATASOURCE_VARIABLE,
    DATABASE_VARIABLE,
    labelVariable('model', 'Model', 'millrace_running_requests'),
    labelVariable('instance', 'Gateway', 'millrace_connections'),
    sqlVariable(
      'key',
      'Key',
      `select distinct on (key_id) ${KEY} as __text, coalesce(nullif(key_id, ''), 'none') as __value from usage_days order by key_id, day desc`,
    ),
    textVariable('prompt_price', 'Price of 1,000,000 prompt tokens', '0.10'),
    textVariable('answer_price', 'Price of 1,000,000 answer tokens', '0.40'),
  ],
  rows: [
    {
      title: 'By key, from the database',
      panels: [
        {
          ...BY_DAY,
          title: 'Cost by key and day',
          unit: 'currencyUSD',
          description: PRICE_NOTE,
          queries: {
            format: 'time_series',
            sql: `select ${DAY}, ${KEY} as metric, ${COST} as cost from usage_days where ${CHOSEN_DAYS} group by day, 2 order by 1`,
          },
        },
        {
          ...BY_DAY,
          title: 'Tokens by key and day',
          unit: 'locale',
          description:
            'Prompts and answers together. One key far above the others → is it meant to? millrace keys change --tokens-per-day gives it a budget.',
          queries: {
            format: 'time_series',
            sql: `select ${DAY}, ${KEY} as metric, sum(prompt_tokens + completion_tokens) as tokens from usage_days where ${CHOSEN_DAYS} group by day, 2 order by 1`,
          },
        },
        {
          width: 12,
          height: 10,
          kind: 'table',
          unit: 'locale',
          columnUnits: { cost: 'currencyUSD' },
          columnWidths: { key: 150, cost: 105 },
          title: 'Keys and what they used',
          description: `${PRICE_NOTE} failed counts all that ended in an error, refusals among them; it rises with one key alone → its program sends what can not be answered.`,
          queries: {
            format: 'table',
            sql: `select ${KEY} as "key", sum(requests) as requests, sum(failed_requests) as failed, sum(prompt_tokens) as prompt, sum(cached_tokens) as cached, sum(completion_tokens) as answers, ${COST} as cost from usage_days where ${CHOSEN_DAYS} group by 1 order by cost desc limit 100`,
          },
        },
        {
          width: 12,
          height: 10,
          kind: 'table',
          unit: 'locale',
          columnUnits: { cost: 'currencyUSD' },
          columnWidths: { model: 180, cost: 105 },
          title: 'Models and what they were used for',
          description: PRICE_NOTE,
          queries: {
            format: 'table',
            sql: `select coalesce(nullif(model, ''), 'unknown') as model, sum(requests) as requests, sum(failed_requests) as failed, sum(prompt_tokens) as prompt, sum(cached_tokens) as cached, sum(completion_tokens) as answers, ${COST} as cost from usage_days where ${CHOSEN_DAYS} group by 1 order by cost desc limit 100`,
          },
        },
        {
          width: 24,
          height: 10,
          kind: 'table',
          unit: 'ms',
          columnUnits: { requests: 'locale' },
          title: 'How fast each key was answered',
          description:
            'Of single records, within retentionDays. One key slower than the others at the same model → its prompts are long, or it waits at a limit of its own.',
          queries: {
            format: 'table',
            sql: `select ${KEY} as "key", model, count(*) as requests, percentile_cont(0.5) within group (order by first_token_ms) as "first token P50", percentile_cont(0.95) within group (order by first_token_ms) as "first token P95", percentile_cont(0.95) within group (order by total_ms) as "total P95" from request_records where ${CHOSEN_RECORDS} and outcome = 'served' and model is not null group by 1, 2 order by requests desc limit 100`,
          },
        },
        {
          width: 24,
          height: 10,
          kind: 'table',
          unit: 'locale',
          columnUnits: { time: 'dateTimeAsIso', status: 'none', total_ms: 'ms' },
          columnWidths: { time: 165, endpoint: 120, status: 70, total_ms: 90, request_id: 310, trace_id: 290 },
          title: 'The last requests that were refused or failed',
          description:
            'By request_id the log has the line, by trace_id the trace store has the trace. What each code means: docs/reference/errors.md.',
          queries: {
            format: 'table',
            sql: `select arrived_at as time, ${KEY} as "key", model, endpoint, code, status, total_ms, request_id, trace_id from request_records where ${CHOSEN_RECORDS} and code is not null order by arrived_at desc limit 50`,
          },
        },
      ],
    },
    {
      title: 'Tokens and limits',
      panels: [
        {
          ...HALF,
          // Not upon each other: cached tokens are some of the prompts'.
          title: 'Tokens by kind and model',
          unit: 'suffix:tokens/s',
          description: helpOf('millrace_tokens_total'),
          queries: [
            {
              expr: sumBy(['kind', 'model'], rate(ofGateways('millrace_tokens_total', OF_MODEL))),
              legend: '{{kind}} {{model}}',
            },
          ],
        },
        {
          ...HALF,
          stacked: true,
          title: 'Requests that a limit refused',
          whenEmpty: 'No refusal was measured',
          unit: 'reqps',
          description: helpOf('millrace_limit_refusals_total'),
          queries: [{ expr: sumBy(['limit'], rate(ofGateways('millrace_limit_refusals_total'))), legend: '{{limit}}' }],
        },
        {
          ...THIRD,
          stacked: true,
          title: 'Requests without a valid key',
          whenEmpty: 'No such request was measured',
          unit: 'reqps',
          description: helpOf('millrace_key_refusals_total'),
          queries: [
            {
              expr: sumBy(['door', 'reason'], rate(ofGateways('millrace_key_refusals_total'))),
              legend: '{{door}} {{reason}}',
            },
          ],
        },
        {
          ...THIRD,
          title: 'Keys that gateways know',
          unit: 'short',
          description: helpOf('millrace_keys'),
          queries: [{ expr: `max by (instance) (${ofGateways('millrace_keys')})`, legend: '{{instance}}' }],
        },
        {
          ...THIRD,
          title: 'Gateways that count limits by themselves',
          unit: 'short',
          warns: [1, 1],
          description: helpOf('millrace_limiter_fallback'),
          queries: [{ expr: `max by (instance) (${ofGateways('millrace_limiter_fallback')})`, legend: '{{instance}}' }],
        },
      ],
    },
    {
      title: 'What the cache saves',
      panels: [
        {
          ...THIRD,
          stacked: true,
          title: 'Requests by what the cache had',
          unit: 'reqps',
          description: helpOf('millrace_cache_requests_total'),
          queries: [
            { expr: sumBy(['outcome'], rate(ofGateways('millrace_cache_requests_total'))), legend: '{{outcome}}' },
          ],
        },
        {
          ...THIRD,
          title: 'Share of requests that nobody had to compute',
          unit: 'percentunit',
          description: helpOf('millrace_cache_requests_total'),
          queries: [{ expr: ratio(`(${cacheRequests(HITS)} or vector(0))`, cacheRequests()), legend: 'saved' }],
        },
        {
          ...THIRD,
          title: 'What kept answers take',
          unit: 'bytes',
          description: helpOf('millrace_cache_bytes'),
          queries: [{ expr: `max by (instance) (${ofGateways('millrace_cache_bytes')})`, legend: '{{instance}}' }],
        },
      ],
    },
    {
      title: 'On their way to the database',
      panels: [
        {
          ...THIRD,
          title: 'Records that are written',
          unit: 'suffix:/s',
          description: helpOf('millrace_records_written_total'),
          queries: [
            { expr: sumBy(['instance'], rate(ofGateways('millrace_records_written_total'))), legend: '{{instance}}' },
          ],
        },
        {
          ...THIRD,
          title: 'What waiting records take',
          unit: 'bytes',
          description: helpOf('millrace_spool_bytes', 'millrace_records_waiting'),
          queries: [{ expr: `max by (instance) (${ofGateways('millrace_spool_bytes')})`, legend: '{{instance}}' }],
        },
        {
          ...THIRD,
          stacked: true,
          title: 'Records that are lost',
          whenEmpty: 'No loss was measured',
          unit: 'suffix:/s',
          description: helpOf('millrace_records_lost_total'),
          queries: [{ expr: sumBy(['reason'], rate(ofGateways('millrace_records_lost_total'))), legend: '{{reason}}' }],
        },
      ],
    },
  ],
};
