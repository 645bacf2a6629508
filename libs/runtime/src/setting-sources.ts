import { existsSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseArgs, parseEnv } from 'node:util';
import {
  environmentNameOf,
  flagOf,
  SETTINGS,
  type Setting,
  type SettingName,
  type SettingTable,
} from '@millrace/contracts';
import { ConfigurationError } from './configuration-error.js';
import { didYouMean } from './nearest-name.js';
import { readYamlFile, unreadable, withoutByteOrderMark } from './yaml-file.js';

export type SettingSource = 'flag' | 'environment' | '.env' | 'file' | 'default';

/** A value as somebody gave it, before it is checked. */
export interface Given {
  readonly name: string;
  readonly value: unknown;
  readonly source: SettingSource;
  /** Where it stands, to begin a sentence with: `MILLRACE_PORT (.env, line 3)`. */
  readonly place: string;
}

export interface Gathered {
  readonly given: readonly Given[];
  readonly problems: readonly string[];
}

const SETTING_NAMES = Object.keys(SETTINGS) as SettingName[];
const BY_VARIABLE = new Map(SETTING_NAMES.map((name) => [environmentNameOf(name), name]));

/** Variables that are ours and no settings: where the YAML file is, and where Millrace itself is. */
const RESERVED_VARIABLES = ['MILLRACE_CONFIG', 'MILLRACE_HOME'];

// ---------------------------------------------------------------------------------------------------------- flags

export interface GatheredFlags extends Gathered {
  /** `--config`. */
  readonly configFile: string | undefined;
  readonly positionals: readonly string[];
  /** Each setting's flags, ready to be handed to another process. */
  readonly handOn: readonly { readonly name: SettingName; readonly arg: string }[];
}

/** `own` are flags of one command alone; one that is named as a setting hides that setting's flag. */
export function gatherFlags(args: readonly string[], own: SettingTable): GatheredFlags {
  const known = flagTable(own);
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(
      [...known].map(([flag, { setting }]) => [
        flag.slice(2),
        { type: setting?.kind === 'boolean' ? ('boolean' as const) : ('string' as const) },
      ]),
    ),
    strict: false, // It would throw at the first mistake; all of them are wanted at once.
    allowPositionals: true,
    tokens: true,
  });

  const given = new Map<string, Given>();
  const problems: string[] = [];
  const positionals: string[] = [];
  const handOn: { name: SettingName; arg: string }[] = [];
  let configFile: string | undefined;

  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const flag = recognise(token.rawName, known);
    if (flag === undefined) {
      problems.push(`There is no flag ${token.rawName}.${didYouMean(token.rawName, known.keys())} --help lists all.`);
      continue;
    }
    const value = flag.negated ? 'false' : flag.setting?.kind === 'boolean' ? (token.value ?? 'true') : token.value;
    if (value === undefined || (token.inlineValue === false && /^--?[a-z]/i.test(value))) {
      problems.push(`${token.rawName} needs a value. Write ${token.rawName}=VALUE.`);
      continue;
    }
    if (flag.name === undefined) {
      configFile = value;
      continue;
    }
    given.set(flag.key, {
      name: flag.name,
      value: flag.setting?.kind === 'list' ? joined(given.get(flag.key)?.value, value) : value,
      source: 'flag',
      place: token.rawName,
    });
    if (!flag.own) handOn.push({ name: flag.name as SettingName, arg: `${flag.flag}=${value}` });
  }
  return { given: [...given.values()], problems, configFile, positionals, handOn };
}

interface KnownFlag {
  readonly flag: string;
  /** Undefined for `--config` alone, which is no setting. */
  readonly name: string | undefined;
  readonly setting: Setting<unknown> | undefined;
  readonly own: boolean;
  readonly key: string;
}

function flagTable(own: SettingTable): Map<string, KnownFlag> {
  const table = new Map<string, KnownFlag>();
  table.set('--config', { flag: '--config', name: undefined, setting: undefined, own: false, key: '' });
  for (const [settings, isOwn] of [
    [SETTINGS as SettingTable, false],
    [own, true],
  ] as const) {
    for (const [name, setting] of Object.entries(settings)) {
      const flag = flagOf(name);
      table.set(flag, { flag, name, setting, own: isOwn, key: flag });
    }
  }
  return table;
}

function recognise(rawName: string, known: Map<string, KnownFlag>): (KnownFlag & { negated: boolean }) | undefined {
  const flag = known.get(rawName);
  if (flag !== undefined) return { ...flag, negated: false };
  const positive = rawName.startsWith('--no-') ? known.get(`--${rawName.slice(5)}`) : undefined;
  return positive?.setting?.kind === 'boolean' ? { ...positive, negated: true } : undefined;
}

