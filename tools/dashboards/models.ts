import { DATASOURCE_VARIABLE, type DashboardPlan, labelVariable } from './dashboard.ts';
import { helpOf } from './declared.ts';
import { COUNTED, FAILED } from './objectives.ts';
import { ANSWERED, OF_GEN_AI_MODEL, OF_MODEL, quantile, rate, ratio, sumBy } from './promql.ts';

const requests = (...matchers: string[]) =>
  sumBy(['model'], rate(`millrace_requests_total{${[OF_MODEL, ...matchers].join(', ')}}`));
const genAi = (metric: string, ...matchers: string[]) => `${metric}{${[OF_GEN_AI_MODEL, ...matchers].join(', ')}}`;
const OF = ['gen_ai_request_model'] as const;
const GEN_AI_NAME = '{{gen_ai_request_model}}';
const worker = (metric: string) => `${metric}{${OF_MODEL}, pool=~"$pool"}`;

const THIRD = { width: 8, height: 9, kind: 'timeseries' } as const;
const HALF = { width: 12, height: 9, kind: 'timeseries' } as const;

export const MODELS: DashboardPlan = {
  name: 'models',
  title: 'models',
  description: 'Each model beside the others: how much it is asked, how fast it answers, when it is loaded.',
  variables: [
    DATASOURCE_VARIABLE,
    labelVariable('model', 'Model', 'millrace_running_requests'),
    labelVariable('pool', 'Pool', 'millrace_worker_batch_size_max'),
  ],
  rows: [
    {
      title: 'Requests',
      panels: [
        {
          ...THIRD,
          stacked: true,
          title: 'Requests by model',
          unit: 'reqps',
          description: helpOf('millrace_requests_total'),
          queries: [{ expr: requests(), legend: '{{model}}' }],
        },
        {
          ...THIRD,
          title: 'Share of failed requests by model',
          unit: 'percentunit',
          axisReach: 0.05,
          description:
            'Requests that failed by our own fault (5xx), of those that were answered or failed so. High for one model alone → its server, or its file: docs/reference/errors.md says what each code means.',
          queries: [
            {
              expr: ratio(`(${requests(FAILED)} or 0 * ${requests(COUNTED)})`, requests(COUNTED)),
              legend: '{{model}}',
            },
          ],
        },
        {
          ...THIRD,
          stacked: true,
          title: 'Requests that wait, by model',
          unit: 'short',
          description: helpOf('millrace_waiting_requests'),
          queries: [{ expr: sumBy(['model'], `millrace_waiting_requests{${OF_MODEL}}`), legend: '{{model}}' }],
        },
      ],
    },
    {
      title: 'Speed',
      panels: [
        {
          ...HALF,
          title: 'Time to the first token, half of all',
          unit: 's',
          description: helpOf('gen_ai.server.time_to_first_token'),
          queries: [
            { expr: quantile(0.5, genAi('gen_ai_server_time_to_first_token_bucket'), OF), legend: GEN_AI_NAME },
          ],
        },
        {
          ...HALF,
          title: 'Time to the first token, 95 of 100',
          unit: 's',
          description: helpOf('gen_ai.server.time_to_first_token'),
          queries: [
            { expr: quantile(0.95, genAi('gen_ai_server_time_to_first_token_bucket'), OF), legend: GEN_AI_NAME },
          ],
        },
        {
          ...HALF,
          title: 'Time of a token, 95 of 100',
          unit: 's',
          description: helpOf('gen_ai.server.time_per_output_token'),
          queries: [
            { expr: quantile(0.95, genAi('gen_ai_server_time_per_output_token_bucket'), OF), legend: GEN_AI_NAME },
          ],
        },
        {
          ...HALF,
          title: 'Time of whole answers, 95 of 100',
          unit: 's',
          description: `${helpOf('gen_ai.server.request.duration')} Refused and failed requests are not in it.`,
          queries: [
            { expr: quantile(0.95, genAi('gen_ai_server_request_duration_bucket', ANSWERED), OF), legend: GEN_AI_NAME },
          ],
        },
      ],
    },
    {
      title: 'Tokens',
      panels: [
        {
          ...HALF,
          stacked: true,
          title: 'Tokens of answers by model',
          unit: 'suffix:tokens/s',
          description: helpOf('millrace_tokens_total'),
          queries: [
            {
              expr: sumBy(['model'], rate(`millrace_tokens_total{${OF_MODEL}, kind="completion"}`)),
              legend: '{{model}}',
            },
          ],
        },
        {
          ...HALF,
          stacked: true,
          title: 'Tokens of prompts by model',
          unit: 'suffix:tokens/s',
          description: helpOf('millrace_tokens_total'),
          queries: [
            { expr: sumBy(['model'], rate(`millrace_tokens_total{${OF_MODEL}, kind="prompt"}`)), legend: '{{model}}' },
          ],
        },
      ],
    },
    {
      title: 'In the memory of workers',
      panels: [
        {
          ...HALF,
          title: 'Models that are loaded, by worker',
          unit: 'short',
          description: helpOf('millrace_worker_loaded_models'),
          queries: [
            {
              expr: 'max by (pool, instance) (millrace_worker_loaded_models{pool=~"$pool"})',
              legend: '{{pool}} {{instance}}',
            },
          ],
        },
        {
          ...HALF,
          title: 'How long a model took to load, the last time',
          unit: 's',
          description: helpOf('millrace_worker_load_duration_seconds'),
          queries: [
            { expr: `max by (model) (${worker('millrace_worker_load_duration_seconds')})`, legend: '{{model}}' },
          ],
        },
        {
          ...HALF,
          title: 'Models that were loaded, or could not be, in an hour',
          unit: 'short',
          description: helpOf('millrace_worker_model_loads_total'),
          queries: [
            {
              expr: sumBy(['model', 'outcome'], `increase(${worker('millrace_worker_model_loads_total')}[1h])`),
              legend: '{{model}} {{outcome}}',
            },
          ],
        },
        {
          ...HALF,
          title: 'Models that were unloaded in an hour, and why',
          whenEmpty: 'No unload was measured',
          unit: 'short',
          description: helpOf('millrace_worker_model_unloads_total'),
          queries: [
            {
              expr: sumBy(['model', 'reason'], `increase(${worker('millrace_worker_model_unloads_total')}[1h])`),
              legend: '{{model}} {{reason}}',
            },
          ],
        },
      ],
    },
  ],
};
