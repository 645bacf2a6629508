import { Metadata, type ServiceError } from '@grpc/grpc-js';
import {
  type HealthBody,
  healthSchema,
  PROTOCOL_VERSION,
  type ReadyzBody,
  readyzSchema,
  type Settings,
} from '@millrace/contracts';
import type { WorkerDescription } from '@millrace/contracts/protocol';
import { TlsProblem, unreachableWorker, workerTlsFailure } from '@millrace/runtime';
import { trustGateway } from '../fetch-gateway.js';
import { gatewayUrl } from '../gateway-address.js';
import { answersAt } from '../gateway-client.js';
import { withAdminKeyIfAny } from '../gateway-keys.js';
import { portProblem, probePort } from '../port-probe.js';
import { readWorkerTls, type WorkerTlsSettings, workerClient } from '../worker-channel.js';
import { checkStores } from './check-stores.js';
import { type Finding, fine, wrong } from './finding.js';

/** With `metricsNeedAdminKey`, whoever has not that key hears no more than whether it is ready. */
interface Gateway {
  readonly ready: ReadyzBody;
  readonly health?: HealthBody;
}

/** The gateway's port, what it keeps things in, and the workers: as a running gateway tells, else as the settings have it. */
export async function checkNetwork(settings: Settings, workingFolder: string): Promise<Finding[]> {
  trustGateway(settings);
  const gateway = await runningGateway(gatewayUrl(settings), withAdminKeyIfAny(settings, workingFolder));
  const health = gateway?.health;
  const [providers, workers] = partitioned(health?.workers ?? []);
  const addresses = health === undefined ? settings.workers : workers.map(({ address }) => address);
  return [
    gateway === undefined ? await checkPort(settings) : checkGateway(settings, gateway),
    ...(await checkStores(settings, health?.ready)),
    ...(await Promise.all(addresses.map((address) => checkWorker(address, settings, health !== undefined)))),
    ...providers.flatMap((provider) => checkProviderOf(provider)),
  ];
}

type HealthWorker = HealthBody['workers'][number];

/** The gateway's providers, which have no address to ask at, and the others. */
function partitioned(workers: readonly HealthWorker[]): readonly [readonly HealthWorker[], readonly HealthWorker[]] {
  const isProvider = ({ address }: HealthWorker) => address.startsWith('provider:');
  return [workers.filter(isProvider), workers.filter((worker) => !isProvider(worker))];
}

/** Whether it can be used was looked at before; the gateway may see that otherwise, with another environment. */
function checkProviderOf({ address, state, detail }: HealthWorker): Finding[] {
  if (state !== 'lost') return [];
  return [wrong(address, `is lost to the gateway: ${detail}`, 'The gateway goes on asking it by itself.')];
}

async function runningGateway(url: string, headers: Record<string, string>): Promise<Gateway | undefined> {
  const health = healthSchema.safeParse(await bodyOf(url, '/health', headers));
  if (health.success) return { ready: health.data.ready, health: health.data };
  const ready = readyzSchema.safeParse(await bodyOf(url, '/readyz'));
  return ready.success ? { ready: ready.data } : undefined;
}

async function bodyOf(url: string, path: string, headers: Record<string, string> = {}): Promise<unknown> {
  const response = await answersAt(url, path, headers);
  return response?.json().catch(() => undefined);
}

async function checkPort({ host, port }: Settings): Promise<Finding> {
  if (port === 0) return fine('port', 'any free one is taken');
  const state = await probePort(host, port);
  const problem = portProblem(host, port, state);
  if (problem === undefined) return fine('port', `${port} of ${host} is free`);
  const [detail, ...remedy] = problem.split(/(?<=\.) /);
  return wrong('port', detail!, remedy.join(' '));
}

function checkGateway(settings: Settings, { ready, health }: Gateway): Finding {
  const about = `Millrace${health === undefined ? '' : ` ${health.version}`} runs at ${gatewayUrl(settings)}`;
  if (ready.status !== 'ready') {
    return wrong('gateway', `${about}, but is not ready: ${ready.reason}`, 'See the lines below, and its log.');
  }
  return fine('gateway', `${about} and is ready${health ? '' : '; it tells more only with the admin key'}`);
}

async function checkWorker(address: string, settings: Settings, isNeeded: boolean): Promise<Finding> {
  const about = `worker ${address}`;
  try {
    const worker = await describeWorker(address, settings.workerConnectTimeoutMs, settings);
    if (worker.protocolVersion !== PROTOCOL_VERSION) {
      const detail = `speaks version ${worker.protocolVersion} of the protocol, and this Millrace ${PROTOCOL_VERSION}.`;
      return wrong(about, detail, 'Run the same release of Millrace on both sides.');
    }
    const models = worker.models.map(({ id }) => id).join(', ') || 'no model yet';
    const detail = `${worker.state}: ${models}${worker.detail === '' ? '' : ` (${worker.detail})`}`;
    // A worker that is ready has something to say only where a model beside the chosen one is missing.
    const isFine = worker.state === 'loading' || (worker.state === 'ready' && worker.detail === '');
    return isFine ? fine(about, detail) : wrong(about, detail, 'See its log.');
  } catch (error) {
    if (error instanceof TlsProblem) return wrong(about, error.message, 'See docs/how-to/tls.md.');
    const details = (error as ServiceError).details ?? String(error);
    const untrusted = workerTlsFailure(details, await ageOf(settings));
    if (untrusted !== undefined) return wrong(about, `can't be asked: ${untrusted}.`, 'See docs/how-to/tls.md.');
    if (!isNeeded) return fine(about, 'not running: fine before `make run`');
    return wrong(
      about,
      `does not answer: ${unreachableWorker(details) ?? details}.`,
      'Start it, or correct `workers`.',
    );
  }
}

export async function describeWorker(
  address: string,
  timeoutMs: number,
  settings: WorkerTlsSettings,
): Promise<WorkerDescription> {
  const client = workerClient(address, await readWorkerTls(settings), settings['workerTls.serverName']);
  return new Promise<WorkerDescription>((resolve, reject) => {
    client.describe({}, new Metadata(), { deadline: Date.now() + timeoutMs }, (error, answer) => {
      if (error) reject(error);
      else resolve(answer);
    });
  }).finally(() => client.close());
}

async function ageOf(settings: WorkerTlsSettings): Promise<{ readonly secondsLeft: number } | undefined> {
  const tls = await readWorkerTls(settings);
  return tls && { secondsLeft: (tls.notAfterMs - Date.now()) / 1_000 };
}
