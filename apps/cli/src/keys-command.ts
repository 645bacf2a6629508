import {
  boolean,
  integer,
  type KeyBody,
  keyListSchema,
  keySchema,
  newKeySchema,
  optionalInteger,
  optionalText,
  type Setting,
  type SettingTable,
} from '@millrace/contracts';
import { didYouMean, loadSettings } from '@millrace/runtime';
import { type Command, type CommandContext, CommandError, OWN } from './command.js';
import { momentOf, secondsOf } from './duration.js';
import { trustGateway } from './fetch-gateway.js';
import { gatewayUrl, urlOfGateway } from './gateway-address.js';
import { askGateway } from './gateway-client.js';
import { withAdminKey } from './gateway-keys.js';
import { keyDetails, keyTable } from './key-text.js';

const limit = (why: string) => optionalText({ ...OWN, why: `${why} \`none\` takes the limit away.` });

/** Neither on nor off unless it is said. */
const optionalBoolean = (why: string): Setting<boolean | undefined> =>
  ({ ...boolean({ ...OWN, default: false, why }), default: undefined }) as unknown as Setting<boolean | undefined>;

const own = {
  models: optionalText({
    ...OWN,
    why: 'create, change: the models that the key may use, with commas between: ids, aliases, or beginnings such as `qwen*`; `all` for all, as it is unsaid.',
  }),
  rpm: limit('create, change: requests in a minute.'),
  tpm: limit('create, change: tokens in a minute.'),
  concurrent: limit('create, change: requests at a time.'),
  tokensPerDay: limit('create, change: tokens in a day, from 00:00 UTC on.'),
  tokensPerMonth: limit('create, change: tokens in a month, from its first day on, 00:00 UTC.'),
  priority: optionalInteger({
    ...OWN,
    min: -100,
    max: 100,
    unit: 'none',
    why: 'create, change: among waiting requests the higher goes first. Unsaid, 0.',
  }),
  expires: optionalText({
    ...OWN,
    why: 'create, change: when it ends to be valid: after `12h` or `30d`, on a day such as `2027-01-01` (its beginning, UTC), or `never`.',
  }),
  logMessages: optionalBoolean(
    'create, change: records of this key hold what was asked and answered; --no-log-messages: they do not. Unsaid: as the setting logMessages of the gateway says.',
  ),
  name: optionalText({ ...OWN, why: 'change: a new name. list: only keys whose name holds this.' }),
  grace: optionalText({
    ...OWN,
    why: 'rotate: how long the former key stays valid beside the new one, such as `15m` or `7d`. Unsaid: not at all.',
  }),
  limit: integer({ ...OWN, default: 1_000, min: 1, max: 100_000, unit: 'keys', why: 'list: so many, newest first.' }),
  url: optionalText({ ...OWN, why: 'The gateway, such as http://10.0.0.5:8000. Absent: `host` and `port`.' }),
  json: boolean({ ...OWN, default: false, why: 'Prints what the gateway answers, as JSON.' }),
  quiet: boolean({
    ...OWN,
    default: false,
    why: 'create, rotate: the key alone, without a word on how to use it. revoke: nothing.',
  }),
} as const satisfies SettingTable;

export const keysCommand: Command = {
  usage: 'create NAME | list | show ID | change ID | revoke ID | rotate ID  [flags]',
  about:
    'Makes, lists, changes and ends the API keys of a running gateway. It needs the admin key: MILLRACE_ADMIN_KEY, or the file that the gateway made in its dataFolder. A key is shown once, on standard output; everything said beside it goes to standard error.',
  own,
  settings: ['host', 'port', 'dataFolder', 'adminKey'],
  examples: [
    'millrace keys create alice --rpm 60 --tokens-per-day 100000 --expires 30d',
    'export MILLRACE_API_KEY=$(millrace keys create me --quiet)',
    'millrace keys change 3vQB7B6MrGQZaxCu --rpm none --models "qwen*,embed"',
    'millrace keys rotate 3vQB7B6MrGQZaxCu --grace 1h',
  ],
  run: keys,
};

