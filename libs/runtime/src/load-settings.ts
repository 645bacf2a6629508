import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  allowedText,
  contradictionsIn,
  environmentNameOf,
  SETTINGS,
  type Setting,
  type SettingName,
  type SettingReader,
  type Settings,
  type SettingTable,
  type ValuesOf,
  valueText,
} from '@millrace/contracts';
import { ConfigurationError } from './configuration-error.js';
import type { Logger } from './logger.js';
import {
  type Environment,
  type Given,
  gatherEnvFile,
  gatherEnvironment,
  gatherFile,
  gatherFlags,
  type SettingSource,
} from './setting-sources.js';
import { checkSettingValue, givenText } from './setting-value.js';

// biome-ignore lint/complexity/noBannedTypes: a command without flags of its own has an empty table.
export interface SettingsRequest<Own extends SettingTable = {}> {
  /** Which process asks. All processes share one file and one environment, so it may be given settings of others. */
  readonly reader: SettingReader;
  /** The command line behind the program's and the command's name. */
  readonly args: readonly string[];
  readonly environment: Environment;
  /** Where relative paths start, and where `.env` is. */
  readonly workingFolder: string;
  /** Flags of this command alone. */
  readonly own?: Own;
  /** How many words that are no flags the command takes; 0 unless said. */
  readonly positionalsMax?: number;
}

// biome-ignore lint/complexity/noBannedTypes: as above.
export interface LoadedSettings<Own extends SettingTable = {}> {
  readonly settings: Settings;
  readonly sources: Readonly<Record<SettingName, SettingSource>>;
  /** The YAML file that was read, as an absolute path. */
  readonly file: string | undefined;
  /** The environment, and under it what `.env` has, settings or not: keys of other servers are there. Never to be logged. */
  readonly variables: Environment;
  readonly own: ValuesOf<Own>;
  readonly positionals: readonly string[];
  /** Flags that hand on to another process what this one was told, save secrets and the settings in `except`. */
  flagsFor(except: readonly SettingName[]): string[];
  /** Secrets that were given as flags, as variables: every user of the machine sees the flags of every process. */
  readonly secretsFromFlags: Readonly<Record<string, string>>;
}

/**
 * Every setting, from its strongest source: flag, environment, `.env`, YAML file, default.
 *
 * @throws ConfigurationError with a sentence for each problem there is, not only for the first.
 */
// biome-ignore lint/complexity/noBannedTypes: as above.
export function loadSettings<Own extends SettingTable = {}>(request: SettingsRequest<Own>): LoadedSettings<Own> {
  const { environment, workingFolder } = request;
  const ownTable: SettingTable = request.own ?? {};
  const flags = gatherFlags(request.args, ownTable);
  const envFile = gatherEnvFile(workingFolder);
  const home = environment.MILLRACE_HOME || workingFolder;
  const named = flags.configFile ?? (environment.MILLRACE_CONFIG || envFile.variables.MILLRACE_CONFIG || undefined);
  const file = configFile(named, workingFolder, home);
  const sources = [flags, gatherEnvironment(environment), envFile];
  if (file !== undefined) sources.push(gatherFile(file, workingFolder));

  const problems = sources.flatMap((source) => source.problems);
  // A word too many often belongs to a flag that was misspelt: one complaint is enough.
  if (flags.problems.length === 0) problems.push(...excess(flags.positionals, request.positionalsMax ?? 0));

  const isOwn = (given: Given) => given.source === 'flag' && Object.hasOwn(ownTable, given.name);
  const given = sources.flatMap((source) => source.given);
  const own = strongest(ownTable, given.filter(isOwn), problems);
  const chosen = strongest(
    SETTINGS,
    given.filter((one) => !isOwn(one)),
    problems,
  );
  const settings = { ...chosen.values, modelsFile: modelsFile(chosen, workingFolder, home) } as Settings;
  // A refused value stands as its default here, and must not cause complaints of its own.
  if (problems.length === 0) problems.push(...contradictionsFor(request.reader, settings));
  if (problems.length > 0) throw new ConfigurationError(problems);

  return {
    settings,
    sources: chosen.sources as Record<SettingName, SettingSource>,
    file,
    variables: { ...envFile.variables, ...environment },
    own: own.values as ValuesOf<Own>,
    positionals: flags.positionals,
    flagsFor: (except) => [
      ...(file === undefined ? [] : [`--config=${file}`]),
      ...flags.handOn.filter(({ name }) => !isSecret(name) && !except.includes(name)).map(({ arg }) => arg),
    ],
    secretsFromFlags: Object.fromEntries(
      flags.given.filter((one) => !isOwn(one) && isSecret(one.name)).map(secretVariable),
    ),
  };
}

