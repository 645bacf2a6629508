import {
  boolean,
  decimal,
  flagOf,
  integer,
  list,
  optionalInteger,
  optionalText,
  type SettingTable,
} from '@millrace/contracts';
import type { LoadedSettings } from '@millrace/runtime';
import { CommandError, OWN } from '../command.js';
import { SCENARIO_NAMES } from './load/scenarios.js';

export const REQUESTS_MAX = 1_000_000;
/** Unless another number is asked for. */
export const REQUESTS = 192;

export const BENCH_FLAGS = {
  url: optionalText({
    ...OWN,
    why: 'A running gateway to measure. Absent: one is started on free ports, with the settings given, and ended afterwards.',
  }),
  scenario: list({
    ...OWN,
    default: [],
    why: `Measures what clients of any server with OpenAI’s protocol get, in place of what the gateway adds: ${SCENARIO_NAMES.join(', ')}. short, medium and long are questions and answers of such lengths; chat goes on for four turns; shared-prefix has one long system prompt for all; files asks what --prompts holds.`,
  }),
  prompts: optionalText({
    ...OWN,
    why: 'For the scenario files: a .txt file with a prompt, or a folder of such. Absent: configs/prompts.',
  }),
  rate: list({
    ...OWN,
    default: [],
    why: 'With --scenario: sends so many requests a second, level by level, whether or not others are answered, in place of --clients. Times count from when a request was due.',
  }),
  atOnceMax: integer({
    ...OWN,
    default: 1_000,
    min: 1,
    max: 100_000,
    unit: 'requests',
    why: 'With --rate: requests under way at a time. What is due beyond them is not sent, and counts as failed.',
  }),
  seconds: optionalInteger({
    ...OWN,
    min: 1,
    max: 86_400,
    unit: 'seconds',
    why: 'With --scenario: each level sends requests for so long. Absent: until --requests are sent.',
  }),
  warmUp: optionalInteger({
    ...OWN,
    min: 0,
    max: 10_000,
    unit: 'requests',
    why: 'With --scenario: requests before each level that are not counted. Absent: 12, or as many as there are clients.',
  }),
  timeoutMs: integer({
    ...OWN,
    default: 120_000,
    min: 100,
    max: 3_600_000,
    unit: 'milliseconds',
    why: 'With --scenario: how long a whole answer may take; a longer one has failed.',
  }),
  thresholds: list({
    ...OWN,
    default: [],
    why: 'With --scenario: limits that every level is held to, such as total.p95<1000,requests/s>=20,failed<0.1 (between quotes, since < means something to a shell). Figures are first, gap and total with .p50, .p95 or .p99, in ms; requests/s; tokens/s; failed, in %. Where one is missed the exit status is 2.',
  }),
  compare: list({
    ...OWN,
    default: [],
    why: 'Two files that --json wrote with --scenario, before and after: nothing is measured, and what changed is told.',
  }),
  clients: list({ ...OWN, default: ['1', '8', '32'], why: 'How many clients ask at once, level by level.' }),
  requests: optionalInteger({
    ...OWN,
    min: 1,
    max: REQUESTS_MAX,
    unit: 'requests',
    why: 'How many requests each level makes on each path. Absent: 192, and with --seconds as many as there is time for.',
  }),
  maxTokens: optionalInteger({
    ...OWN,
    min: 1,
    max: 100_000,
    unit: 'tokens',
    why: 'The longest answer. Absent: 64; in the scenarios medium and files 128, in long 256.',
  }),
  beside: optionalText({
    ...OWN,
    why: 'Another server that speaks OpenAI’s protocol and runs the same model, such as llama-server: it is asked by turns in the same run.',
  }),
  besidePid: optionalInteger({
    ...OWN,
    min: 1,
    max: 2 ** 31 - 1,
    unit: 'none',
    why: 'The other server’s process, on this machine. With it, and on Linux, tokens per second of processor time are told too: on a busy machine they vary less.',
  }),
  completion: boolean({
    ...OWN,
    default: false,
    why: 'Asks /v1/completions, with a prompt that no other request has, in place of a chat with prompts that rotate: servers can reuse nothing.',
  }),
  temperature: decimal({ ...OWN, default: 0, min: 0, max: 2, unit: 'none', why: '0 is greedy.' }),
  ignoreEos: boolean({ ...OWN, default: false, why: 'Every answer is as long as --max-tokens.' }),
  requestsPerTurn: integer({
    ...OWN,
    default: 4,
    min: 1,
    max: 10_000,
    unit: 'requests',
    why: 'How many requests each client makes on one path before the next has its turn. With one client, always 1.',
  }),
  sharedPromptTokens: optionalInteger({
    ...OWN,
    min: 16,
    max: 1_000_000,
    unit: 'tokens',
    why: 'Measures something else instead: how much sooner an answer begins when another one had the same system prompt of so many tokens. --requests is then the number of pairs of each kind.',
  }),
  json: optionalText({ ...OWN, why: 'A file that gets all figures as JSON.' }),
  markdown: boolean({ ...OWN, default: false, why: 'Prints Markdown, for docs/benchmarks.md.' }),
} as const satisfies SettingTable;

