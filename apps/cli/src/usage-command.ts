import {
  boolean,
  integer,
  optionalText,
  type SettingTable,
  type UsageReportBody,
  usageReportSchema,
} from '@millrace/contracts';
import { loadSettings } from '@millrace/runtime';
import { type Command, type CommandContext, OWN } from './command.js';
import { trustGateway } from './fetch-gateway.js';
import { gatewayUrl, urlOfGateway } from './gateway-address.js';
import { askGateway } from './gateway-client.js';
import { withAdminKey } from './gateway-keys.js';
import { cutText, plainText } from './plain-text.js';
import { alignedTable } from './table.js';

const own = {
  from: optionalText({ ...OWN, why: 'The first day, such as 2026-11-01 (UTC). Absent: 30 days with the last.' }),
  to: optionalText({ ...OWN, why: 'The last day, counted too. Absent: today.' }),
  by: optionalText({
    ...OWN,
    why: 'What rows are told apart by: key, model, day, with commas between. Absent: all three.',
  }),
  key: optionalText({ ...OWN, why: "Only this key's requests, by its id." }),
  model: optionalText({ ...OWN, why: "Only this model's requests." }),
  limit: integer({
    ...OWN,
    default: 1_000,
    min: 1,
    max: 10_000,
    unit: 'none',
    why: 'How many rows are shown at most.',
  }),
  url: optionalText({ ...OWN, why: 'The gateway, such as http://10.0.0.5:8000. Absent: `host` and `port`.' }),
  json: boolean({ ...OWN, default: false, why: 'Prints what the gateway answers, as JSON.' }),
} as const satisfies SettingTable;

export const usageCommand: Command = {
  usage: '[--from DAY] [--to DAY] [--by key,model,day] [--key ID] [--model ID] [--json] [--url URL]',
  about:
    'Tells what a running gateway, and all that share its database, were asked: requests and tokens of each key, model and day. It needs the admin key: MILLRACE_ADMIN_KEY, or the file that the gateway made in its dataFolder.',
  own,
  settings: ['host', 'port', 'dataFolder', 'adminKey'],
  examples: [
    'millrace usage',
    'millrace usage --from 2026-11-01 --by key',
    'millrace usage --by day --model demo --json',
  ],
  run: usage,
};

const ANSWER_TIMEOUT_MS = 30_000;

async function usage({ args, environment, workingFolder, write, isTerminal }: CommandContext): Promise<number> {
  const { settings, own: flags } = loadSettings({ reader: 'cli', args, environment, workingFolder, own });
  trustGateway(settings);
  const url = flags.url === undefined ? gatewayUrl(settings) : urlOfGateway(flags.url);
  const query = new URLSearchParams({ limit: String(flags.limit) });
  const { from, to, key, model, by: group_by } = flags;
  for (const [name, value] of Object.entries({ from, to, key, model, group_by })) {
    if (value !== undefined) query.set(name, value);
  }
  const headers = withAdminKey(settings, workingFolder);
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  const response = await askGateway(url, `/admin/usage?${query}`, { headers, signal });
  const report = usageReportSchema.parse(await response.json());
  write(
    flags.json
      ? `${JSON.stringify(report, null, 2)}\n`
      : usageText(report, isTerminal ? process.stdout.columns : undefined),
  );
  return 0;
}

type Row = UsageReportBody['data'][number];
const NAME_LENGTH_MAX = 40;

/** Names come from whoever made the keys, and models from those who asked. */
const named = (name: string | null | undefined, otherwise: string) =>
  name == null ? otherwise : cutText(plainText(name), NAME_LENGTH_MAX);
const COLUMNS: readonly { readonly heading: string; readonly cell: (row: Row) => string; readonly field: keyof Row }[] =
  [
    { heading: 'DAY', field: 'day', cell: ({ day = '' }) => day },
    { heading: 'KEY', field: 'key_id', cell: ({ key_id }) => named(key_id, 'none') },
    { heading: 'NAME', field: 'key_name', cell: ({ key_name }) => named(key_name, '') },
    { heading: 'MODEL', field: 'model', cell: ({ model }) => named(model, 'unknown') },
  ];
const COUNTS = [
  ['REQUESTS', 'requests'],
  ['FAILED', 'failed_requests'],
  ['HITS', 'cached_requests'],
  ['PROMPT', 'prompt_tokens'],
  ['CACHED', 'cached_tokens'],
  ['ANSWERS', 'completion_tokens'],
  ['TOKENS', 'total_tokens'],
] as const;
type Count = (typeof COUNTS)[number][0];
/** Where a terminal is too narrow, in this order. */
const LEFT_OUT_FIRST: readonly Count[] = ['HITS', 'CACHED', 'PROMPT', 'ANSWERS', 'FAILED'];

/**
 * The report for people: a table, its sums, and what is missing from it.
 *
 * @param width characters that a line may have; a table that needs more leaves counts out.
 */
export function usageText({ data, from, to, has_more, pending_records }: UsageReportBody, width = Infinity): string {
  const heading = `Usage from ${from} to ${to} (UTC)`;
  const { table, leftOut } = fittingTable(data, width);
  const missing = [
    leftOut.length > 0 && `No room for ${leftOut.join(', ')}: --json has them.`,
    has_more && `There are more than these ${count(data.length)} rows: --limit shows more, --by fewer.`,
    pending_records > 0 &&
      `${pending_records === 1 ? '1 request is' : `${count(pending_records)} requests are`} not in the database yet, and not counted here.`,
  ].filter((sentence) => sentence !== false);
  return `${[`${heading}:\n\n${table}`, ...missing].join('\n\n')}\n`;
}

function fittingTable(
  data: readonly Row[],
  width: number,
): { readonly table: string; readonly leftOut: readonly Count[] } {
  if (data.length === 0) return { table: 'none', leftOut: [] };
  for (let out = 0; ; out++) {
    const leftOut = LEFT_OUT_FIRST.slice(0, out);
    const table = tableOf(data, leftOut);
    const fits = table.split('\n').every((line) => line.length <= width);
    if (fits || out === LEFT_OUT_FIRST.length) return { table, leftOut };
  }
}

function tableOf(data: readonly Row[], leftOut: readonly Count[]): string {
  const counts = COUNTS.filter(([heading]) => !leftOut.includes(heading));
  // What rows are not told apart by is not in them.
  const columns = COLUMNS.filter(({ field }) => data[0]![field] !== undefined);
  const countsOf = (row: Row) => counts.map(([, field]) => count(row[field]));
  const rows = data.map((row) => [...columns.map(({ cell }) => cell(row)), ...countsOf(row)]);
  const sums = counts.map(([, field]) => count(data.reduce((sum, row) => sum + row[field], 0)));
  const total = [...columns.map((_, at) => (at === 0 ? 'total' : '')), ...sums];
  return alignedTable(
    [...columns.map(({ heading }) => heading), ...counts.map(([heading]) => heading)],
    columns.length === 0 ? rows : [...rows, total],
    counts.map(([heading]) => heading),
  );
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}
