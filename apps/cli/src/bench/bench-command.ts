import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { boolean, healthSchema, integer, list, optionalText, type SettingTable } from '@millrace/contracts';
import { createLogger, type LoadedSettings, loadSettings, terminationRequested } from '@millrace/runtime';
import { describeWorker } from '../check/check-network.js';
import { type Command, type CommandContext, CommandError, OWN } from '../command.js';
import { urlOfGateway } from '../gateway-address.js';
import { askGateway } from '../gateway-client.js';
import { Service } from '../serve/service.js';
import { GatewayTarget } from './gateway-target.js';
import { machineLine, residentMib } from './machine.js';
import { type LevelFigures, measureLevel } from './measure.js';
import { markdownReport, type Report, textReport } from './report.js';
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
  json: optionalText({ ...OWN, why: 'A file that gets all figures as JSON.' }),
  markdown: boolean({ ...OWN, default: false, why: 'Prints Markdown, for docs/benchmarks.md.' }),
} as const satisfies SettingTable;

export const benchCommand: Command = {
  usage: '[--clients 1,8,32] [--requests N] [--url URL] [--json FILE] [--markdown] [settings]',
  about:
    'Asks a gateway and, by turns in the same run, its worker directly. Prints throughput, time to first token and total time of both, their difference (what the gateway adds: HTTP, validation, admission, routing), and one gRPC round trip, which both contain. Greedy, with prompts that rotate, after a warm-up.',
  own,
  settings: ['model', 'context', 'maxBatchSize', 'threads', 'maxConcurrentRequests'],
  examples: ['millrace bench', 'millrace bench --url http://127.0.0.1:8000 --clients 1 --requests 500 --markdown'],
  run: bench,
};

/** A process that has just started still grows and collects; its idle memory is what remains after this. */
const IDLE_AFTER_MS = 3_000;

async function bench(context: CommandContext): Promise<number> {
  const { environment, workingFolder } = context;
  const args = [...context.args, '--port=0', '--worker-port=0']; // Only for a service of its own; the last one counts.
  const loaded = loadSettings({ reader: 'serve', args, environment, workingFolder, own });
  const levels = loaded.own.clients.map(clientCount);

  const machine = machineLine();
  await using subject = await openSubject(loaded);
  await using targets = await openTargets(subject, Math.max(...levels));
  const idle = await subject.idleMemoryMib();
  const grpcRoundTripMs = await targets.worker?.roundTripMs();

  const figures: LevelFigures[] = [];
  const { requests, maxTokens } = loaded.own;
  for (const clients of levels) {
    process.stderr.write(`measuring ${clients} ${clients === 1 ? 'client' : 'clients'}…\n`);
    const count = Math.max(requests, clients); // Fewer would leave clients without anything to do.
    figures.push(
      await Promise.race([measureLevel(targets, { clients, requests: count, maxTokens }), subject.interrupted]),
    );
  }

  const afterLoad = await subject.idleMemoryMib();
  const report: Report = {
    command: ['millrace bench', ...context.args].join(' '),
    machine,
    model: targets.model,
    requests,
    maxTokens,
    levels: figures,
    grpcRoundTripMs,
    gatewayMemoryMib: idle === undefined || afterLoad === undefined ? undefined : { idle, afterLoad },
  };
  context.write(`${loaded.own.markdown ? markdownReport(report) : textReport(report)}\n`);
  if (loaded.own.json !== undefined) {
    writeFileSync(resolve(workingFolder, loaded.own.json), `${JSON.stringify(report, null, 2)}\n`);
  }
  return 0;
}

function clientCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= 10_000) return count;
  throw new CommandError(
    `--clients has ${JSON.stringify(text)}. Each is a whole number from 1 to 10,000, such as 1,8,32.`,
  );
}

/** What is measured: a gateway that runs, or one of our own. */
interface Subject extends AsyncDisposable {
  readonly url: string;
  readonly idleMemoryMib: () => Promise<number | undefined>;
  /** Rejects when the user wants no more. */
  readonly interrupted: Promise<never>;
}

async function openSubject(loaded: LoadedSettings<typeof own>): Promise<Subject> {
  const interrupted = terminationRequested().then(() => {
    throw new CommandError('Stopped.');
  });
  interrupted.catch(() => undefined);
  if (loaded.own.url !== undefined) {
    return {
      url: urlOfGateway(loaded.own.url),
      idleMemoryMib: async () => undefined,
      interrupted,
      [Symbol.asyncDispose]: async () => undefined,
    };
  }
  const logger = createLogger({ name: 'bench', level: 'warn', format: 'text' });
  const service = new Service({ loaded, logger, quiet: true });
  process.once('exit', () => service.kill());
  try {
    const { url } = await Promise.race([service.start(), interrupted]);
    return {
      url,
      idleMemoryMib: async () => {
        await sleep(IDLE_AFTER_MS);
        return service.gatewayPid === undefined ? undefined : residentMib(service.gatewayPid);
      },
      interrupted,
      [Symbol.asyncDispose]: () => service.stop(),
    };
  } catch (error) {
    await service.stop();
    throw error;
  }
}

async function openTargets({ url }: Subject, clientsMax: number) {
  const response = await askGateway(url, '/health');
  const { workers } = healthSchema.parse(await response.json());
  const worker = workers.find(({ state }) => state === 'ready');
  if (worker === undefined) throw new CommandError(`The gateway at ${url} has no worker that is ready.`);
  const gateway = new GatewayTarget(url, clientsMax);
  const model = worker.models[0] ?? 'unknown';
  const direct = await reachableWorker(worker.address, model);
  return {
    gateway,
    worker: direct,
    model,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([gateway.close(), direct?.close()]);
    },
  };
}

async function reachableWorker(address: string, model: string): Promise<WorkerTarget | undefined> {
  try {
    await describeWorker(address, 2_000);
    return new WorkerTarget(address, model);
  } catch {
    process.stderr.write(
      `The worker at ${address} cannot be reached from here: what the gateway adds is not measured.\n`,
    );
    return undefined;
  }
}
