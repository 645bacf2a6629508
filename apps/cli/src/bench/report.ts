import { alignedTable, markdownTable } from '../table.js';
import type { LevelFigures } from './measure.js';
import type { Figures, Percentiles } from './statistics.js';

export interface Report {
  readonly command: string;
  readonly machine: string;
  readonly model: string;
  readonly requests: number;
  readonly maxTokens: number;
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
    `${code(report.command)}\n\n${report.machine}. Model ${report.model}, greedy, at most ${report.maxTokens} tokens an answer, ${report.requests} requests a level and path. Milliseconds.`,
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
