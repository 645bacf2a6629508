import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { CommandError } from '../../command.js';
import { plainText } from '../../plain-text.js';
import { alignedTable, markdownTable } from '../../table.js';
import type { BenchFlags } from '../bench-flags.js';
import type { Percentiles } from '../statistics.js';
import { type LoadReport, type LoadRun, runTitle } from './load-report.js';

const REPORT_BYTES_MAX = 50_000_000;

interface Compared {
  readonly name: string;
  readonly of: (run: LoadRun) => number | undefined;
  readonly betterIs: 'more' | 'less';
  readonly digits: number;
}

const times = (name: string, of: (run: LoadRun) => Percentiles | undefined): Compared[] =>
  (['p50', 'p95', 'p99'] as const).map((percentile) => ({
    name: `${name} ${percentile}, ms`,
    of: (run) => of(run)?.[percentile] ?? undefined,
    betterIs: 'less',
    digits: 1,
  }));

const COMPARED: readonly Compared[] = [
  { name: 'requests/s', of: (run) => run.requestsPerSecond, betterIs: 'more', digits: 1 },
  { name: 'tokens/s', of: (run) => run.tokensPerSecond, betterIs: 'more', digits: 0 },
  ...times('first token', (run) => run.firstTokenMs),
  ...times('gap', (run) => run.gapMs),
  ...times('total', (run) => run.totalMs),
  { name: 'failed, %', of: ({ failed, requests }) => (failed / requests) * 100, betterIs: 'less', digits: 2 },
];

/** What `--compare` asks for. @throws CommandError */
export function comparison(
  { compare, markdown }: Pick<BenchFlags, 'compare' | 'markdown'>,
  workingFolder: string,
): string {
  const [before, after, ...more] = compare.map((path) => resolve(workingFolder, path));
  if (before === undefined || after === undefined || more.length > 0) {
    throw new CommandError(`--compare has ${compare.length} files. It takes two, such as before.json,after.json.`);
  }
  return compareReports(readReport(before), readReport(after), markdown);
}

/** Two reports of `--json`, run by run. */
function compareReports(before: LoadReport, after: LoadReport, markdown: boolean): string {
  const table = markdown ? markdownTable : alignedTable;
  const heading = (title: string) => (markdown ? `### ${title}` : title.toUpperCase());
  const pairs = before.runs.flatMap((run) => {
    const twin = after.runs.find((other) => runTitle(other) === runTitle(run));
    return twin === undefined ? [] : [{ run, twin }];
  });
  if (pairs.length === 0) {
    throw new CommandError(
      'The two reports have no scenario with the same clients or rate in common. Measure both alike.',
    );
  }
  return [
    `Before: ${plainText(before.command)}\n${plainText(before.machine)}\n\nAfter: ${plainText(after.command)}\n${plainText(after.machine)}`,
    ...differences(before, after),
    ...pairs.flatMap(({ run, twin }) => [heading(plainText(runTitle(run))), pairTable(run, twin, table)]),
    'Two measurements of the same differ as well: what is less than their difference says nothing.',
  ].join('\n\n');
}

/** Why figures may differ though nothing was done to the server. */
function differences(before: LoadReport, after: LoadReport): string[] {
  const titles = (report: LoadReport) => report.runs.map(runTitle);
  const alone = [
    ...titles(before).filter((title) => !titles(after).includes(title)),
    ...titles(after).filter((title) => !titles(before).includes(title)),
  ];
  const lengths = before.runs.some((run) =>
    after.runs.some((other) => runTitle(other) === runTitle(run) && other.maxTokens !== run.maxTokens),
  );
  return [
    before.model !== after.model && `The models differ: ${plainText(before.model)} and ${plainText(after.model)}.`,
    before.temperature !== after.temperature &&
      `The temperatures differ: ${before.temperature} and ${after.temperature}.`,
    lengths && 'The longest answers differ.',
    before.isCutShort && 'The one before was stopped before its end.',
    after.isCutShort && 'The one after was stopped before its end.',
    alone.length > 0 && `In one of the two alone: ${alone.map(plainText).join('; ')}.`,
  ].filter((sentence) => typeof sentence === 'string');
}

function pairTable(run: LoadRun, twin: LoadRun, table: typeof alignedTable): string {
  const rows = COMPARED.map(({ name, of, betterIs, digits }) => {
    const [one, other] = [of(run), of(twin)];
    return [name, one?.toFixed(digits) ?? '–', other?.toFixed(digits) ?? '–', changeText(one, other, betterIs)];
  });
  return table(['', 'before', 'after', 'change'], rows, ['before', 'after', 'change']);
}

function changeText(before: number | undefined, after: number | undefined, betterIs: 'more' | 'less'): string {
  if (before === undefined || after === undefined) return '–';
  if (before === after) return 'none';
  const word = after > before === (betterIs === 'more') ? 'better' : 'worse';
  if (before === 0) return word;
  const percent = (after / before - 1) * 100;
  return `${percent < 0 ? '−' : '+'}${Math.abs(percent).toFixed(1)} %, ${word}`;
}

/** @throws CommandError when it is no report of `millrace bench --scenario … --json`. */
function readReport(path: string): LoadReport {
  let text: string;
  try {
    const { size } = statSync(path);
    if (size > REPORT_BYTES_MAX) {
      throw new CommandError(`${path} has ${size} bytes; a report has ${REPORT_BYTES_MAX} at most. Name another file.`);
    }
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(
      `${path} can't be read (${(error as NodeJS.ErrnoException).code}). Name a file that --json wrote.`,
    );
  }
  const report = parsed(text);
  if (isReport(report)) return report;
  throw new CommandError(
    `${path} is no report of scenarios. Make one with \`millrace bench --scenario short --json ${path}\`.`,
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isReport(value: unknown): value is LoadReport {
  const { report, command, machine, model, temperature, runs } = Object(value) as Record<string, unknown>;
  const texts = [command, machine, model].every((text) => typeof text === 'string');
  return (
    report === 'millrace load' && texts && typeof temperature === 'number' && Array.isArray(runs) && runs.every(isRun)
  );
}

function isRun(value: unknown): value is LoadRun {
  const run = Object(value) as Record<string, unknown>;
  const numbers = ['requests', 'failed', 'requestsPerSecond', 'tokensPerSecond', 'maxTokens'];
  const hasPace = typeof run.clients === 'number' || typeof run.perSecond === 'number';
  const hasTimes = ['firstTokenMs', 'gapMs', 'totalMs'].every((name) => isPercentiles(run[name]));
  return (
    typeof run.scenario === 'string' && hasPace && hasTimes && numbers.every((name) => typeof run[name] === 'number')
  );
}

function isPercentiles(value: unknown): boolean {
  if (value === undefined) return true; // Nothing was answered.
  const percentiles = Object(value) as Record<string, unknown>;
  return ['p50', 'p95', 'p99'].every((name) => typeof percentiles[name] === 'number');
}
