import type { KeyBody } from '@millrace/contracts';
import { cutText, plainText } from './plain-text.js';
import { alignedTable } from './table.js';

/** What may be cut where the terminal is narrow, and to how much at least. */
const CUT_TO_MIN = 12;
const GAP = 2;

const COLUMNS: readonly { readonly heading: string; readonly cut?: true; cell(key: KeyBody, nowMs: number): string }[] =
  [
    { heading: 'ID', cell: ({ id }) => plainText(id) },
    { heading: 'NAME', cut: true, cell: ({ name }) => plainText(name) },
    { heading: 'STATE', cell: ({ state }) => state },
    { heading: 'EXPIRES', cell: (key, nowMs) => (key.state === 'valid' ? expiryText(key, nowMs) : '') },
    { heading: 'LIMITS', cut: true, cell: (key) => limitTexts(key).join(', ') },
    { heading: 'MODELS', cut: true, cell: ({ models }) => plainText(models?.join(', ') ?? '') },
  ];

/** A line for each. On a terminal, what is too wide for it is cut: `show` has all of it. */
export function keyTable(keys: readonly KeyBody[], nowMs: number, widthMax: number | undefined): string {
  const columns = COLUMNS.map((column) => ({ ...column, cells: keys.map((key) => column.cell(key, nowMs)) }))
    // A column that is empty throughout is left out.
    .filter(({ cells }) => cells.some((cell) => cell !== ''))
    .map((column) => ({
      ...column,
      width: Math.max(column.heading.length, ...column.cells.map((cell) => cell.length)),
    }));
  let excess = columns.reduce((sum, { width }) => sum + width + GAP, -GAP) - (widthMax ?? Number.POSITIVE_INFINITY);
  // The last first: a name tells more than the models.
  for (const column of columns.filter(({ cut }) => cut).reverse()) {
    const less = Math.max(0, Math.min(excess, column.width - CUT_TO_MIN));
    column.width -= less;
    excess -= less;
  }
  const rows = keys.map((_, row) => columns.map(({ cells, width }) => cutText(cells[row]!, width)));
  return alignedTable(
    columns.map(({ heading }) => heading),
    rows,
  );
}

/** Everything about one; the first line says which. */
export function keyDetails(key: KeyBody): string {
  const limits = limitTexts(key);
  const lines = [
    ['state', key.state],
    ['models', key.models === null ? 'all' : plainText(key.models.join(', '))],
    ['limits', limits.length === 0 ? 'none' : limits.join(', ')],
    ['priority', String(key.priority)],
    ['created', timeText(key.created_at)],
    ['expires', key.expires_at === null ? 'never' : timeText(key.expires_at)],
    ...(key.revoked_at === null ? [] : [['revoked', timeText(key.revoked_at)]]),
    ['contents', contentsText(key)],
  ] as const;
  return [
    `${plainText(key.name)} (${plainText(key.id)})`,
    ...lines.map(([name, value]) => `  ${name!.padEnd(9)} ${value}`),
  ].join('\n');
}

function contentsText({ log_messages }: KeyBody): string {
  if (log_messages === null) return 'as the setting logMessages of the gateway says';
  return log_messages ? 'are recorded' : 'are not recorded';
}

function limitTexts({ limits }: KeyBody): string[] {
  const texts: [number | null | undefined, string][] = [
    [limits.requests_per_minute, 'requests/min'],
    [limits.tokens_per_minute, 'tokens/min'],
    [limits.concurrent_requests, 'at a time'],
    [limits.tokens_per_day, 'tokens/day'],
    [limits.tokens_per_month, 'tokens/month'],
  ];
  return texts
    .filter(([amount]) => amount != null)
    .map(([amount, what]) => `${amount!.toLocaleString('en-US')} ${what}`);
}

function expiryText({ expires_at }: KeyBody, nowMs: number): string {
  if (expires_at === null) return '';
  const hours = Math.floor((expires_at * 1_000 - nowMs) / 3_600_000);
  if (hours < 1) return 'within 1h';
  return hours < 48 ? `in ${hours}h` : `in ${Math.round(hours / 24)}d`;
}

function timeText(seconds: number): string {
  return `${new Date(seconds * 1_000).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
