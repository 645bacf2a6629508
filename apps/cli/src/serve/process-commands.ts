import { MIGRATE_FLAGS, type SettingTable } from '@millrace/contracts';
import { type Command, type CommandContext, CommandError } from '../command.js';
import { programs } from './programs.js';

const own = {} as const satisfies SettingTable;

/** `millrace gateway` and `millrace worker`: one of the two that `serve` starts, for machines of their own. */
export const gatewayCommand: Command = {
  usage: '--workers HOST:PORT,… [settings]',
  about:
    'Runs a gateway (the OpenAI API) alone, for workers that run elsewhere: those in `workers`, or those that `workerDiscovery` finds. Nothing starts it again when it dies; systemd, Kubernetes or the like does. SIGTERM lets running answers finish.',
  own,
  settings: 'gateway',
  examples: [
    'millrace gateway --workers 10.0.0.11:8100,10.0.0.12:8100 --host 0.0.0.0',
    'millrace gateway --worker-discovery redis --redis-url redis://10.0.0.5:6379/0',
  ],
  run: (context) => become('gateway', context),
};

export const workerCommand: Command = {
  usage: '[settings]',
  about:
    'Runs a worker (the engine) alone, for gateways that run elsewhere. They reach it where `workerHost` lets them. Nothing starts it again when it dies; systemd, Kubernetes or the like does. SIGTERM lets running answers finish, and hands the rest back.',
  own,
  settings: 'worker',
  examples: [
    'millrace worker --worker-host 10.0.0.11',
    'millrace worker --worker-host 10.0.0.11 --model ./any.gguf --model-id mine',
  ],
  run: (context) => become('worker', context),
};

/** What the first gateway of a new version would do; apart, for those who want it done, and seen to be done, before one starts. */
export const migrateCommand: Command = {
  usage: '[--check] [--timeout-ms MS] [settings]',
  about:
    'Sets up the tables of the Postgres in `postgresUrl`, as a gateway does at its start, and ends. Any number may run at once. For whoever wants that done before the first gateway of a new version starts, as a Job of Kubernetes does.',
  own: MIGRATE_FLAGS,
  settings: [
    'postgresUrl',
    'sqlTimeoutMs',
    'postgresTls.caFile',
    'postgresTls.certFile',
    'postgresTls.keyFile',
    'logLevel',
    'logFormat',
  ],
  examples: ['millrace migrate', 'millrace migrate --check --timeout-ms 600000'],
  run: ({ args, ...context }) => become('gateway', { ...context, args: ['migrate', ...args] }),
};

/**
 * In the place of this process, not under it: signals, the exit status and the process id are the program's own, as whoever looks after
 * it expects. Not in this process as it is either: the worker's memory and threads are settled before its first line.
 */
function become(name: 'gateway' | 'worker', { args, environment }: CommandContext): never {
  const { entry, environment: unlessSet } = programs()[name];
  if (process.execve === undefined) {
    throw new CommandError(
      `This system can't put the ${name} in the place of this process. Start it so: node ${[entry, ...args].join(' ')}`,
    );
  }
  return process.execve(process.execPath, [process.execPath, ...process.execArgv, entry, ...args], {
    ...unlessSet,
    ...environment,
  });
}