/** The longest answer, unless another is asked for. */
export const TOKENS_MAX = 64;

export type BenchSettings = LoadedSettings<typeof BENCH_FLAGS>;
export type BenchFlags = BenchSettings['own'];

/** Flags that this measurement would pass over: better said than found out from the figures. */
export function refuseContradictions(flags: BenchFlags): void {
  const given = (names: readonly (keyof BenchFlags)[]) =>
    names.filter((name) => {
      const { default: usual } = BENCH_FLAGS[name] as { default: unknown };
      return JSON.stringify(flags[name]) !== JSON.stringify(usual);
    });
  const withScenario = flags.scenario.length > 0;
  refuseIdle(flags, given);
  const idle = withScenario ? given(PATHS_ALONE) : given(SCENARIOS_ALONE);
  if (flags.compare.length === 0 && idle.length > 0) {
    const names = idle.map(flagOf).join(', ');
    throw new CommandError(
      withScenario
        ? `${names} can't go with --scenario. Leave one of them out.`
        : `${names} needs --scenario. Say which, such as --scenario short.`,
    );
  }
}

/** Flags that another one makes meaningless, or that need one. */
function refuseIdle(flags: BenchFlags, given: (names: readonly (keyof BenchFlags)[]) => (keyof BenchFlags)[]): void {
  const refuse = (names: readonly (keyof BenchFlags)[], why: string) => {
    const [idle] = given(names);
    if (idle !== undefined) throw new CommandError(`${flagOf(idle)} ${why}`);
  };
  if (flags.compare.length > 0) {
    refuse(MEASURING, "can't go with --compare, which measures nothing. Leave one of them out.");
  } else if (flags.scenario.length > 0) {
    if (flags.rate.length > 0)
      refuse(['clients'], "can't go with --rate, which waits for nobody. Leave one of them out.");
    else refuse(['atOnceMax'], 'needs --rate. Say how many requests a second, such as --rate 20.');
    if (!flags.scenario.includes('files'))
      refuse(['prompts'], 'needs --scenario files. Name it, or leave the prompts out.');
  }
}

const MEASURING = [
  'scenario',
  'rate',
  'seconds',
  'warmUp',
  'thresholds',
  'requests',
  'clients',
  'json',
  'url',
] as const;
const PATHS_ALONE = ['beside', 'besidePid', 'completion', 'sharedPromptTokens', 'requestsPerTurn'] as const;
const SCENARIOS_ALONE = ['rate', 'atOnceMax', 'seconds', 'warmUp', 'timeoutMs', 'prompts', 'thresholds'] as const;

export function requestRate(text: string): number {
  const perSecond = Number(text);
  if (perSecond >= 0.01 && perSecond <= 100_000) return perSecond;
  throw new CommandError(
    `--rate has ${JSON.stringify(text)}. Each is a number of requests a second from 0.01 to 100,000, such as 5,10,20.`,
  );
}

export function clientCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= 10_000) return count;
  throw new CommandError(
    `--clients has ${JSON.stringify(text)}. Each is a whole number from 1 to 10,000, such as 1,8,32.`,
  );
}
