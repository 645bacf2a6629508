import { alignedTable, markdownTable } from '../table.js';
import type { LevelFigures, Round, TargetName, Turn } from './measure.js';
import { type ReuseFigures, type ReusePair, timesSooner } from './measure-reuse.js';
import { type Figures, medianOf, type Percentiles } from './statistics.js';

export interface Report {
  readonly command: string;
  readonly machine: string;
  readonly model: string;
  readonly requests: number;
  readonly maxTokens: number;
  readonly temperature: number;
  /** The address of the other server. */
  readonly beside: string | undefined;
  readonly levels: readonly LevelFigures[];
  /** Of a call to the worker that asks for no work, at the median; absent where the worker cannot be reached. */
  readonly grpcRoundTripMs: number | undefined;
  /** Of the gateway's process, when it was started for this run. */
  readonly gatewayMemoryMib: { readonly idle: number; readonly afterLoad: number } | undefined;
}

type Table = (headings: readonly string[], rows: readonly (readonly string[])[], right: readonly string[]) => string;

export function textReport(report: Report): string {
  return sections(
    report,
    alignedTable,
    (title) => title.toUpperCase(),
    (text) => text,
  );
}

/** Ready to be pasted into docs/benchmarks.md. */
export function markdownReport(report: Report): string {
  return sections(
    report,
    markdownTable,
    (title) => `### ${title}`,
    (text) => `\`${text}\``,
  );
}

function sections(
  report: Report,
  table: Table,
  heading: (title: string) => string,
  code: (text: string) => string,
): string {
  const parts = [
    `${code(report.command)}\n\n${report.machine}. Model ${report.model}, ${samplingText(report.temperature)}, at most ${report.maxTokens} tokens an answer, ${report.requests} requests a level and path. Milliseconds.`,
    heading('Through the gateway'),
    figuresTable(
      report.levels.map(({ clients, gateway }) => ({ clients, figures: gateway })),
      table,
    ),
  ];
  const direct = report.levels.flatMap(({ clients, worker }) => (worker ? [{ clients, figures: worker }] : []));
  if (direct.length > 0) {
    parts.push(heading('Straight on the worker, over gRPC'), figuresTable(direct, table));
    parts.push(
      heading('Added by the gateway (HTTP, validation, admission, routing), request by request'),
      addedTable(report.levels, table),
    );
  }
  parts.push(...besideSections(report, table, heading));
  if (report.grpcRoundTripMs !== undefined) {
    parts.push(
      `One gRPC round trip to the worker, without any work in it: ${report.grpcRoundTripMs.toFixed(2)} ms at the median. Both paths contain gRPC, so it is not part of what the gateway adds.`,
    );
  }
  if (report.gatewayMemoryMib !== undefined) {
    const { idle, afterLoad } = report.gatewayMemoryMib;
    parts.push(
      `Gateway, resident memory: ${idle.toFixed(0)} MiB idle after its start, ${afterLoad.toFixed(0)} MiB after the load.`,
    );
  }
  return parts.join('\n\n');
}

function samplingText(temperature: number): string {
  return temperature === 0 ? 'greedy' : `temperature ${temperature}`;
}

function besideSections(report: Report, table: Table, heading: (title: string) => string): string[] {
  const { beside, levels } = report;
  if (beside === undefined) return [];
  const figures = levels.flatMap((level) =>
    level.beside === undefined ? [] : [{ clients: level.clients, figures: level.beside }],
  );
  const rounds = levels.flatMap(({ clients, rounds }) => {
    const byWhom = `turn by turn, ${clients} ${clients === 1 ? 'client' : 'clients'}`;
    const cpuKnown = rounds.every(({ beside }) => beside?.tokensPerCpuSecond !== undefined);
    return [
      heading(`Tokens/s, ${byWhom}`),
      roundsTable(rounds, (turn) => turn?.tokensPerSecond, table),
      ...(cpuKnown
        ? [
            heading(`Tokens per second of the server’s processor time, ${byWhom}`),
            roundsTable(rounds, (turn) => turn?.tokensPerCpuSecond, table),
          ]
        : []),
    ];
  });
  return [heading(`Beside: ${beside}`), figuresTable(figures, table), ...rounds];
}