/** A list flag that is given again adds to the list. */
function joined(before: unknown, value: string): string {
  return before === undefined ? value : `${before},${value}`;
}

// ---------------------------------------------------------------------------------------------- environment, .env

export type Environment = Readonly<Record<string, string | undefined>>;

export function gatherEnvironment(environment: Environment): Gathered {
  return gatherVariables(environment, 'environment', (variable) => `${variable} in the environment`);
}

/** `.env` of the working folder; without one, nothing. `variables` also has what is not ours. */
export function gatherEnvFile(workingFolder: string): Gathered & { readonly variables: Environment } {
  const path = join(workingFolder, '.env');
  if (!existsSync(path)) return { given: [], problems: [], variables: {} };
  let text: string;
  try {
    text = withoutByteOrderMark(readFileSync(path, 'utf8'));
  } catch (error) {
    return { given: [], problems: [unreadable('.env', error)], variables: {} };
  }
  const variables: Environment = { ...parseEnv(text) };
  const place = (variable: string) => `${variable} (.env, line ${lastLineThatSets(variable, text)})`;
  return { ...gatherVariables(variables, '.env', place), variables };
}

function gatherVariables(
  variables: Environment,
  source: SettingSource,
  placeOf: (variable: string) => string,
): Gathered {
  const given: Given[] = [];
  const problems: string[] = [];
  for (const [variable, value] of Object.entries(variables)) {
    if (!variable.startsWith('MILLRACE_') || RESERVED_VARIABLES.includes(variable)) continue;
    // An empty variable counts as none: Compose files and CI systems pass on empty what was never set.
    if (value === undefined || value === '' || isKubernetesServiceLink(variable, value)) continue;
    const name = BY_VARIABLE.get(variable);
    if (name === undefined) {
      const suggestion = didYouMean(variable, [...BY_VARIABLE.keys(), ...RESERVED_VARIABLES]);
      problems.push(`${placeOf(variable)} is no setting.${suggestion} Rename or remove it; .env.example lists all.`);
    } else {
      given.push({ name, value, source, place: placeOf(variable) });
    }
  }
  return { given, problems };
}

/**
 * Kubernetes tells every pod of the services beside it: one named `millrace` makes `MILLRACE_PORT=tcp://10.0.0.7:8000`
 * and a dozen more, which nobody meant as settings.
 */
function isKubernetesServiceLink(variable: string, value: string): boolean {
  if (/_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?$/.test(variable)) return true;
  if (/_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(variable)) return true;
  return variable.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value);
}

function lastLineThatSets(variable: string, text: string): number {
  const sets = new RegExp(`^\\s*(export\\s+)?${variable}\\s*=`);
  return text.split(/\r?\n/).findLastIndex((line) => sets.test(line)) + 1;
}

// ------------------------------------------------------------------------------------------------------ YAML file

export function gatherFile(path: string, workingFolder: string): Gathered {
  const shown = shownPath(path, workingFolder);
  try {
    const file = readYamlFile(path);
    const gathered = { given: [] as Given[], problems: [] as string[] };
    if (file.value === undefined) return gathered;
    if (!isMap(file.value)) {
      return { given: [], problems: [`${shown} must hold keys and values, such as \`port: 8000\`.`] };
    }
    const place = (keys: readonly string[]) => `${keys.join('.')} (${shown}, line ${file.lineOf(keys) ?? 1})`;
    gatherMap(file.value, [], place, gathered);
    return gathered;
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    return { given: [], problems: error.problems.map((problem) => problem.replaceAll(path, shown)) };
  }
}

function gatherMap(
  map: Readonly<Record<string, unknown>>,
  above: readonly string[],
  place: (keys: readonly string[]) => string,
  into: { given: Given[]; problems: string[] },
): void {
  for (const [key, value] of Object.entries(map)) {
    const keys = [...above, key];
    const name = keys.join('.');
    if (Object.hasOwn(SETTINGS, name)) {
      // A key without a value is one that is not set, as YAML's users are used to.
      if (value !== null) into.given.push({ name, value, source: 'file', place: place(keys) });
    } else if (isMap(value) && SETTING_NAMES.some((setting) => setting.startsWith(`${name}.`))) {
      gatherMap(value, keys, place, into);
    } else {
      const suggestion = didYouMean(name, SETTING_NAMES);
      into.problems.push(`${place(keys)} is no setting.${suggestion} Rename or remove it.`);
    }
  }
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Relative where that is shorter to read. */
function shownPath(path: string, workingFolder: string): string {
  const fromHere = relative(workingFolder, path);
  return fromHere.startsWith('..') || fromHere === '' ? path : fromHere;
}
