import { DATASOURCE_VARIABLE, type DashboardPlan, labelVariable } from './dashboard.ts';
import { helpOf } from './declared.ts';
import { OF_MODEL, ofWorkers, percentiles, quantile, rate, ratio, sumBy } from './promql.ts';

const of = (metric: string, ...matchers: string[]) => ofWorkers(metric, OF_MODEL, ...matchers);
const WORKER = ['pool', 'instance'] as const;
const NAME = '{{pool}} {{instance}}';
const mean = (histogram: string) =>
  ratio(sumBy(WORKER, rate(of(`${histogram}_sum`))), sumBy(WORKER, rate(of(`${histogram}_count`))));
const tokens = (kind: string) => rate(of('millrace_worker_tokens_total', `kind="${kind}"`));
/** A model of which nothing was found yet has no series of it. */
const cached = `(${sumBy(['pool', 'model'], tokens('cached'))} or 0 * ${sumBy(['pool', 'model'], tokens('prompt'))})`;

const THIRD = { width: 8, height: 9, kind: 'timeseries' } as const;
const HALF = { width: 12, height: 9, kind: 'timeseries' } as const;

export const WORKERS: DashboardPlan = {
  name: 'workers',
  title: 'workers',
  description: 'How full workers are, how long a step takes, and what they decide. Needs workerMetricsPort.',
  variables: [
    DATASOURCE_VARIABLE,
    labelVariable('model', 'Model', 'millrace_worker_running_sequences'),
    labelVariable('pool', 'Pool', 'millrace_worker_batch_size_max'),
    labelVariable('instance', 'Worker', 'millrace_worker_batch_size_max'),
  ],
  rows: [
    {
      title: 'How full they are',
      panels: [
        {
          ...HALF,
          title: 'Places that are taken',
          unit: 'percentunit',
          warns: [0.75, 0.95],
          description: helpOf('millrace_worker_running_sequences', 'millrace_worker_batch_size_max'),
          queries: [
            {
              expr: `${sumBy(WORKER, of('millrace_worker_running_sequences'))} / ${`max by (${WORKER.join(', ')}) (${ofWorkers('millrace_worker_batch_size_max')})`}`,
              legend: NAME,
            },
          ],
        },
        {
          ...HALF,
          title: 'Sequences that wait for a place',
          unit: 'short',
          description: helpOf('millrace_worker_waiting_sequences'),
          queries: [{ expr: sumBy(WORKER, of('millrace_worker_waiting_sequences')), legend: NAME }],
        },
        {
          ...THIRD,
          title: 'Sequences that share a step, on average',
          unit: 'short',
          description: helpOf('millrace_worker_batch_size'),
          queries: [{ expr: mean('millrace_worker_batch_size'), legend: NAME }],
        },
        {
          ...THIRD,
          title: 'Tokens that a step reads, on average',
          unit: 'short',
          description: helpOf('millrace_worker_step_size_tokens'),
          queries: [{ expr: mean('millrace_worker_step_size_tokens'), legend: NAME }],
        },
        {
          ...THIRD,
          title: 'Memory of workers',
          unit: 'bytes',
          description: helpOf('millrace_worker_resident_memory_bytes'),
          queries: [
            {
              expr: `max by (${WORKER.join(', ')}) (${ofWorkers('millrace_worker_resident_memory_bytes')})`,
              legend: NAME,
            },
          ],
        },
      ],
    },
    {
      title: 'How fast they are',
      panels: [
        {
          ...HALF,
          title: 'Time of a step',
          unit: 's',
          description: helpOf('millrace_worker_step_duration_seconds'),
          queries: percentiles(of('millrace_worker_step_duration_seconds_bucket')),
        },
        {
          ...HALF,
          title: 'Time of a step by worker, 95 of 100',
          unit: 's',
          description: helpOf('millrace_worker_step_duration_seconds'),
          queries: [{ expr: quantile(0.95, of('millrace_worker_step_duration_seconds_bucket'), WORKER), legend: NAME }],
        },
        {
          ...HALF,
          stacked: true,
          title: 'Tokens that are chosen, by model and pool',
          unit: 'suffix:tokens/s',
          description: helpOf('millrace_worker_tokens_total'),
          queries: [{ expr: sumBy(['model', 'pool'], tokens('generated')), legend: '{{model}} {{pool}}' }],
        },
        {
          ...HALF,
          stacked: true,
          title: 'Tokens of prompts that are read, by model and pool',
          unit: 'suffix:tokens/s',
          description: helpOf('millrace_worker_tokens_total'),
          queries: [{ expr: sumBy(['model', 'pool'], tokens('prompt')), legend: '{{model}} {{pool}}' }],
        },
        {
          ...HALF,
          title: 'Share of prompts that had been read already',
          unit: 'percentunit',
          description: helpOf('millrace_worker_tokens_total'),
          queries: [
            {
              expr: ratio(cached, `(${cached} + ${sumBy(['pool', 'model'], tokens('prompt'))})`),
              legend: '{{model}} {{pool}}',
            },
          ],
        },
        {
          ...HALF,
          stacked: true,
          title: 'What the scheduler decides',
          unit: 'suffix:/s',
          description: helpOf('millrace_worker_decisions_total'),
          queries: [{ expr: sumBy(['decision'], rate(of('millrace_worker_decisions_total'))), legend: '{{decision}}' }],
        },
      ],
    },
    {
      title: 'What becomes of the work',
      panels: [
        {
          ...THIRD,
          stacked: true,
          title: 'Sequences by outcome',
          unit: 'suffix:/s',
          description: helpOf('millrace_worker_sequences_total'),
          queries: [{ expr: sumBy(['outcome'], rate(of('millrace_worker_sequences_total'))), legend: '{{outcome}}' }],
        },
        {
          ...THIRD,
          stacked: true,
          title: 'Inputs of embeddings and rankings by outcome',
          whenEmpty: 'No input was measured',
          unit: 'suffix:/s',
          description: helpOf('millrace_worker_embedding_inputs_total'),
          queries: [
            { expr: sumBy(['outcome'], rate(of('millrace_worker_embedding_inputs_total'))), legend: '{{outcome}}' },
          ],
        },
        {
          ...THIRD,
          title: 'Time of an input of embeddings',
          whenEmpty: 'No input was measured',
          unit: 's',
          description: helpOf('millrace_worker_embedding_input_duration_seconds'),
          queries: percentiles(of('millrace_worker_embedding_input_duration_seconds_bucket')),
        },
      ],
    },
  ],
};