/** What differs from the defaults and where it came from, for the start-up log: `{ port: '8001 (flag)' }`. */
export function describeSettings(loaded: Pick<LoadedSettings, 'settings' | 'sources'>): Record<string, string> {
  const table: SettingTable = SETTINGS;
  const described: Record<string, string> = {};
  for (const [name, value] of Object.entries(loaded.settings)) {
    const source = loaded.sources[name as SettingName];
    if (source === 'default') continue;
    described[name] = `${table[name]?.secret ? '***' : valueText(value)} (${source})`;
  }
  return described;
}

/** Says so where a secret was given in a way that other users of the machine can see. */
export function warnOfSecretFlags(
  { secretsFromFlags }: Pick<LoadedSettings, 'secretsFromFlags'>,
  logger: Logger,
): void {
  for (const variable of Object.keys(secretsFromFlags)) {
    logger.warn(
      `A secret was given as a flag, which every user of this machine can see. Give it as ${variable}, in the environment or in .env.`,
    );
  }
}

function isSecret(name: string): boolean {
  return (SETTINGS as SettingTable)[name]?.secret === true;
}

function secretVariable({ name, value }: Given): [string, string] {
  return [environmentNameOf(name), String(value)];
}

function configFile(named: string | undefined, workingFolder: string, home: string): string | undefined {
  // One that is named must exist, which reading it finds out.
  if (named !== undefined) return resolve(workingFolder, named);
  return defaultFile('configs/millrace.yaml', workingFolder, home);
}

/** A file that Millrace brings: the working folder's own, else the one in Millrace's folder. */
function defaultFile(path: string, workingFolder: string, home: string): string | undefined {
  return [join(workingFolder, path), join(home, path)].find((candidate) => existsSync(candidate));
}

/** Stays relative where it can, for messages that are short to read. */
function modelsFile(chosen: Chosen, workingFolder: string, home: string): unknown {
  const path = chosen.values.modelsFile;
  if (chosen.sources.modelsFile !== 'default' || existsSync(join(workingFolder, String(path)))) return path;
  return defaultFile(String(path), workingFolder, home) ?? path;
}

interface Chosen {
  readonly values: Readonly<Record<string, unknown>>;
  readonly sources: Readonly<Record<string, SettingSource>>;
}

/** For each setting of the table the first of `given`, which are in the order of strength; else its default. */
function strongest(table: SettingTable, given: readonly Given[], problems: string[]): Chosen {
  const values: Record<string, unknown> = {};
  const sources: Record<string, SettingSource> = {};
  for (const [name, setting] of Object.entries(table)) {
    const first = given.find((one) => one.name === name);
    sources[name] = first?.source ?? 'default';
    values[name] = setting.default;
    if (first === undefined) continue;
    const checked = checkSettingValue(setting, first.value);
    if (checked.ok) values[name] = checked.value;
    else problems.push(refusal(setting, first));
  }
  return { values, sources };
}

function refusal(setting: Setting<unknown>, given: Given): string {
  const without = setting.default === undefined ? 'leave it out' : `leave it out to use ${valueText(setting.default)}`;
  const quotes = setting.kind === 'text' && typeof given.value !== 'string' ? ' in quotes' : '';
  return `${given.place} is ${givenText(setting, given.value)}. It takes ${allowedText(setting)}${quotes}. Change it, or ${without}.`;
}

function excess(positionals: readonly string[], max: number): string[] {
  return positionals
    .slice(max)
    .map((word) => `"${word}" is neither a flag nor the value of one. Remove it, or write --flag=${word}.`);
}

/** Only where the process reads all the settings concerned: a chat client need not care where the gateway listens. */
function contradictionsFor(reader: SettingReader, settings: Settings): string[] {
  const table: SettingTable = SETTINGS;
  return contradictionsIn(settings)
    .filter(({ about }) => about.every((name) => table[name]!.readBy.includes(reader)))
    .map(({ sentence }) => sentence);
}
