import { DATASOURCE_VARIABLE, type DashboardPlan, labelVariable } from './dashboard.ts';
import { helpOf } from './declared.ts';
import { ofGateways, ofWorkers, rate, sumBy } from './promql.ts';

const THIRD = { width: 8, height: 9, kind: 'timeseries' } as const;
const HALF = { width: 12, height: 9, kind: 'timeseries' } as const;

export const QUEUE_AND_BATCH_JOBS: DashboardPlan = {
  name: 'queue-and-batch-jobs',
  title: 'queue and batch jobs',
  description:
    'What waits while nobody does: queues of pools, batch jobs, responses in the background, files for vector stores.',
  variables: [
    DATASOURCE_VARIABLE,
    labelVariable('pool', 'Pool', 'millrace_worker_batch_size_max'),
    // Gateways and workers: both have a part in it.
    { ...labelVariable('instance', 'Process', '{__name__=~"millrace_connections|millrace_worker_batch_size_max"}') },
  ],
  rows: [
    {
      title: 'Queues of pools',
      panels: [
        // Each gateway tells the number of all.
        {
          ...THIRD,
          title: 'Jobs that wait for a worker',
          whenEmpty: 'No queue of a pool was measured',
          unit: 'short',
          description: helpOf('millrace_queue_waiting_jobs'),
          queries: [{ expr: `max by (pool) (${ofGateways('millrace_queue_waiting_jobs')})`, legend: '{{pool}}' }],
        },
        {
          ...THIRD,
          stacked: true,
          title: 'Jobs that workers take, by outcome',
          whenEmpty: 'No job of a pool was measured',
          unit: 'suffix:/s',
          description: helpOf('millrace_worker_queue_jobs_total'),
          queries: [
            {
              expr: sumBy(['pool', 'outcome'], rate(ofWorkers('millrace_worker_queue_jobs_total'))),
              legend: '{{pool}} {{outcome}}',
            },
          ],
        },
        {
          ...THIRD,
          title: 'Bodies of waiting requests',
          unit: 'bytes',
          description: helpOf('millrace_waiting_bytes'),
          queries: [{ expr: sumBy(['instance'], ofGateways('millrace_waiting_bytes')), legend: '{{instance}}' }],
        },
      ],
    },
    {
      title: 'Batch jobs',
      panels: [
        {
          ...HALF,
          title: 'Steps of batch jobs by state',
          unit: 'short',
          description: helpOf('millrace_jobs'),
          queries: [{ expr: `max by (state) (${ofGateways('millrace_jobs')})`, legend: '{{state}}' }],
        },
        {
          ...HALF,
          stacked: true,
          title: 'Lines of batch jobs that are done',
          whenEmpty: 'No line of a batch was measured',
          unit: 'suffix:/s',
          description: helpOf('millrace_batch_lines_total'),
          queries: [
            { expr: sumBy(['outcome'], rate(ofGateways('millrace_batch_lines_total'))), legend: '{{outcome}}' },
          ],
        },
      ],
    },
    {
      title: 'In the background',
      panels: [
        {
          ...THIRD,
          title: 'Responses in the background by state',
          unit: 'short',
          description: helpOf('millrace_background_responses'),
          queries: [{ expr: `max by (state) (${ofGateways('millrace_background_responses')})`, legend: '{{state}}' }],
        },
        {
          ...THIRD,
          stacked: true,
          title: 'Files that were read into vector stores',
          whenEmpty: 'No file was measured',
          unit: 'suffix:/s',
          description: helpOf('millrace_vector_store_files_total'),
          queries: [
            { expr: sumBy(['outcome'], rate(ofGateways('millrace_vector_store_files_total'))), legend: '{{outcome}}' },
          ],
        },
        {
          ...THIRD,
          title: 'Files that are being read into vector stores',
          unit: 'short',
          description: helpOf('millrace_vector_store_files_running'),
          queries: [
            { expr: sumBy(['instance'], ofGateways('millrace_vector_store_files_running')), legend: '{{instance}}' },
          ],
        },
        {
          ...HALF,
          stacked: true,
          title: 'Content of files that comes and goes',
          unit: 'Bps',
          description: helpOf('millrace_file_bytes_total'),
          queries: [
            { expr: sumBy(['direction'], rate(ofGateways('millrace_file_bytes_total'))), legend: '{{direction}}' },
          ],
        },
        {
          ...HALF,
          stacked: true,
          title: 'Chat completions that were to be kept',
          whenEmpty: 'No such chat was measured',
          unit: 'suffix:/s',
          description: helpOf('millrace_stored_chats_total'),
          queries: [
            { expr: sumBy(['outcome'], rate(ofGateways('millrace_stored_chats_total'))), legend: '{{outcome}}' },
          ],
        },
      ],
    },
  ],
};
