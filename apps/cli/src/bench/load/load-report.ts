import { alignedTable, markdownTable } from '../../table.js';
import type { Percentiles } from '../statistics.js';
import type { LoadFigures } from './tally.js';

/** One scenario at one level: clients that ask again when they are answered, or a rate that waits for nobody. */
export type LoadRun = LoadFigures & {
  readonly scenario: string;
  readonly maxTokens: number;
} & ({ readonly clients: number } | { readonly perSecond: number });

/** What `--json` writes, and `--compare` reads. */
export interface LoadReport {
  readonly report: 'millrace load';
  readonly command: string;
  readonly machine: string;
  readonly url: string;
  readonly model: string;
  readonly temperature: number;
  readonly runs: readonly LoadRun[];
}

type Table = typeof alignedTable;

/** For a terminal, or as Markdown for docs/benchmarks.md. */
export function loadReportText(report: LoadReport, markdown: boolean): string {
  const { command, machine, model, temperature, runs } = report;
  const table = markdown ? markdownTable : alignedTable;
  const heading = (title: string) => (markdown ? `### ${title}` : title.toUpperCase());
  const sampling = temperature === 0 ? 'greedy' : `temperature ${temperature}`;
  const open = runs.filter((run) => 'perSecond' in run);
  return [
    `${markdown ? `\`${command}\`` : command}\n\n${machine}. Model ${model}, ${sampling}. Milliseconds; times are those of answered requests.`,
    runsTable(runs, table),
    heading('Work'),
    workTable(runs, table),
    ...(open.length === 0
      ? []
      : [heading('How late requests were sent (in their times, too)'), lateTable(open, table)]),
    ...(runs.every(({ failed }) => failed === 0) ? [] : [heading('What failed'), errorTable(runs, table)]),
  ].join('\n\n');
}

/** `short, 32 clients`, or `short, 20 requests/s`: also what tells runs apart. */
export function runTitle(run: Pick<LoadRun, 'scenario'> & ({ clients: number } | { perSecond: number })): string {
  return `${run.scenario}, ${paceText(run)}`;
}

function paceText(run: { clients: number } | { perSecond: number }): string {
  if ('perSecond' in run) return `${run.perSecond} requests/s`;
  return `${run.clients} ${run.clients === 1 ? 'client' : 'clients'}`;
}

function runsTable(runs: readonly LoadRun[], table: Table): string {
  const numbers = [
    'requests/s',
    'tokens/s',
    'first p50',
    'p95',
    'p99',
    'gap p50',
    'p95',
    'p99',
    'total p50',
    'p95',
    'p99',
    'failed',
  ];
  const rows = runs.map((run) => [
    run.scenario,
    paceText(run),
    run.requestsPerSecond.toFixed(1),
    run.tokensPerSecond.toFixed(0),
    ...percentileCells(run.firstTokenMs),
    ...percentileCells(run.gapMs),
    ...percentileCells(run.totalMs),
    percentText(run.failed, run.requests),
  ]);
  return table(['scenario', 'load', ...numbers], rows, numbers);
}

function workTable(runs: readonly LoadRun[], table: Table): string {
  const numbers = ['requests', 'answered', 'seconds', 'prompt tokens', 'cached', 'answer tokens', 'at most'];
  const rows = runs.map((run) => [
    run.scenario,
    paceText(run),
    String(run.requests),
    String(run.answered),
    run.seconds.toFixed(1),
    String(run.promptTokens),
    String(run.cachedTokens),
    String(run.tokens),
    String(run.maxTokens),
  ]);
  return table(['scenario', 'load', ...numbers], rows, numbers);
}

function lateTable(runs: readonly LoadRun[], table: Table): string {
  const numbers = ['p50', 'p95', 'p99'];
  const rows = runs.map((run) => [run.scenario, paceText(run), ...percentileCells(run.sentLateMs)]);
  return table(['scenario', 'load', ...numbers], rows, numbers);
}

function errorTable(runs: readonly LoadRun[], table: Table): string {
  const rows = runs.flatMap((run) =>
    Object.entries(run.errors).map(([code, count]) => [run.scenario, paceText(run), code, String(count)]),
  );
  return table(['scenario', 'load', 'error', 'requests'], rows, ['requests']);
}

function percentileCells(percentiles: Percentiles | undefined): string[] {
  const { p50, p95, p99 } = percentiles ?? {};
  return [p50, p95, p99].map((value) => value?.toFixed(1) ?? '–');
}

function percentText(part: number, all: number): string {
  return `${all === 0 || part === 0 ? '0' : ((part / all) * 100).toFixed(2)} %`;
}
