import { resolve } from 'node:path';
import { type CommandContext, CommandError } from '../../command.js';
import { bearerOf } from '../../gateway-keys.js';
import {
  type BenchFlags,
  type BenchSettings,
  clientCount,
  REQUESTS,
  REQUESTS_MAX,
  requestRate,
} from '../bench-flags.js';
import { machineLineAtEnd } from '../machine.js';
import { runNumber } from '../prompts.js';
import type { Report } from '../report.js';
import type { Subject } from '../subject.js';
import { StreamedServer } from './ask-streamed.js';
import type { Pace } from './drive.js';
import { isPassed, type LoadReport, loadReportText } from './load-report.js';
import { firstModel, measureScenarios, type ScenarioPlan } from './measure-scenarios.js';
import { ProgressBar } from './progress-bar.js';
import { openScenario, type Scenario } from './scenarios.js';
import { readThreshold, type Threshold, thresholdResults } from './thresholds.js';

/** Exit statuses, told in docs/how-to/measuring.md: a threshold was missed, or nothing answered; ended by Ctrl-C, as by a signal. */
const MISSED = 2;
const STOPPED = 130;

export type PlannedLoad = Pick<ScenarioPlan, 'scenarios' | 'paces'> & { readonly thresholds: readonly Threshold[] };

/** What the flags ask for, before anything is started: a mistake in them is told at once. @throws CommandError */
export function plannedLoad(
  flags: BenchFlags,
  { environment, workingFolder }: Pick<CommandContext, 'environment' | 'workingFolder'>,
): PlannedLoad {
  const shipped = resolve(environment.MILLRACE_HOME || workingFolder, 'configs/prompts');
  const prompts = flags.prompts === undefined ? shipped : resolve(workingFolder, flags.prompts);
  return {
    scenarios: openScenarios(flags, prompts),
    paces: pacesOf(flags),
    thresholds: flags.thresholds.map(readThreshold),
  };
}

function openScenarios({ scenario: names, maxTokens }: BenchFlags, prompts: string): Scenario[] {
  const run = runNumber();
  return names
    .map((name) => openScenario(name, { prompts, run }))
    .map((scenario) => (maxTokens === undefined ? scenario : { ...scenario, maxTokens }));
}

function pacesOf({ rate, atOnceMax, clients }: BenchFlags): Pace[] {
  if (rate.length === 0) return clients.map((text) => ({ kind: 'closed', clients: clientCount(text) }));
  return rate.map((text) => ({ kind: 'open', perSecond: requestRate(text), atOnceMax }));
}

/** Asks the subject, and tells what its clients get. */
export async function reportScenarios(
  about: Pick<Report, 'command' | 'machine'>,
  subject: Subject,
  { settings, sources, own: flags }: BenchSettings,
  { scenarios, paces, thresholds }: PlannedLoad,
  columns?: number,
) {
  const { url } = subject;
  const { seconds, warmUp, temperature, ignoreEos, timeoutMs } = flags;
  const stop = new AbortController();
  subject.interrupted.catch(() => stop.abort());
  const headers = bearerOf(settings.apiKey);
  // To a server that runs, --model is the name of one of its models; to one that is started here it was what to serve.
  const named = flags.url !== undefined && sources.model === 'flag' ? settings.model : undefined;
  const model =
    named ?? (await firstModel(url, headers, AbortSignal.any([stop.signal, AbortSignal.timeout(timeoutMs)])));
  const atOnceMax = Math.max(...paces.map((pace) => (pace.kind === 'closed' ? pace.clients : pace.atOnceMax)));
  const server = new StreamedServer({ url, model, headers, temperature, ignoreEos, timeoutMs, atOnceMax });
  using progress = new ProgressBar({
    write: (text) => void process.stderr.write(text),
    isTerminal: process.stderr.isTTY === true && process.env.TERM !== 'dumb',
    columns: () => process.stderr.columns,
  });
  try {
    const requests = flags.requests ?? (seconds === undefined ? REQUESTS : REQUESTS_MAX);
    const forMs = seconds === undefined ? Number.POSITIVE_INFINITY : seconds * 1_000;
    const plan = { scenarios, paces, requests, forMs, warmUp };
    const { runs: measured, adapted } = await measureScenarios(server, plan, progress, stop.signal);
    const isCutShort = stop.signal.aborted;
    if (isCutShort && measured.length === 0) throw new CommandError('Stopped before anything was measured.');
    const runs = measured.map((run) =>
      thresholds.length === 0 ? run : { ...run, thresholds: thresholdResults(thresholds, run) },
    );
    const address = new URL(url).origin;
    const report: LoadReport = {
      report: 'millrace load',
      ...about,
      machine: machineLineAtEnd(about.machine),
      url: address,
      model,
      temperature,
      ...(adapted.length > 0 && { adapted }),
      ...(isCutShort && { isCutShort }),
      runs,
    };
    const status = isCutShort ? STOPPED : isPassed(report) ? 0 : MISSED;
    return { text: loadReportText(report, flags.markdown, columns), figures: report, status };
  } finally {
    server.close();
  }
}
