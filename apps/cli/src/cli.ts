import { VERSION } from '@millrace/contracts';
import { ConfigurationError, didYouMean } from '@millrace/runtime';
import { type Command, type CommandContext, CommandError } from './command.js';
import { generalHelp, helpOf } from './help.js';
import { millraceFolder } from './millrace-folder.js';

interface ListedCommand {
  readonly summary: string;
  /** Loaded when it is wanted: `chat` need not wait for gRPC to be read from disk. */
  readonly load: () => Promise<Command>;
}

export const COMMANDS: Readonly<Record<string, ListedCommand>> = {
  serve: {
    summary: 'start a gateway and a worker, and keep them running',
    load: async () => (await import('./serve/serve-command.js')).serveCommand,
  },
  gateway: {
    summary: 'run a gateway alone, for workers elsewhere',
    load: async () => (await import('./serve/process-commands.js')).gatewayCommand,
  },
  worker: {
    summary: 'run a worker alone, for gateways elsewhere',
    load: async () => (await import('./serve/process-commands.js')).workerCommand,
  },
  chat: {
    summary: 'talk to a model, or ask one question',
    load: async () => (await import('./chat/chat-command.js')).chatCommand,
  },
  models: {
    summary: 'list models; add, fetch, verify, convert and remove them',
    load: async () => (await import('./models/models-command.js')).modelsCommand,
  },
  keys: {
    summary: 'make, list, change and revoke API keys',
    load: async () => (await import('./keys-command.js')).keysCommand,
  },
  usage: {
    summary: 'tell requests and tokens of each key, model and day',
    load: async () => (await import('./usage-command.js')).usageCommand,
  },
  migrate: {
    summary: 'set up the tables of a Postgres, without starting a gateway',
    load: async () => (await import('./serve/process-commands.js')).migrateCommand,
  },
  check: {
    summary: 'look for what would keep Millrace from working, and say what to do',
    load: async () => (await import('./check/check-command.js')).checkCommand,
  },
  health: {
    summary: 'ask whether gateway or worker of this machine is ready',
    load: async () => (await import('./health-command.js')).healthCommand,
  },
  bench: {
    summary: 'measure throughput and latency of any server, and what the gateway adds',
    load: async () => (await import('./bench/bench-command.js')).benchCommand,
  },
  top: {
    summary: 'watch what a running gateway is doing',
    load: async () => (await import('./top/top-command.js')).topCommand,
  },
};

/** The whole program, from its arguments to its exit status. */
export async function runCli(argv: readonly string[]): Promise<number> {
  const [name, ...args] = argv;
  if (name === '--version' || name === '-v' || name === 'version') return print(`millrace ${VERSION}`);
  if (name === undefined || name === '--help' || name === '-h') return print(generalHelp(COMMANDS));
  if (name === 'help') return runCli(args[0] === undefined ? ['--help'] : [args[0], '--help']);

  const listed = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (listed === undefined) {
    console.error(
      `millrace has no command ${name}.${didYouMean(name, Object.keys(COMMANDS))} millrace --help lists all.`,
    );
    return 1;
  }
  const command = await listed.load();
  if (args.includes('--help') || args.includes('-h')) return print(helpOf(name, command));
  try {
    return await command.run(contextOf(args));
  } catch (error) {
    console.error(sentencesOf(error));
    return 1;
  }
}

function contextOf(args: readonly string[]): CommandContext {
  // Not only for this process: gateway and worker inherit it, and find the files that come with Millrace.
  process.env.MILLRACE_HOME ||= millraceFolder();
  return {
    args,
    environment: process.env,
    workingFolder: process.cwd(),
    write: (text) => void process.stdout.write(text),
    isTerminal: process.stdout.isTTY === true,
  };
}

function sentencesOf(error: unknown): string {
  if (error instanceof ConfigurationError || error instanceof CommandError) return error.message;
  return `millrace failed in a way that nobody foresaw; please report it.\n${error instanceof Error ? error.stack : String(error)}`;
}

function print(text: string): number {
  process.stdout.write(`${text}\n`);
  return 0;
}
