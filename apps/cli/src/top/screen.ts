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

const SPARK_CELLS_MAX = 40;
const SPARK_CELLS_MIN = 8;
/** Label and number before a sparkline, and some words behind it. */
const BESIDE_SPARK_CELLS = 56;
const NAME_LENGTH_MAX = 40;
const LABEL_CELLS = 14;
const FOOT = 'q leaves';

/** All that `millrace top` shows, no line longer than the screen is wide, and no more lines than it has. */
export function screenLines(shown: ScreenText, { columns, rows }: ScreenSize): string[] {
  const { history, trouble } = shown;
  const { latest, now, window } = history;
  const lines = [headLine(shown), ...(trouble === undefined ? [] : [trouble])];
  const tables: Table[] = [];
  if (latest !== undefined) {
    const cells = Math.min(SPARK_CELLS_MAX, Math.max(SPARK_CELLS_MIN, columns - BESIDE_SPARK_CELLS));
    lines.push(
      '',
      ...(now === undefined || window === undefined ? ['Looking …'] : figures(history, now, window, cells)),
    );
    tables.push(workerTable(latest));
    if (window !== undefined) tables.push(engineTable(window.interval), modelTable(window.interval));
  }
  const inUse = tables.filter((table) => table.rows.length > 0 || table.none !== undefined);
  const isTight = lines.length + 2 >= rows;
  const room = rows - lines.length - (isTight ? 0 : 2);
  lines.push(...tablesIn(inUse, room), ...(isTight ? [] : ['', FOOT]));
  return lines.slice(0, Math.max(0, rows)).map((line) => cutText(line.trimEnd(), columns));
}

interface Table {
  readonly headings: readonly string[];
  /** The most important first: not all may fit. */
  readonly rows: readonly (readonly string[])[];
  readonly right: readonly string[];
  /** Said where there are no rows; absent: then there is no table. */
  readonly none?: string;
}

/** What a table takes at least: an empty line, its headings, a row. */
const TABLE_LINES_MIN = 3;

/**
 * Below each other, the first before all others. Where not all rows fit, each table has its share of the lines, and says how many are
 * missing.
 */
function tablesIn(all: readonly Table[], room: number): string[] {
  const tables = all.slice(0, Math.floor(room / TABLE_LINES_MIN));
  const shares = tables.map(() => 1);
  let left = room - tables.length * TABLE_LINES_MIN;
  for (let isFull = false; !isFull; ) {
    isFull = true;
    for (const [index, { rows }] of tables.entries()) {
      if (left === 0 || shares[index]! >= rows.length) continue;
      shares[index]! += 1;
      left -= 1;
      isFull = false;
    }
  }
  return tables.flatMap((table, index) => ['', ...tableLines(table, shares[index]!)]);
}

function tableLines({ headings, rows, right, none }: Table, share: number): string[] {
  if (rows.length === 0) return [none ?? ''];
  const missing = share >= rows.length ? 0 : rows.length - Math.max(1, share - 1);
  const lines = alignedTable(headings, rows.slice(0, rows.length - missing), right).split('\n');
  return missing === 0 || share === 1 ? lines : [...lines, `… and ${missing} more`];
}

function headLine({ history, url, clock, trouble }: ScreenText): string {
  const { latest } = history;
  const known = latest === undefined ? '' : `${latest.health.ready.status}${reasonOf(latest)}`;
  const state = trouble === undefined ? known : 'no answer';
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
  cells: number,
) {
  const spark = (of: (moment: Moment) => number | undefined) => sparkline(history.moments.map(of), cells);
  const row = (label: string, value: string, bars: string, more: string) =>
    `${label.padEnd(LABEL_CELLS)}${value.padStart(8)}  ${bars.padEnd(cells)}  ${more}`;
  const outcomes = Object.entries(interval.byOutcome)
    .filter(([, perSecond]) => perSecond > 0)
    .map(([outcome, perSecond]) => `${plainText(outcome)} ${rate(perSecond)}`);
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
    spark(({ interval }) => barHeight(interval[key].p95)),
  ]);
  return alignedTable(headings, rows, ['P50', 'P95', 'P99']).split('\n');
}

/** Less than the first bound of a histogram is all that is known: a full bar would look like much. */
function barHeight(quantile: Quantile | undefined): number | undefined {
  return quantile?.is === 'below' ? 0 : quantile?.seconds;
}

/** Every worker that the gateway knows, as the gateway sees it; those with something wrong, and those with the most to do, first. */
function workerTable({ health: { workers } }: Reading): Table {
  const headings = ['WORKER', 'STATE', 'RUNNING', 'FULL', 'WAITING', 'MODELS'];
  const isWell = ({ state }: (typeof workers)[number]) => state === 'ready';
  const rows = workers
    .toSorted((one, other) => Number(isWell(one)) - Number(isWell(other)) || load(other) - load(one))
    .map(({ address, state, running, running_max: most, waiting, models, detail }) => [
      named(address),
      state,
      most === undefined ? String(running) : `${running} of ${most}`,
      most === undefined ? '–' : percent(running / most),
      String(waiting),
      plainText(detail === '' ? models.join(', ') : detail),
    ]);
  const none = 'WORKERS  none: models that other servers run need none';
  return { headings, rows, right: ['RUNNING', 'FULL', 'WAITING'], none };
}

function load({ running, waiting }: { readonly running: number; readonly waiting: number }): number {
  return running + waiting;
}

/** What workers say of themselves, where it is known how to ask them. */
function engineTable({ workers }: Interval): Table {
  const numbers = ['BATCH', 'STEP P50', 'P95', 'TOKENS/S', 'CACHED'];
  const rows = workers.map(({ address, figures }) =>
    figures === undefined
      ? [named(address), 'no answer']
      : [
          named(address),
          `${figures.running} running, ${figures.waiting} waiting`,
          batchText(figures) ?? '–',
          milliseconds(figures.step.p50),
          milliseconds(figures.step.p95),
          rate(figures.generatedTokens),
          figures.cachedPart === undefined ? '–' : percent(figures.cachedPart),
        ],
  );
  return { headings: ['ENGINE', 'SEQUENCES', ...numbers], rows, right: numbers };
}

/** How full a step was on average: `6.6 of 32`. */
function batchText({
  batchMean,
  batchMax,
}: {
  readonly batchMean: number | undefined;
  readonly batchMax: number | undefined;
}) {
  if (batchMean === undefined) return undefined;
  return `${batchMean.toFixed(1)}${batchMax === undefined ? '' : ` of ${batchMax}`}`;
}

function modelTable({ models }: Interval): Table {
  const numbers = ['REQUESTS/S', 'TOKENS/S', 'FIRST P50', 'P95', 'TOTAL P50', 'P95 '];
  const rows = models
    .toSorted((one, other) => other.requests - one.requests)
    .map(({ model, requests, answerTokens, firstToken, total }) => [
      named(model),
      rate(requests),
      rate(answerTokens),
      ...[firstToken.p50, firstToken.p95, total.p50, total.p95].map(milliseconds),
    ]);
  return { headings: ['MODEL', ...numbers], rows, right: numbers };
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
    ...interval.workers.flatMap(({ address, figures }) => {
      const batch = figures && batchText(figures);
      return batch === undefined ? [] : [`batch ${batch} at ${named(address)}`];
    }),
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
