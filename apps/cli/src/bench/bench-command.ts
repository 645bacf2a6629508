import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  boolean,
  decimal,
  healthSchema,
  integer,
  list,
  optionalInteger,
  optionalText,
  type Settings,
  type SettingTable,
} from '@millrace/contracts';
import { type LoadedSettings, loadSettings } from '@millrace/runtime';
import { describeWorker } from '../check/check-network.js';
import { type Command, type CommandContext, CommandError, OWN } from '../command.js';
import { askGateway } from '../gateway-client.js';
import { bearerOf } from '../gateway-keys.js';
import { readWorkerTls, type WorkerTlsSettings, workerClient } from '../worker-channel.js';
import { HttpTarget } from './http-target.js';
import { cpuSeconds, machineLine } from './machine.js';
import { type CpuClocks, type LevelFigures, measureLevel } from './measure.js';
import { measureReuse } from './measure-reuse.js';
import { markdownReport, type Report, reuseReport, textReport } from './report.js';
import { openSubject, type Subject, temporaryFolder } from './subject.js';
import { WorkerTarget } from './worker-target.js';

const own = {
  url: optionalText({
    ...OWN,
    why: 'A running gateway to measure. Absent: one is started on free ports, with the settings given, and ended afterwards.',
  }),
  clients: list({ ...OWN, default: ['1', '8', '32'], why: 'How many clients ask at once, level by level.' }),
  requests: integer({
    ...OWN,
    default: 192,
    min: 1,
    max: 1_000_000,
    unit: 'requests',
    why: 'How many requests each level makes on each path.',
  }),
  maxTokens: integer({ ...OWN, default: 64, min: 1, max: 100_000, unit: 'tokens', why: 'The longest answer.' }),
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

export const benchCommand: Command = {
  usage: '[--clients 1,8,32] [--requests N] [--url URL] [--beside URL] [--json FILE] [--markdown] [settings]',
  about:
    'Asks a gateway and, by turns in the same run, its worker directly. Prints throughput, time to first token and total time of both, their difference (what the gateway adds: HTTP, validation, admission, routing), and one gRPC round trip, which both contain. Greedy unless told otherwise, with prompts that rotate, after a warm-up.',
  own,
  settings: ['model', 'context', 'maxBatchSize', 'threads', 'maxConcurrentRequests'],
  examples: [
    'millrace bench',
    'millrace bench --url http://127.0.0.1:8000 --clients 1 --requests 500 --markdown',
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
  const loaded = loadSettings({ reader: 'serve', args, environment, workingFolder, own });
  const levels = loaded.own.clients.map(clientCount);

  const machine = machineLine();
  await using subject = await openSubject(loaded, loaded.own.url);
  await using targets = await openTargets(subject, loaded.own.beside, Math.max(...levels), loaded.settings);
  const about = { command: ['millrace bench', ...context.args].join(' '), machine, model: targets.model };
  const report = await Promise.race([
    loaded.own.sharedPromptTokens === undefined
      ? reportLoad(about, subject, targets, levels, loaded.own)
      : reportReuse(about, targets, loaded.own.sharedPromptTokens, loaded.own),
    subject.interrupted,
  ]);
  context.write(`${report.text}\n`);
  if (loaded.own.json !== undefined) {
    writeFileSync(resolve(workingFolder, loaded.own.json), `${JSON.stringify(report.figures, null, 2)}\n`);
  }
  return 0;
}

type About = Pick<Report, 'command' | 'machine' | 'model'>;
type Own = LoadedSettings<typeof own>['own'];
type OpenTargets = Awaited<ReturnType<typeof openTargets>>;

async function reportLoad(about: About, subject: Subject, targets: OpenTargets, levels: number[], flags: Own) {
  const { requests, requestsPerTurn, maxTokens, temperature, completion, ignoreEos, beside } = flags;
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
    requests,
    maxTokens,
    temperature,
    beside,
    levels: figures,
    grpcRoundTripMs,
    gatewayMemoryMib: idle === undefined || afterLoad === undefined ? undefined : { idle, afterLoad },
  };
  return { text: flags.markdown ? markdownReport(report) : textReport(report), figures: report };
}

function clocksOf({ workerPid, gatewayPid }: Subject, besidePid: number | undefined): CpuClocks {
  return {
    worker: () => cpuSeconds([workerPid()]),
    gateway: () => cpuSeconds([gatewayPid(), workerPid()]),
    beside: () => cpuSeconds([besidePid]),
  };
}

async function reportReuse(about: About, { gateway }: OpenTargets, sharedTokens: number, flags: Own) {
  const run = (Date.now() % 100_000) * 1_000;
  const { requests: repetitions, maxTokens } = flags;
  const report = { ...about, figures: await measureReuse(gateway, { sharedTokens, repetitions, maxTokens, run }) };
  return { text: reuseReport(report, flags.markdown), figures: report };
}

function clientCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= 10_000) return count;
  throw new CommandError(
    `--clients has ${JSON.stringify(text)}. Each is a whole number from 1 to 10,000, such as 1,8,32.`,
  );
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
