import { CommandError } from '../../command.js';
import { askGateway, RefusedError } from '../../gateway-client.js';
import { PROMPTS } from '../prompts.js';
import type { Outcome } from './ask-streamed.js';
import { drive, type LoadTarget, type Pace } from './drive.js';
import { type LoadRun, runTitle } from './load-report.js';
import type { ProgressBar } from './progress-bar.js';
import type { Scenario } from './scenarios.js';
import { Tally } from './tally.js';

export interface ScenarioPlan {
  readonly scenarios: readonly Scenario[];
  readonly paces: readonly Pace[];
  readonly requests: number;
  /** Absent: until all requests are sent. */
  readonly forMs: number;
  /** Before each measurement, and not counted. Absent: each question once, and each client at least once. */
  readonly warmUp: number | undefined;
}

/** Sessions of one measurement are numbered from a multiple of this: no two have the same long prompts. */
const SESSIONS_APART = 100_000 * PROMPTS.length;
const WARM_UP_FROM = SESSIONS_APART - 10_000 * PROMPTS.length;
const SHOW_MS = 500;
/** Where no clients are given, a warm-up has so many. */
const WARM_UP_CLIENTS = 8;

export interface Measured {
  readonly runs: readonly LoadRun[];
  /** What the server refused, and how it was asked instead: sentences. */
  readonly adapted: readonly string[];
}

/** Each scenario at each pace, one after another. Once `signal` is aborted, what was measured until then, the last run cut short. */
export async function measureScenarios(
  target: LoadTarget,
  plan: ScenarioPlan,
  progress: Pick<ProgressBar, 'begin' | 'show'>,
  signal: AbortSignal,
): Promise<Measured> {
  const runs: LoadRun[] = [];
  let adapted: string[] = [];
  try {
    adapted = await tryOnce(target, plan.scenarios[0]!, signal);
    for (const scenario of plan.scenarios) {
      for (const pace of plan.paces) {
        const firstSession = runs.length * SESSIONS_APART;
        const run = await measureRun(target, scenario, pace, firstSession, plan, progress, signal);
        if (run !== undefined) runs.push(run);
        signal.throwIfAborted();
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return { runs, adapted };
}

/** A wrong key or model would otherwise be a table of failures. Gives back in what way the server is asked otherwise. @throws CommandError */
async function tryOnce(target: LoadTarget, { messages, maxTokens }: Scenario, signal: AbortSignal): Promise<string[]> {
  const adapted: string[] = [];
  for (;;) {
    const request = { messages: messages(WARM_UP_FROM, 0, []), maxTokens, dueMs: performance.now() };
    const outcome: Outcome = await target.ask(request, signal);
    if (outcome.kind === 'answered') return adapted;
    const sentence = target.adaptTo?.(outcome); // Each only once: this ends.
    if (sentence === undefined) {
      const { code, message } = outcome;
      throw new CommandError(`The first request failed, so nothing was measured: ${code}. ${message}`.trim());
    }
    adapted.push(sentence);
  }
}

async function measureRun(
  target: LoadTarget,
  scenario: Scenario,
  pace: Pace,
  firstSession: number,
  { requests, forMs, warmUp }: ScenarioPlan,
  progress: Pick<ProgressBar, 'begin' | 'show'>,
  signal: AbortSignal,
): Promise<LoadRun | undefined> {
  const level = pace.kind === 'closed' ? { clients: pace.clients } : { perSecond: pace.perSecond };
  const title = runTitle({ scenario: scenario.name, ...level });
  progress.begin(title);
  await warm(target, scenario, pace, firstSession + WARM_UP_FROM, warmUp, signal);

  const tally = new Tally();
  const count = pace.kind === 'closed' ? Math.max(requests, pace.clients) : requests; // Nobody is left without anything to do.
  const startedMs = performance.now();
  const show = () => {
    const { answered, failed } = tally;
    const tookMs = performance.now() - startedMs;
    const part = Math.max((answered + failed) / count, tookMs / forMs);
    progress.show({ title, part, answered, failed, seconds: tookMs / 1_000 });
  };
  const timer = setInterval(show, SHOW_MS); // A server that answers nothing must not look like a bench that does nothing.
  const about = { scenario: scenario.name, maxTokens: scenario.maxTokens, ...level };
  try {
    const busyMs = await drive(target, { scenario, firstSession, requests: count, forMs, pace }, signal, (outcome) => {
      tally.take(outcome);
      show();
    });
    return { ...about, ...tally.figures(busyMs) };
  } catch (error) {
    if (!signal.aborted) throw error;
    if (tally.answered + tally.failed === 0) return undefined;
    return { ...about, ...tally.figures(performance.now() - startedMs), isCutShort: true };
  } finally {
    clearInterval(timer);
  }
}

/** What fails here is not told: if it goes on failing, it is counted below. */
async function warm(
  target: LoadTarget,
  scenario: Scenario,
  pace: Pace,
  firstSession: number,
  wanted: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  const clients = pace.kind === 'closed' ? pace.clients : WARM_UP_CLIENTS;
  const requests = wanted ?? Math.max(PROMPTS.length, clients);
  if (requests === 0) return;
  const plan = { scenario, firstSession, requests, forMs: Number.POSITIVE_INFINITY };
  await drive(target, { ...plan, pace: { kind: 'closed', clients } }, signal, () => undefined);
}

/** The first model of the server that chats. @throws CommandError */
export async function firstModel(
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<string> {
  const response = await modelsOf(url, headers, signal);
  const models = modelsIn(await response.text());
  // Only some servers say what a model can do; ours does.
  const chats = models.find(({ capabilities }) => !Array.isArray(capabilities) || capabilities.includes('chat'));
  if (typeof chats?.id === 'string') return chats.id;
  throw new CommandError(`${url}/v1/models lists no model that chats. Say which is asked with --model.`);
}

async function modelsOf(
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Response> {
  try {
    return await askGateway(url, '/v1/models', { headers, signal });
  } catch (error) {
    const isMissing = error instanceof RefusedError && [404, 405, 501].includes(error.status);
    if (!isMissing) throw error;
    throw new CommandError(
      `${url}/v1/models does not list its models (${error.status}). Say which is asked with --model.`,
    );
  }
}

function modelsIn(body: string): readonly { readonly id?: unknown; readonly capabilities?: unknown }[] {
  try {
    const { data } = Object(JSON.parse(body));
    return Array.isArray(data) ? data.map(Object) : [];
  } catch {
    return [];
  }
}
