import { setTimeout as sleep } from 'node:timers/promises';
import { decimal, list, optionalInteger, optionalText, type SettingTable } from '@millrace/contracts';
import { loadSettings, terminationRequested } from '@millrace/runtime';
import { type Command, type CommandContext, CommandError, OWN } from '../command.js';
import { trustGateway } from '../fetch-gateway.js';
import { gatewayUrl, urlOfGateway } from '../gateway-address.js';
import { bearerOf, withAdminKeyIfAny } from '../gateway-keys.js';
import { History } from './history.js';
import { readFigures } from './read-figures.js';
import type { Reading } from './reading.js';
import { plainLine, type ScreenText } from './screen.js';
import { TerminalScreen } from './terminal-screen.js';

const own = {
  url: optionalText({ ...OWN, why: 'The gateway, such as http://10.0.0.5:8000. Absent: `host` and `port`.' }),
  every: decimal({ ...OWN, default: 2, min: 0.1, max: 3_600, unit: 'seconds', why: 'How often it looks.' }),
  count: optionalInteger({
    ...OWN,
    min: 1,
    max: 1_000_000,
    unit: 'none',
    why: 'Ends after it has told so many times what happened. Absent: goes on until q or Ctrl-C.',
  }),
  workerMetrics: list({
    ...OWN,
    default: [],
    why: 'Addresses where workers serve their own metrics (`workerMetricsPort`), such as http://10.0.0.7:9100: with them batches and steps are shown, too.',
  }),
} as const satisfies SettingTable;

export const topCommand: Command = {
  usage: '[--url URL] [--every SECONDS] [--count N] [--worker-metrics URL,…]',
  about:
    'Shows what a running gateway is doing: requests and tokens a second, percentiles of latency over the last minute, who runs and who waits, its workers and models. Where the output is no terminal it writes a line each time. It reads /metrics and /health, with the admin key where there is one.',
  own,
  settings: ['host', 'port', 'dataFolder', 'adminKey'],
  examples: [
    'millrace top',
    'millrace top --url http://10.0.0.5:8000 --worker-metrics http://10.0.0.7:9100',
    'millrace top --every 10 | tee watched.log',
  ],
  run: top,
};

const ANSWER_TIMEOUT_MS = 5_000;
const WINDOW_MS = 60_000;

async function top(context: CommandContext): Promise<number> {
  const { args, environment, workingFolder, write, isTerminal } = context;
  const { settings, own: flags } = loadSettings({ reader: 'cli', args, environment, workingFolder, own });
  trustGateway(settings);
  const url = flags.url === undefined ? gatewayUrl(settings) : urlOfGateway(flags.url);
  // A gateway that was named is given the key that was named, and not that of this machine's.
  const headers = flags.url === undefined ? withAdminKeyIfAny(settings, workingFolder) : bearerOf(settings.adminKey);
  const watched = { url, headers, workers: flags.workerMetrics.map(metricsAddress), timeoutMs: ANSWER_TIMEOUT_MS };

  const stop = new AbortController();
  const { signal } = stop;
  // If nobody answers at first, there is nothing to show yet, and most often the address is wrong.
  const history = new History(WINDOW_MS);
  void terminationRequested().then(() => stop.abort());
  try {
    history.add(await readFigures(watched, signal));
    using screen =
      isTerminal && environment.TERM !== 'dumb' ? new TerminalScreen(write, () => stop.abort()) : undefined;
    const show = (text: Omit<ScreenText, 'url'>) =>
      screen === undefined ? write(`${plainLine(text)}\n`) : screen.show({ ...text, url });
    screen?.show({ history, url, clock: clockText(), trouble: undefined });
    for (let told = 0; told < (flags.count ?? Number.POSITIVE_INFINITY); told++) {
      await sleep(flags.every * 1_000, undefined, { signal });
      const trouble = await look(() => readFigures(watched, signal), history);
      show({ history, clock: screen === undefined ? timeText() : clockText(), trouble });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return 0;
}

/** A gateway that is away for a while comes back: that is no reason to end. Gives back what is wrong. */
async function look(read: () => Promise<Reading>, history: History): Promise<string | undefined> {
  try {
    history.add(await read());
    return undefined;
  } catch (error) {
    if (error instanceof CommandError) return error.message;
    throw error;
  }
}

function metricsAddress(url: string): string {
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? '')) {
    throw new CommandError(
      `--worker-metrics has ${JSON.stringify(url)}, which is no address. Write one such as http://10.0.0.7:9100.`,
    );
  }
  return url.replace(/\/+$/, '').replace(/\/metrics$/, '');
}

/** Of a log that may be days long. */
function timeText(): string {
  const now = new Date();
  const [year, ...others] = [now.getFullYear(), now.getMonth() + 1, now.getDate()];
  return `${[year, ...others.map((part) => String(part).padStart(2, '0'))].join('-')}T${clockText()}`;
}

function clockText(): string {
  return new Date().toTimeString().slice(0, 8);
}
