import { accessSync, constants, statSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { healthSchema, type Settings } from '@millrace/contracts';
import { loadSettings } from '@millrace/runtime';
import { describeWorker } from '../check/check-network.js';
import { type Command, type CommandContext, CommandError } from '../command.js';
import { askGateway } from '../gateway-client.js';
import { bearerOf } from '../gateway-keys.js';
import { readWorkerTls, type WorkerTlsSettings, workerClient } from '../worker-channel.js';
import {
  BENCH_FLAGS,
  type BenchFlags,
  type BenchSettings,
  clientCount,
  REQUESTS,
  refuseContradictions,
  TOKENS_MAX,
} from './bench-flags.js';
import { commandLine } from './command-line.js';
import { HttpTarget } from './http-target.js';
import { comparison } from './load/compare-reports.js';
import { plannedLoad, reportScenarios } from './load/report-scenarios.js';
import { cpuSeconds, machineLine, machineLineAtEnd } from './machine.js';
import { type CpuClocks, type LevelFigures, measureLevel } from './measure.js';
import { measureReuse } from './measure-reuse.js';
import { runNumber } from './prompts.js';
import { markdownReport, type Report, reuseReport, textReport } from './report.js';
import { openSubject, type Subject, temporaryFolder } from './subject.js';
import { WorkerTarget } from './worker-target.js';

export const benchCommand: Command = {
  usage:
    '[--scenario short,chat] [--clients 1,8,32 | --rate 20] [--requests N] [--thresholds LIMITS] [--url URL] [--compare A,B] [--beside URL] [--json FILE] [--markdown] [settings]',
  about:
    'Asks a gateway and, by turns in the same run, its worker directly. Prints throughput, time to first token and total time of both, their difference (what the gateway adds: HTTP, validation, admission, routing), and one gRPC round trip, which both contain. Greedy unless told otherwise, with prompts that rotate, after a warm-up. With --scenario it asks any server that speaks OpenAI’s protocol, and tells what its clients get: times to the first token, between tokens and in all, throughput, and what failed.',
  own: BENCH_FLAGS,
  settings: ['model', 'context', 'maxBatchSize', 'threads', 'maxConcurrentRequests'],
  examples: [
    'millrace bench',
    'millrace bench --url http://127.0.0.1:8000 --clients 1 --requests 500 --markdown',
    'millrace bench --scenario short,long --clients 32 --requests 1000 --json before.json',
    'millrace bench --scenario chat --rate 5,10,20 --seconds 60 --url http://127.0.0.1:8000',
    "millrace bench --scenario short --clients 32 --requests 1000 --thresholds 'total.p95<1000,requests/s>=20,failed<0.1'",
    'millrace bench --compare before.json,after.json',
    'millrace bench --shared-prompt-tokens 1500 --requests 5 --max-tokens 32',
    'millrace bench --model ./any.gguf --beside http://127.0.0.1:8080 --clients 32 --completion --ignore-eos',
  ],
  run: bench,
};

async function bench(context: CommandContext): Promise<number> {
  const { environment, workingFolder } = context;
  // Only for a service of its own, which leaves alone what another one keeps; the last one counts.
  await using folder = temporaryFolder();
  const args = [...context.args, '--port=0', '--worker-port=0', `--data-folder=${folder.path}`];
  const loaded = loadSettings({ reader: 'serve', args, environment, workingFolder, own: BENCH_FLAGS });
  const flags = loaded.own;
  refuseContradictions(flags);
  if (flags.compare.length > 0) {
    context.write(`${comparison(flags, workingFolder)}\n`);
    return 0;
  }
  const levels = flags.clients.map(clientCount);
  const load = plannedLoad(flags, context);

  const json = flags.json === undefined ? undefined : writableFile(flags.json, workingFolder);
  const command = commandLine(context.args);
  const machine = machineLine();
  await using subject = await openSubject(loaded, flags.url);
  const report =
    load.scenarios.length > 0
      ? await reportScenarios(
          { command, machine },
          subject,
          loaded,
          load,
          context.isTerminal ? process.stdout.columns : undefined,
        )
      : await reportPaths({ command, machine }, subject, loaded, levels);
  // First: whoever reads the text may leave before its end.
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(report.figures, null, 2)}\n`);
  context.write(`${report.text}\n`);
  return report.status;
}

/** Found out before the measurement and not after it. @throws CommandError */
function writableFile(named: string, workingFolder: string): string {
  const path = resolve(workingFolder, named);
  try {
    const known = statSync(path, { throwIfNoEntry: false });
    if (known?.isDirectory())
      throw new CommandError(`${path} (--json) is a folder. Name a file in it, such as ${path}/report.json.`);
    accessSync(known === undefined ? dirname(path) : path, constants.W_OK);
    return path;
  } catch (error) {
    if (error instanceof CommandError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new CommandError(`${path} (--json) can't be written (${code}). Make its folder, or name another file.`);
  }
}

