import { cutText, plainText } from '../plain-text.js';
import { alignedTable } from '../table.js';
import type { Quantile } from './histogram.js';
import type { History, Moment } from './history.js';
import type { Interval, Latency, Reading } from './reading.js';
import { sparkline } from './sparkline.js';

export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

export interface ScreenText {
  readonly history: History;
  readonly url: string;
  readonly clock: string;
  /** Why the gateway does not answer just now. */
  readonly trouble: string | undefined;
}

const SPARK_CELLS = 40;
const NAME_LENGTH_MAX = 40;
const LABEL_CELLS = 14;
/** Of each table. */
const ROWS_MAX = 12;

/** All that `millrace top` shows, no line longer than the screen is wide, and no more lines than it has. */
export function screenLines(shown: ScreenText, { columns, rows }: ScreenSize): string[] {
  const { history, trouble } = shown;
  const { latest, now, window } = history;
  const lines = [headLine(shown), ...(trouble === undefined ? [] : [trouble])];
  if (latest !== undefined) {
    lines.push('', ...(now === undefined || window === undefined ? ['Looking …'] : figures(history, now, window)));
    lines.push('', ...workerLines(latest));
    if (window !== undefined) lines.push(...ownFigures(window.interval), ...modelLines(window.interval));
  }
  lines.push('', 'q leaves');
  return lines.slice(0, rows).map((line) => cutText(line.trimEnd(), columns));
}

function headLine({ history, url, clock }: ScreenText): string {
  const { latest } = history;
  const state = latest === undefined ? '' : `${latest.health.ready.status}${reasonOf(latest)}`;
  return [`Millrace ${plainText(latest?.health.version ?? '')}`.trim(), url, state, clock].filter(Boolean).join('  ');
}

function reasonOf({ health: { ready } }: Reading): string {
  const parts = ready.degraded?.map(({ part }) => part) ?? [];
  if (ready.status === 'not ready') return ` (${plainText(ready.reason)})`;
  return parts.length === 0 ? '' : ` (degraded: ${parts.join(', ')})`;
}

function figures(
  history: History,
  { interval, running, waiting }: Moment,
  window: { interval: Interval; seconds: number },
) {
  const spark = (of: (moment: Moment) => number | undefined) => sparkline(history.moments.map(of), SPARK_CELLS);
  const outcomes = Object.entries(interval.byOutcome).map(
    ([outcome, perSecond]) => `${plainText(outcome)} ${rate(perSecond)}`,
  );
  const cached = interval.cachedPart === undefined ? '' : `, ${percent(interval.cachedPart)} of them cached`;
  return [
    row(
      'REQUESTS/S',
      rate(interval.requests),
      spark((moment) => moment.interval.requests),
      outcomes.join('  '),
    ),
    row(
      'TOKENS/S',
      rate(interval.answerTokens),
      spark((moment) => moment.interval.answerTokens),
      `prompts ${rate(interval.promptTokens)}${cached}`,
    ),
    row(
      'RUNNING',
      String(running),
      spark((moment) => moment.running),
      '',
    ),
    row(
      'WAITING',
      String(waiting),
      spark((moment) => moment.waiting),
      '',
    ),
    '',
    `LATENCY, ms, of the last ${window.seconds} s; the row shows P95`,
    ...latencyRows(window.interval, spark),
  ];
}

function row(label: string, value: string, spark: string, more: string): string {
  return `${label.padEnd(LABEL_CELLS)}${value.padStart(8)}  ${spark.padEnd(SPARK_CELLS)}  ${more}`;
}

const LATENCIES = [
  ['first token', 'firstToken'],
  ['whole answer', 'total'],
  ['per token', 'perToken'],
  ['waited', 'waited'],
] as const;

function latencyRows(window: Interval, spark: (of: (moment: Moment) => number | undefined) => string): string[] {
  const headings = ['', 'P50', 'P95', 'P99', ' '];
  const rows = LATENCIES.map(([name, key]) => [
    name.padEnd(LABEL_CELLS),
    ...latencyCells(window[key]),
    spark(({ interval }) => interval[key].p95?.seconds),
  ]);
  return alignedTable(headings, rows, ['P50', 'P95', 'P99']).split('\n');
}