type Loaded = ReturnType<typeof load>;
interface Asked extends CommandContext {
  readonly flags: Loaded['own'];
  /** What stands behind the verb: a name or an id. */
  readonly word: string;
  /** Asks the admin API below /admin/keys. */
  readonly admin: (path: string, method?: 'GET' | 'POST' | 'DELETE', body?: object) => Promise<unknown>;
}

const VERBS: Readonly<Record<string, { readonly takes?: string; readonly run: (asked: Asked) => Promise<void> }>> = {
  create: { takes: 'the NAME of whom or what it is for', run: create },
  list: { run: list },
  show: { takes: 'the ID of a key', run: show },
  change: { takes: 'the ID of a key', run: change },
  revoke: { takes: 'the ID of a key', run: revoke },
  rotate: { takes: 'the ID of a key', run: rotate },
};

function load({ args, environment, workingFolder }: CommandContext) {
  return loadSettings({ reader: 'cli', args, environment, workingFolder, own, positionalsMax: 2 });
}

async function keys(context: CommandContext): Promise<number> {
  const { settings, own: flags, positionals } = load(context);
  const [name, word] = positionals;
  const verb = name !== undefined && Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  if (verb === undefined) throw new CommandError(whatToSay(name));
  if (verb.takes !== undefined && word === undefined) {
    throw new CommandError(
      `millrace keys ${name} needs ${verb.takes}: millrace keys ${name} ${name === 'create' ? 'alice' : '3vQB7B6MrGQZaxCu'}`,
    );
  }
  if (verb.takes === undefined && word !== undefined) {
    throw new CommandError(`millrace keys ${name} takes nothing more; "${word}" is too much.`);
  }
  trustGateway(settings);
  const url = flags.url === undefined ? gatewayUrl(settings) : urlOfGateway(flags.url);
  const key = withAdminKey(settings, context.workingFolder);
  const admin: Asked['admin'] = async (path, method = 'GET', body) => {
    const sent = body !== undefined && {
      headers: { ...key, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    };
    const init = { method, headers: key, ...sent, signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) };
    return (await askGateway(url, `/admin/keys${path}`, init)).json();
  };
  await verb.run({ ...context, flags, word: word ?? '', admin });
  return 0;
}

const ANSWER_TIMEOUT_MS = 30_000;

function whatToSay(name: string | undefined): string {
  const verbs = Object.keys(VERBS).join(', ');
  if (name === undefined) return `Say what to do with keys: ${verbs}. millrace keys --help explains them.`;
  return `millrace keys does not know "${name}".${didYouMean(name, Object.keys(VERBS))} It knows ${verbs}.`;
}

async function create({ admin, flags, word, ...context }: Asked): Promise<void> {
  const made = newKeySchema.parse(await admin('', 'POST', { name: word, ...settable(flags) }));
  tellNewKey(context, flags, made, 'made');
}

async function rotate({ admin, flags, word, ...context }: Asked): Promise<void> {
  const grace = flags.grace === undefined ? 0 : secondsOf(flags.grace);
  if (grace === undefined)
    throw new CommandError(`--grace is "${flags.grace}". It takes a time such as 90s, 15m, 12h or 7d.`);
  const made = newKeySchema.parse(await admin(`/${encodeURIComponent(word)}/rotate`, 'POST', { grace_seconds: grace }));
  tellNewKey(
    context,
    flags,
    made,
    grace === 0 ? 'replaced; the former is not valid any more' : `replaced; the former stays valid for ${flags.grace}`,
  );
}

/** The key alone goes to standard output, so that it can be caught in a variable or a file. */
function tellNewKey(
  { write }: CommandContext,
  { json, quiet }: Loaded['own'],
  made: KeyBody & { key: string },
  what: string,
): void {
  write(json ? `${JSON.stringify(made, null, 2)}\n` : `${made.key}\n`);
  if (json || quiet) return;
  say(
    `\nThe key of ${keyDetails(made).split('\n', 1)[0]} is ${what}. It is shown this once: keep it where secrets are kept.`,
  );
  say(
    'Send it as `Authorization: Bearer <key>`: what speaks to OpenAI takes it as OPENAI_API_KEY, millrace as MILLRACE_API_KEY.',
  );
}

