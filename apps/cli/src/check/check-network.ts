import { credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import {
  type HealthBody,
  healthSchema,
  PROTOCOL_VERSION,
  type ReadyzBody,
  readyzSchema,
  type Settings,
} from '@millrace/contracts';
import { InferenceClient, type WorkerDescription } from '@millrace/contracts/protocol';
import { gatewayUrl } from '../gateway-address.js';
import { answersAt } from '../gateway-client.js';
import { withAdminKeyIfAny } from '../gateway-keys.js';
import { portProblem, probePort } from '../port-probe.js';
import { checkStores } from './check-stores.js';
import { type Finding, fine, wrong } from './finding.js';

/** What a gateway tells of itself; where `/health` is closed to us, `/readyz` is not. */
type Gateway = { readonly ready: ReadyzBody } & Partial<Pick<HealthBody, 'version' | 'workers'>>;

/** The gateway's port, what it keeps things in, and the workers: those of a running gateway, else those of the settings. */
export async function checkNetwork(settings: Settings, workingFolder: string): Promise<Finding[]> {
  const gateway = await runningGateway(gatewayUrl(settings), withAdminKeyIfAny(settings, workingFolder));
  const addresses = gateway?.workers?.map(({ address }) => address) ?? settings.workers;
  return [
    gateway === undefined ? await checkPort(settings) : checkGateway(settings, gateway),
    ...(await checkStores(settings, gateway?.ready)),
    ...(await Promise.all(
      addresses.map((address) => checkWorker(address, settings.workerConnectTimeoutMs, gateway !== undefined)),
    )),
  ];
}

async function runningGateway(url: string, headers: Record<string, string>): Promise<Gateway | undefined> {
  const health = healthSchema.safeParse(await bodyOf(url, '/health', headers));
  if (health.success) return health.data;
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

function checkGateway(settings: Settings, { ready, version }: Gateway): Finding {
  const about = `Millrace${version === undefined ? '' : ` ${version}`} runs at ${gatewayUrl(settings)}`;
  if (ready.status === 'ready') return fine('gateway', `${about} and is ready`);
  return wrong('gateway', `${about}, but is not ready: ${ready.reason}`, 'See the lines below, and its log.');
}

async function checkWorker(address: string, timeoutMs: number, isNeeded: boolean): Promise<Finding> {
  const about = `worker ${address}`;
  try {
    const worker = await describeWorker(address, timeoutMs);
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
    const reason = (error as ServiceError).details ?? String(error);
    if (!isNeeded) return fine(about, 'not running: fine before `make run`');
    return wrong(about, `does not answer: ${reason}`, 'Start it, or correct `workers`.');
  }
}

export function describeWorker(address: string, timeoutMs: number): Promise<WorkerDescription> {
  const client = new InferenceClient(address, credentials.createInsecure());
  return new Promise<WorkerDescription>((resolve, reject) => {
    client.describe({}, new Metadata(), { deadline: Date.now() + timeoutMs }, (error, answer) => {
      if (error) reject(error);
      else resolve(answer);
    });
  }).finally(() => client.close());
}
