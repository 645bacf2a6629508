import { DATASOURCE_VARIABLE, type DashboardPlan, labelVariable } from './dashboard.ts';
import { helpOf } from './declared.ts';
import { AVAILABILITY, budgetOf, COUNTED, FAILED, FIRST_TOKEN, percent } from './objectives.ts';
import {
  ANSWERED,
  OF_GEN_AI_MODEL,
  OF_MODEL,
  ofGateways,
  percentiles,
  quantile,
  rate,
  ratio,
  sumBy,
} from './promql.ts';
import { FAILED_REQUESTS, LATE_FIRST_TOKENS, ratioOf } from './rules.ts';

const requests = (...matchers: string[]) => rate(ofGateways('millrace_requests_total', OF_MODEL, ...matchers));
const firstToken = ofGateways('gen_ai_server_time_to_first_token_bucket', OF_GEN_AI_MODEL);
/** A refusal takes a millisecond: with them, whole answers would be there before their first tokens. */
const duration = ofGateways('gen_ai_server_request_duration_bucket', OF_GEN_AI_MODEL, ANSWERED);
/** A code of which there was none yet has no series. */
const failedShare = ratio(`(${sumBy([], requests(FAILED))} or vector(0))`, sumBy([], requests(COUNTED)));

const THIRD = { width: 8, height: 9 } as const;
const HALF = { width: 12, height: 9 } as const;
const SMALL = { width: 4, height: 4, kind: 'stat' } as const;
const BUDGETS = [
  ['failed requests', FAILED_REQUESTS],
  ['late first tokens', LATE_FIRST_TOKENS],
] as const;