async function list({ admin, flags, write, isTerminal }: Asked): Promise<void> {
  const { data, more } = await listed(admin, flags);
  if (flags.json) return write(`${JSON.stringify(data, null, 2)}\n`);
  write(
    `${data.length === 0 ? 'none' : keyTable(data, Date.now(), isTerminal ? process.stdout.columns : undefined)}\n`,
  );
  if (more)
    say(`There are more than these ${data.length.toLocaleString('en-US')}: --limit shows more, --name some of them.`);
}

const PAGE_KEYS = 500;

async function listed(admin: Asked['admin'], { limit, name }: Loaded['own']) {
  const data: KeyBody[] = [];
  let more = true;
  while (more && data.length < limit) {
    const query = new URLSearchParams({ limit: String(Math.min(PAGE_KEYS, limit - data.length)) });
    if (name !== undefined) query.set('name', name);
    if (data.length > 0) query.set('after', data.at(-1)!.id);
    const page = keyListSchema.parse(await admin(`?${query}`));
    data.push(...page.data);
    more = page.has_more && page.data.length > 0;
  }
  return { data, more };
}

async function show({ admin, flags, word, write }: Asked): Promise<void> {
  tellKey(write, flags, keySchema.parse(await admin(`/${encodeURIComponent(word)}`)));
}

async function change({ admin, flags, word, write }: Asked): Promise<void> {
  const changes = { ...(flags.name !== undefined && { name: flags.name }), ...settable(flags) };
  tellKey(write, flags, keySchema.parse(await admin(`/${encodeURIComponent(word)}`, 'POST', changes)));
}

async function revoke({ admin, flags, word, write }: Asked): Promise<void> {
  const key = keySchema.parse(await admin(`/${encodeURIComponent(word)}`, 'DELETE'));
  if (flags.json) tellKey(write, flags, key);
  else if (!flags.quiet)
    say(
      `The key of ${keyDetails(key).split('\n', 1)[0]} is revoked for good. What it is being answered just now goes on to its end; its responses in the background fail, and its batches stop.`,
    );
}

function tellKey(write: (text: string) => void, { json }: Loaded['own'], key: KeyBody): void {
  write(json ? `${JSON.stringify(key, null, 2)}\n` : `${keyDetails(key)}\n`);
}

/** What the flags say of a key; what they do not say is left out. */
function settable(flags: Loaded['own']): object {
  const { models, rpm, tpm, concurrent, tokensPerDay, tokensPerMonth, priority, expires, logMessages } = flags;
  const limits = {
    ...limitOf('requests_per_minute', '--rpm', rpm),
    ...limitOf('tokens_per_minute', '--tpm', tpm),
    ...limitOf('concurrent_requests', '--concurrent', concurrent),
    ...limitOf('tokens_per_day', '--tokens-per-day', tokensPerDay),
    ...limitOf('tokens_per_month', '--tokens-per-month', tokensPerMonth),
  };
  return {
    ...(models !== undefined && { models: models === 'all' ? null : models.split(',').map((model) => model.trim()) }),
    ...(Object.keys(limits).length > 0 && { limits }),
    ...(priority !== undefined && { priority }),
    ...(expires !== undefined && { expires_at: expires === 'never' ? null : moment(expires) }),
    ...(logMessages !== undefined && { log_messages: logMessages }),
  };
}

function limitOf(name: string, flag: string, text: string | undefined): object {
  if (text === undefined) return {};
  if (text === 'none') return { [name]: null };
  if (/^[1-9]\d{0,12}$/.test(text)) return { [name]: Number(text) };
  throw new CommandError(`${flag} is "${text}". It takes a whole number of at least 1, or none.`);
}

function moment(text: string): number {
  const seconds = momentOf(text, Date.now());
  if (seconds !== undefined) return seconds;
  throw new CommandError(
    `--expires is "${text}". It takes a time from now such as 12h or 30d, a day such as 2027-01-01, or never.`,
  );
}

function say(sentence: string): void {
  process.stderr.write(`${sentence}\n`);
}
