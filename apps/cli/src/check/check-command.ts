import { boolean, type SettingTable } from '@millrace/contracts';
import { ConfigurationError, type LoadedSettings, loadSettings } from '@millrace/runtime';
import pc from 'picocolors';
import { type Command, type CommandContext, OWN } from '../command.js';
import { checkMachine } from './check-machine.js';
import { checkModels } from './check-models.js';
import { checkNetwork } from './check-network.js';
import { type Finding, fine, wrong } from './finding.js';

const own = {
  json: boolean({ ...OWN, default: false, why: 'Prints a JSON array instead of lines.' }),
} as const satisfies SettingTable;

export const checkCommand: Command = {
  usage: '[--json] [settings]',
  about:
    'Looks at configuration, model files and their digests, aliases, providers and their keys, memory, ports, Redis, Postgres and workers. Each line is ok, or says what to do. Exit status 1 if any is not ok.',
  own,
  settings: [
    'modelsFile',
    'model',
    'providerCheck',
    'providerCheckTimeoutMs',
    'host',
    'port',
    'redisUrl',
    'queueRedisUrl',
    'postgresUrl',
    'dataFolder',
    'workers',
    'workerConnectTimeoutMs',
    'memoryReserveMib',
  ],
  examples: ['millrace check', 'millrace check --model ./any.gguf --json'],
  run: check,
};

async function check(context: CommandContext): Promise<number> {
  const { findings, json } = await look(context);
  context.write(json ? `${JSON.stringify(findings, null, 2)}\n` : linesOf(findings));
  return findings.every(({ ok }) => ok) ? 0 : 1;
}

async function look(context: CommandContext): Promise<{ findings: Finding[]; json: boolean }> {
  const { workingFolder, args } = context;
  let loaded: LoadedSettings<typeof own>;
  try {
    loaded = load(context);
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    // Without settings there is nothing further to look at.
    const findings = error.problems.map((problem) => wrong('configuration', problem, 'Correct it, and check again.'));
    return { findings, json: args.includes('--json') };
  }
  const { settings, file } = loaded;
  const findings = [
    fine('configuration', file === undefined ? 'defaults; there is no YAML file' : file),
    ...(await checkMachine(settings, workingFolder)),
    ...(await checkModels(settings, workingFolder, loaded.variables)),
    ...(await checkNetwork(settings, workingFolder)),
  ];
  return { findings, json: loaded.own.json };
}

/** As `serve`, the pickiest of the processes, would read them; the flags are this command's. */
function load({ args, environment, workingFolder }: CommandContext): LoadedSettings<typeof own> {
  return loadSettings({ reader: 'serve', args, environment, workingFolder, own });
}

function linesOf(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ about }) => about.length));
  return findings.map((finding) => `${lineOf(finding, width)}\n`).join('');
}

function lineOf({ about, ok, detail, remedy }: Finding, width: number): string {
  const verdict = ok ? pc.green('✓ ok    ') : pc.red('✗ not ok');
  // What others say ends as they like.
  const found = remedy === undefined || /[.!?]$/.test(detail) ? detail : `${detail}.`;
  return `${verdict}  ${about.padEnd(width)}  ${found}${remedy === undefined ? '' : ` ${pc.bold(remedy)}`}`;
}