export const OVERVIEW: DashboardPlan = {
  name: 'overview',
  title: 'overview',
  description: 'How fast answers come, how many fail, and who waits. Start here.',
  variables: [
    DATASOURCE_VARIABLE,
    labelVariable('model', 'Model', 'millrace_running_requests'),
    labelVariable('instance', 'Gateway', 'millrace_connections'),
  ],
  rows: [
    {
      title: 'Now',
      panels: [
        {
          ...SMALL,
          title: 'Requests a second',
          unit: 'reqps',
          description: helpOf('millrace_requests_total'),
          queries: [{ expr: sumBy([], requests()), legend: 'requests' }],
        },
        {
          ...SMALL,
          title: 'Failed requests',
          unit: 'percentunit',
          warns: [budgetOf(AVAILABILITY), 0.02],
          description: `Requests that failed by our own fault (5xx), of those that were answered or failed so. Bad requests, refusals by a limit and clients who left are on neither side. Above ${percent(budgetOf(AVAILABILITY))} for long → see "Failed requests by error code" below.`,
          queries: [{ expr: failedShare, legend: 'failed' }],
        },
        {
          ...SMALL,
          title: 'First token, 95 of 100',
          unit: 's',
          warns: [FIRST_TOKEN.withinSeconds, 2.5 * FIRST_TOKEN.withinSeconds],
          description: helpOf('gen_ai.server.time_to_first_token'),
          queries: [{ expr: quantile(0.95, firstToken), legend: 'P95' }],
        },
        {
          ...SMALL,
          title: 'Running requests',
          unit: 'short',
          description: helpOf('millrace_running_requests'),
          queries: [{ expr: sumBy([], ofGateways('millrace_running_requests', OF_MODEL)), legend: 'running' }],
        },
        {
          ...SMALL,
          title: 'Waiting requests',
          unit: 'short',
          warns: [1, 64],
          description: helpOf('millrace_waiting_requests'),
          queries: [{ expr: sumBy([], ofGateways('millrace_waiting_requests', OF_MODEL)), legend: 'waiting' }],
        },
        {
          ...SMALL,
          title: 'Ready workers',
          unit: 'short',
          description: `${helpOf('millrace_workers')} A pool that is fed by a queue counts as one.`,
          queries: [{ expr: `max(${ofGateways('millrace_workers', 'phase="ready"')})`, legend: 'ready' }],
        },
      ],
    },
    {
      title: 'How fast answers come',
      panels: [
        {
          ...HALF,
          kind: 'timeseries',
          title: 'Time to the first token',
          whenEmpty: 'No first token was measured',
          unit: 's',
          warns: [FIRST_TOKEN.withinSeconds, 2.5 * FIRST_TOKEN.withinSeconds],
          description: helpOf('gen_ai.server.time_to_first_token'),
          queries: percentiles(firstToken),
        },
        {
          ...HALF,
          kind: 'timeseries',
          title: 'Time of whole answers',
          whenEmpty: 'No answer was measured',
          unit: 's',
          description: `${helpOf('gen_ai.server.request.duration')} Refused and failed requests are not in it.`,
          queries: percentiles(duration),
        },
        {
          ...THIRD,
          kind: 'timeseries',
          title: 'Time in the waiting room',
          whenEmpty: 'No wait was measured',
          unit: 's',
          description: helpOf('millrace_waiting_seconds'),
          queries: percentiles(ofGateways('millrace_waiting_seconds_bucket', OF_MODEL)),
        },
        {
          ...THIRD,
          kind: 'timeseries',
          title: 'Pause between two pieces of an answer',
          whenEmpty: 'No pause was measured',
          unit: 's',
          description: helpOf('millrace_token_gap_seconds'),
          queries: percentiles(ofGateways('millrace_token_gap_seconds_bucket', OF_MODEL)),
        },
        {
          ...THIRD,
          kind: 'timeseries',
          title: 'The gateway’s own time, 95 of 100',
          unit: 's',
          description: helpOf('millrace_overhead_seconds'),
          queries: [
            { expr: quantile(0.95, ofGateways('millrace_overhead_seconds_bucket'), ['answer']), legend: '{{answer}}' },
          ],
        },
      ],
    },
    {
      title: 'What becomes of requests',
      panels: [
        {
          ...HALF,
          kind: 'timeseries',
          stacked: true,
          title: 'Requests by outcome',
          unit: 'reqps',
          description: helpOf('millrace_requests_total'),
          queries: [{ expr: sumBy(['outcome'], requests()), legend: '{{outcome}}' }],
        },
        {
          ...HALF,
          kind: 'timeseries',
          stacked: true,
          title: 'Failed requests by error code',
          whenEmpty: 'No failure was measured',
          unit: 'reqps',
          description:
            'Failures of the server’s own (5xx). docs/reference/errors.md says what each code means and what to do; the log has a line of each request, by its x-request-id.',
          queries: [{ expr: sumBy(['code'], requests(FAILED)), legend: '{{code}}' }],
        },
        {
          ...HALF,
          kind: 'timeseries',
          title: 'Running and waiting requests',
          unit: 'short',
          description: helpOf('millrace_running_requests', 'millrace_waiting_requests'),
          queries: [
            { expr: sumBy([], ofGateways('millrace_running_requests', OF_MODEL)), legend: 'running' },
            { expr: sumBy([], ofGateways('millrace_waiting_requests', OF_MODEL)), legend: 'waiting' },
          ],
        },
        {
          ...HALF,
          kind: 'timeseries',
          stacked: true,
          title: 'Refusals by limit',
          whenEmpty: 'No refusal was measured',
          unit: 'reqps',
          description: helpOf('millrace_limit_refusals_total'),
          queries: [{ expr: sumBy(['limit'], rate(ofGateways('millrace_limit_refusals_total'))), legend: '{{limit}}' }],
        },
        ...BUDGETS.map(([what, objective]) => ({
          ...HALF,
          kind: 'timeseries' as const,
          title: `Pace at which the budget of ${what} is spent`,
          unit: 'short' as const,
          warns: [1, 6] as const,
          description: `1: what the objective leaves for ${AVAILABILITY.days} days is spent in ${AVAILABILITY.days} days. 6 for hours, or 14.4 for one: an alert, and its page in docs/how-to/runbooks. Of all models and gateways; needs the recording rules (deploy/helm/millrace/files/rules/objectives.yaml).`,
          queries: (['1h', '6h', '3d'] as const).map((window) => ({
            // While nobody asks it is NaN.
            expr: `max(${ratioOf(objective, window)}) / ${objective.budget} >= 0`,
            legend: `last ${window}`,
          })),
        })),
      ],
    },
    {
      title: 'Gateways and what they see of workers',
      panels: [
        {
          ...THIRD,
          kind: 'timeseries',
          title: 'Workers by phase',
          unit: 'short',
          description: helpOf('millrace_workers'),
          queries: [{ expr: `max by (phase) (${ofGateways('millrace_workers')})`, legend: '{{phase}}' }],
        },
        {
          ...THIRD,
          kind: 'timeseries',
          title: 'Workers left alone, and attempts elsewhere',
          unit: 'short',
          description: helpOf('millrace_open_circuits', 'millrace_retries_total'),
          queries: [
            {
              expr: `max by (instance) (${ofGateways('millrace_open_circuits')})`,
              legend: 'left alone by {{instance}}',
            },
            {
              expr: sumBy([], rate(ofGateways('millrace_retries_total', OF_MODEL))),
              legend: 'further attempts a second',
            },
          ],
        },
        {
          ...THIRD,
          kind: 'timeseries',
          stacked: true,
          title: 'Why a worker was chosen',
          unit: 'suffix:/s',
          description: helpOf('millrace_worker_choices_total'),
          queries: [
            { expr: sumBy(['reason'], rate(ofGateways('millrace_worker_choices_total'))), legend: '{{reason}}' },
          ],
        },
        {
          ...THIRD,
          kind: 'timeseries',
          title: 'How late a gateway gets to its work',
          unit: 's',
          warns: [0.01, 0.1],
          description: helpOf('millrace_event_loop_delay_seconds'),
          queries: [
            {
              expr: `max by (instance) (${ofGateways('millrace_event_loop_delay_seconds', 'quantile="0.99"')})`,
              legend: '{{instance}}',
            },
          ],
        },
        {
          ...THIRD,
          kind: 'timeseries',
          title: 'Memory of gateways',
          unit: 'bytes',
          description: helpOf('millrace_resident_memory_bytes'),
          queries: [
            { expr: `max by (instance) (${ofGateways('millrace_resident_memory_bytes')})`, legend: '{{instance}}' },
          ],
        },
        {
          ...THIRD,
          kind: 'timeseries',
          title: 'Connections of clients',
          unit: 'short',
          description: helpOf('millrace_connections'),
          queries: [{ expr: `max by (instance) (${ofGateways('millrace_connections')})`, legend: '{{instance}}' }],
        },
      ],
    },
  ],
};