/** Every worker that the gateway knows, as the gateway sees it. */
function workerLines({ health: { workers } }: Reading): string[] {
  if (workers.length === 0) return ['WORKERS  none: models that other servers run need none'];
  const headings = ['WORKER', 'STATE', 'RUNNING', 'WAITING', 'MODELS'];
  const rows = workers.map(({ address, state, running, waiting, models, detail }) => [
    named(address),
    state,
    String(running),
    String(waiting),
    plainText(detail === '' ? models.join(', ') : detail),
  ]);
  return table(headings, rows, ['RUNNING', 'WAITING']);
}

/** What workers say of themselves, where it is known how to ask them. */
function ownFigures({ workers }: Interval): string[] {
  if (workers.length === 0) return [];
  const numbers = ['BATCH', 'STEP P50', 'P95', 'TOKENS/S', 'CACHED'];
  const rows = workers.map(({ address, figures }) =>
    figures === undefined
      ? [named(address), 'no answer']
      : [
          named(address),
          `${figures.running} running, ${figures.waiting} waiting`,
          figures.batchMean?.toFixed(1) ?? '–',
          milliseconds(figures.step.p50),
          milliseconds(figures.step.p95),
          rate(figures.generatedTokens),
          figures.cachedPart === undefined ? '–' : percent(figures.cachedPart),
        ],
  );
  return ['', ...table(['ENGINE', 'SEQUENCES', ...numbers], rows, numbers)];
}

function modelLines({ models }: Interval): string[] {
  if (models.length === 0) return [];
  const numbers = ['REQUESTS/S', 'TOKENS/S', 'FIRST P50', 'P95', 'TOTAL P50', 'P95 '];
  const rows = models
    .toSorted((one, other) => other.requests - one.requests)
    .map(({ model, requests, answerTokens, firstToken, total }) => [
      named(model),
      rate(requests),
      rate(answerTokens),
      ...[firstToken.p50, firstToken.p95, total.p50, total.p95].map(milliseconds),
    ]);
  return ['', ...table(['MODEL', ...numbers], rows, numbers)];
}

function table(headings: readonly string[], rows: readonly (readonly string[])[], right: readonly string[]): string[] {
  const lines = alignedTable(headings, rows.slice(0, ROWS_MAX), right).split('\n');
  return rows.length <= ROWS_MAX ? lines : [...lines, `… and ${rows.length - ROWS_MAX} more`];
}

/** Where there is no terminal: what happened since the line before, in one. */
export function plainLine({ history, clock, trouble }: Omit<ScreenText, 'url'>): string {
  const { latest, now } = history;
  if (trouble !== undefined) return `${clock}  ${trouble}`;
  if (latest === undefined || now === undefined) return `${clock}  looking`;
  const { interval, running, waiting } = now;
  const { workers } = latest.health;
  const ready = workers.filter(({ state }) => state === 'ready').length;
  const failed = Object.entries(interval.byOutcome).filter(([outcome]) => outcome !== 'served');
  return [
    clock,
    `${rate(interval.requests)} requests/s`,
    `${rate(interval.answerTokens)} tokens/s`,
    `first token ${latencyCells(interval.firstToken).join('/')} ms`,
    `total ${latencyCells(interval.total).join('/')} ms`,
    `${running} running`,
    `${waiting} waiting`,
    `${ready} of ${workers.length} workers ready`,
    ...interval.workers.flatMap(({ address, figures }) =>
      figures?.batchMean === undefined ? [] : [`batch ${figures.batchMean.toFixed(1)} at ${named(address)}`],
    ),
    ...failed
      .filter(([, perSecond]) => perSecond > 0)
      .map(([outcome, perSecond]) => `${plainText(outcome)} ${rate(perSecond)}/s`),
  ].join('  ');
}

function latencyCells({ p50, p95, p99 }: Latency): string[] {
  return [p50, p95, p99].map(milliseconds);
}

function milliseconds(quantile: Quantile | undefined): string {
  if (quantile === undefined) return '–';
  const ms = quantile.seconds * 1_000;
  const sign = { below: '<', within: '', beyond: '>' }[quantile.is];
  return `${sign}${ms.toFixed(ms < 10 && quantile.is === 'within' ? 1 : 0)}`;
}

function rate(perSecond: number): string {
  return perSecond.toFixed(perSecond < 100 ? 1 : 0);
}

function percent(part: number): string {
  return `${Math.round(part * 100)} %`;
}

function named(name: string): string {
  return cutText(plainText(name), NAME_LENGTH_MAX);
}
