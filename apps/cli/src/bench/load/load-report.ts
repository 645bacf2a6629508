import { alignedTable, markdownTable } from '../../table.js';
import type { Percentiles } from '../statistics.js';
import type { LoadFigures } from './tally.js';
import type { ThresholdResult } from './thresholds.js';

/** One scenario at one level: clients that ask again when they are answered, or a rate that waits for nobody. */
export type LoadRun = LoadFigures & {
  readonly scenario: string;
  readonly maxTokens: number;
  /** It was stopped before its end. */
  readonly isCutShort?: boolean;
  /** Where --thresholds were given. */
  readonly thresholds?: readonly ThresholdResult[];
} & ({ readonly clients: number } | { readonly perSecond: number });

/** What `--json` writes, and `--compare` reads. */
export interface LoadReport {
  readonly report: 'millrace load';
  readonly command: string;
  readonly machine: string;
  readonly url: string;
  readonly model: string;
  readonly temperature: number;
  /** What the server refused, and how it was asked instead. */
  readonly adapted?: readonly string[];
  /** The user stopped it: further runs are missing. */
  readonly isCutShort?: boolean;
  readonly runs: readonly LoadRun[];
}

type Table = typeof alignedTable;

/** For a terminal, or as Markdown for docs/benchmarks.md. */
export function loadReportText(report: LoadReport, markdown: boolean, columns = Number.POSITIVE_INFINITY): string {
  const { command, machine, model, temperature, runs } = report;
  const table = markdown ? markdownTable : tableWithin(columns);
  const heading = (title: string) => (markdown ? `### ${title}` : title.toUpperCase());
  const sampling = temperature === 0 ? 'greedy' : `temperature ${temperature}`;
  const open = runs.filter((run) => 'perSecond' in run);
  return [
    `${markdown ? `\`${command}\`` : command}\n\n${machine}. Model ${model}, ${sampling}. Milliseconds; times are those of answered requests.`,
    ...notes(report),
    runsTable(runs, table),
    ...(runs.some(({ thresholds = [] }) => thresholds.length > 0)
      ? [heading('Thresholds'), thresholdTable(runs, table)]
      : []),
    heading('Work'),
    workTable(runs, table),
    ...(open.length === 0
      ? []
      : [heading('How late requests were sent (in their times, too)'), lateTable(open, table)]),
    ...(runs.every(({ failed }) => failed === 0) ? [] : [heading('What failed'), errorTable(runs, table)]),
  ].join('\n\n');
}

/** What has to be known to read the figures. */
function notes({ adapted = [], isCutShort, runs }: LoadReport): string[] {
  const titles = runs.filter((run) => run.isCutShort).map(runTitle);
  const empty = runs
    .filter((run) => run.empty > 0)
    .map(
      (run) => `${runTitle(run)}: ${run.empty} of ${run.answered} answers were empty; their first token is their end.`,
    );
  const of = titles.length === 0 ? '' : ` Of ${titles.join(', ')} only the beginning was measured.`;
  return [...(isCutShort ? [`Stopped before its end.${of}`] : []), ...adapted, ...empty];
}

/** Whether every threshold was met; without any, whether anything was answered at all in each run. */
export function isPassed({ runs }: Pick<LoadReport, 'runs'>): boolean {
  return runs.every(({ answered, thresholds = [] }) => answered > 0 && thresholds.every(({ met }) => met));
}

/** `short, 32 clients`, or `short, 20 requests/s`: also what tells runs apart. */
export function runTitle(run: Pick<LoadRun, 'scenario'> & ({ clients: number } | { perSecond: number })): string {
  return `${run.scenario}, ${paceText(run)}`;
}

function paceText(run: { clients: number } | { perSecond: number }): string {
  if ('perSecond' in run) return `${run.perSecond} requests/s`;
  return `${run.clients} ${run.clients === 1 ? 'client' : 'clients'}`;
}

/** On a terminal that is too narrow for a table, a line for each figure, row after row: what goes on in the next line can't be read. */
function tableWithin(columns: number): Table {
  return (headings, rows, right) => {
    const text = alignedTable(headings, rows, right);
    if (text.split('\n').every((line) => line.length <= columns)) return text;
    const labels = labelled(headings);
    return rows
      .map((row) =>
        alignedTable(
          [row[0]!, row[1]!],
          row.slice(2).map((cell, index) => [labels[index + 2]!, cell]),
        ),
      )
      .join('\n\n');
  };
}

/** `first p50`, `p95` and `p99` stand beside each other; below each other, each needs its name. */
function labelled(headings: readonly string[]): string[] {
  let name = '';
  return headings.map((heading) => {
    if (/^p\d+$/.test(heading)) return `${name} ${heading}`.trim();
    name = / p\d+$/.test(heading) ? heading.replace(/ p\d+$/, '') : '';
    return heading;
  });
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

function thresholdTable(runs: readonly LoadRun[], table: Table): string {
  const rows = runs.flatMap((run) =>
    (run.thresholds ?? []).map(({ threshold, figure, met }) => [
      run.scenario,
      paceText(run),
      threshold,
      figure?.toFixed(threshold.startsWith('failed') ? 2 : 1) ?? '–',
      met ? 'met' : 'MISSED',
    ]),
  );
  return table(['scenario', 'load', 'aim', 'figure', ''], rows, ['figure']);
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
