import { Metadata, type ServiceError } from '@grpc/grpc-js';
import { boolean, readyzSchema, type Settings, type SettingTable } from '@millrace/contracts';
import { loadSettings } from '@millrace/runtime';
import { type Command, type CommandContext, OWN } from './command.js';
import { trustGateway } from './fetch-gateway.js';
import { gatewayUrl, hostAndPort } from './gateway-address.js';
import { answersAt } from './gateway-client.js';
import { withAdminKeyIfAny } from './gateway-keys.js';
import { readWorkerTls, workerClient } from './worker-channel.js';

const own = {
  worker: boolean({ ...OWN, default: false, why: 'Asks the worker of this machine in place of the gateway.' }),
} as const satisfies SettingTable;

export const healthCommand: Command = {
  usage: '[--worker] [settings]',
  about:
    'Asks the gateway of this machine, or its worker, whether it is ready, and says what it heard in one line. Exit status 1 if it is not. For whoever asks again and again and can run a command: Docker, Compose, a script that waits.',
  own,
  settings: ['host', 'port', 'workerHost', 'workerPort'],
  examples: ['millrace health', 'millrace health --worker --worker-port 8101'],
  run: health,
};

const ANSWER_TIMEOUT_MS = 3_000;

interface Heard {
  readonly ready: boolean;
  readonly sentence: string;
}

async function health({ args, environment, workingFolder, write }: CommandContext): Promise<number> {
  const { settings, own: flags } = loadSettings({ reader: 'cli', args, environment, workingFolder, own });
  const { ready, sentence } = await (flags.worker ? askWorker(settings) : askGateway(settings, workingFolder));
  write(`${sentence}\n`);
  return ready ? 0 : 1;
}

async function askGateway(settings: Settings, workingFolder: string): Promise<Heard> {
  trustGateway(settings);
  const url = gatewayUrl(settings);
  const response = await answersAt(url, '/readyz', withAdminKeyIfAny(settings, workingFolder));
  const body = readyzSchema.safeParse(await response?.json().catch(() => undefined));
  if (!body.success) return { ready: false, sentence: `No gateway of Millrace answers at ${url}.` };
  if (body.data.status === 'ready') return { ready: true, sentence: 'The gateway is ready.' };
  return { ready: false, sentence: `The gateway is not ready: ${body.data.reason}` };
}

const SERVING = 1;
const HEALTH_STATES = ['unknown', 'serving', 'not serving'] as const;

/** By the standard health service, which a worker has also where gateways don't send it work. Its messages are two bytes long. */
async function askWorker(settings: Settings): Promise<Heard> {
  const { workerHost, workerPort, 'workerTls.serverName': serverName } = settings;
  const address = hostAndPort(workerHost, workerPort);
  const client = workerClient(address, await readWorkerTls(settings), serverName);
  const deadline = Date.now() + ANSWER_TIMEOUT_MS;
  try {
    const state = await new Promise<number>((resolve, reject) => {
      client.makeUnaryRequest(
        '/grpc.health.v1.Health/Check',
        () => Buffer.alloc(0),
        (answer: Buffer) => answer[1] ?? 0,
        undefined,
        new Metadata(),
        { deadline },
        (error, answer) => (error ? reject(error) : resolve(answer ?? 0)),
      );
    });
    if (state === SERVING) return { ready: true, sentence: 'The worker is ready.' };
    return { ready: false, sentence: `The worker is not ready: its health is ${HEALTH_STATES[state] ?? 'unknown'}.` };
  } catch (error) {
    const { details = String(error) } = error as Partial<ServiceError>;
    return { ready: false, sentence: `No worker of Millrace answers at ${address}: ${details}` };
  } finally {
    client.close();
  }
}