async function reportPaths(
  about: Pick<Report, 'command' | 'machine'>,
  subject: Subject,
  { settings, own: flags }: BenchSettings,
  levels: number[],
) {
  await using targets = await openTargets(subject, flags.beside, Math.max(...levels), settings);
  const aboutModel = { ...about, model: targets.model };
  return await Promise.race([
    flags.sharedPromptTokens === undefined
      ? reportLoad(aboutModel, subject, targets, levels, flags)
      : reportReuse(aboutModel, targets, flags.sharedPromptTokens, flags),
    subject.interrupted,
  ]);
}

type About = Pick<Report, 'command' | 'machine' | 'model'>;
type OpenTargets = Awaited<ReturnType<typeof openTargets>>;

async function reportLoad(about: About, subject: Subject, targets: OpenTargets, levels: number[], flags: BenchFlags) {
  const {
    requests = REQUESTS,
    requestsPerTurn,
    maxTokens = TOKENS_MAX,
    temperature,
    completion,
    ignoreEos,
    beside,
  } = flags;
  const idle = await subject.idleMemoryMib();
  const grpcRoundTripMs = await targets.worker?.roundTripMs();
  const request = { maxTokens, temperature, completion, ignoreEos };
  const clocks = clocksOf(subject, flags.besidePid);

  const figures: LevelFigures[] = [];
  for (const clients of levels) {
    process.stderr.write(`measuring ${clients} ${clients === 1 ? 'client' : 'clients'}…\n`);
    const count = Math.max(requests, clients); // Fewer would leave clients without anything to do.
    figures.push(await measureLevel(targets, { clients, requests: count, requestsPerTurn, request }, clocks));
  }

  const afterLoad = await subject.idleMemoryMib();
  const report: Report = {
    ...about,
    machine: machineLineAtEnd(about.machine),
    requests,
    maxTokens,
    temperature,
    beside,
    levels: figures,
    grpcRoundTripMs,
    gatewayMemoryMib: idle === undefined || afterLoad === undefined ? undefined : { idle, afterLoad },
  };
  return { text: flags.markdown ? markdownReport(report) : textReport(report), figures: report, status: 0 };
}

function clocksOf({ workerPid, gatewayPid }: Subject, besidePid: number | undefined): CpuClocks {
  return {
    worker: () => cpuSeconds([workerPid()]),
    gateway: () => cpuSeconds([gatewayPid(), workerPid()]),
    beside: () => cpuSeconds([besidePid]),
  };
}

async function reportReuse(about: About, { gateway }: OpenTargets, sharedTokens: number, flags: BenchFlags) {
  const run = runNumber();
  const { requests: repetitions = REQUESTS, maxTokens = TOKENS_MAX } = flags;
  const report = { ...about, figures: await measureReuse(gateway, { sharedTokens, repetitions, maxTokens, run }) };
  return { text: reuseReport(report, flags.markdown), figures: report, status: 0 };
}

async function openTargets(
  { url }: Subject,
  besideUrl: string | undefined,
  clientsMax: number,
  settings: Pick<Settings, 'apiKey' | 'adminKey'> & WorkerTlsSettings,
) {
  const response = await askGateway(url, '/health', { headers: bearerOf(settings.adminKey) });
  const { workers } = healthSchema.parse(await response.json());
  const worker = workers.find(({ state }) => state === 'ready');
  if (worker === undefined) throw new CommandError(`The gateway at ${url} has no worker that is ready.`);
  const model = worker.models[0] ?? 'unknown';
  const gateway = new HttpTarget({ url, clientsMax, keepAlive: true, headers: bearerOf(settings.apiKey) });
  const beside =
    besideUrl === undefined ? undefined : new HttpTarget({ url: besideUrl, clientsMax, model, keepAlive: false });
  const direct = await reachableWorker(worker.address, model, settings);
  return {
    gateway,
    worker: direct,
    beside,
    model,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([gateway.close(), direct?.close(), beside?.close()]);
    },
  };
}

async function reachableWorker(
  address: string,
  model: string,
  settings: WorkerTlsSettings,
): Promise<WorkerTarget | undefined> {
  try {
    await describeWorker(address, 2_000, settings);
    const client = workerClient(address, await readWorkerTls(settings), settings['workerTls.serverName']);
    return new WorkerTarget(client, model);
  } catch {
    process.stderr.write(
      `The worker at ${address} cannot be reached from here: what the gateway adds is not measured.\n`,
    );
    return undefined;
  }
}