/** Turns of a row were close in time, so the ratio of a row says more than the ratio of two columns. */
function roundsTable(rounds: readonly Round[], figure: (turn: Turn | undefined) => number | undefined, table: Table) {
  const speed = (name: TargetName) => (round: Round) => figure(round[name]) ?? Number.NaN;
  const ratio = (name: TargetName) => (round: Round) => speed(name)(round) / speed('beside')(round);
  const columns = [
    { heading: 'beside', value: speed('beside'), digits: 1 },
    { heading: 'worker', value: speed('worker'), digits: 1 },
    { heading: 'gateway', value: speed('gateway'), digits: 1 },
    { heading: 'worker / beside', value: ratio('worker'), digits: 3 },
    { heading: 'gateway / beside', value: ratio('gateway'), digits: 3 },
  ];
  const headings = ['round', ...columns.map(({ heading }) => heading)];
  const rows = rounds.map((round, index) => [
    String(index + 1),
    ...columns.map(({ value, digits }) => value(round).toFixed(digits)),
  ]);
  const medians = columns.map(({ value, digits }) => medianOf(rounds.map(value)).toFixed(digits));
  return table(headings, [...rows, ['median', ...medians]], headings);
}

// -------------------------------------------------------------------------------------------------- prompt reuse

export interface ReuseReport extends Pick<Report, 'command' | 'machine' | 'model'> {
  readonly figures: ReuseFigures;
}

/** As text for a terminal, or as Markdown for docs/benchmarks.md. */
export function reuseReport(report: ReuseReport, markdown: boolean): string {
  const { command, machine, model, figures } = report;
  const code = markdown ? `\`${command}\`` : command;
  const table = markdown ? markdownTable : alignedTable;
  return [
    `${code}\n\n${machine}. Model ${model}, greedy. First tokens in milliseconds.`,
    ...reuseSection('The second asked after the first answer', figures.afterwards, table, markdown),
    ...reuseSection('The second asked while the first answer was being generated', figures.meanwhile, table, markdown),
  ].join('\n\n');
}

function reuseSection(title: string, pairs: readonly ReusePair[], table: Table, markdown: boolean): string[] {
  const headings = ['pair', 'prompt tokens', 'first asked', 'cached', 'second asked', 'cached', 'times sooner'];
  const rows = pairs.map(({ first, second }, index) => [
    String(index + 1),
    String(first.promptTokens),
    first.firstTokenMs.toFixed(1),
    String(first.cachedTokens),
    second.firstTokenMs.toFixed(1),
    String(second.cachedTokens),
    (first.firstTokenMs / second.firstTokenMs).toFixed(1),
  ]);
  return [
    markdown ? `### ${title}` : title.toUpperCase(),
    table(headings, rows, headings),
    `The median of the last column: ${timesSooner(pairs).toFixed(1)}.`,
  ];
}

// ---------------------------------------------------------------------------------------------------------- tables

function figuresTable(rows: readonly { clients: number; figures: Figures }[], table: Table): string {
  const headings = ['clients', 'requests/s', 'tokens/s', 'first p50', 'p95', 'p99', 'total p50', 'p95', 'p99'];
  return table(
    headings,
    rows.map(({ clients, figures }) => [
      String(clients),
      figures.requestsPerSecond.toFixed(1),
      figures.tokensPerSecond.toFixed(0),
      ...percentileCells(figures.firstTokenMs),
      ...percentileCells(figures.totalMs),
    ]),
    headings,
  );
}

function percentileCells({ p50, p95, p99 }: Percentiles): string[] {
  return [p50, p95, p99].map((value) => value.toFixed(1));
}

/** With few requests or a busy machine, a p99 is one unlucky request of either side. */
function addedTable(levels: readonly LevelFigures[], table: Table): string {
  const headings = ['clients', 'first token p50', 'p99', 'total p50', 'p99'];
  const rows = levels.flatMap(({ clients, added }) =>
    added === undefined
      ? []
      : [
          [
            String(clients),
            ...[added.firstTokenMs.p50, added.firstTokenMs.p99, added.totalMs.p50, added.totalMs.p99].map(signed),
          ],
        ],
  );
  return table(headings, rows, headings);
}

function signed(difference: number): string {
  return `${difference < 0 ? '−' : '+'}${Math.abs(difference).toFixed(2)}`;
}
