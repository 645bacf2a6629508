import * as z from 'zod';
import { modelsFileSchema } from './models-file.js';
import { environmentNameOf, flagOf, type Setting, type SettingGroup, type SettingTable } from './setting.js';
import { allowedText, valueText } from './setting-text.js';
import { SETTINGS } from './settings.js';

/** docs/reference/configuration.md and .env.example, from the same table that the processes read. `make docs` writes them. */

export const SETTING_GROUPS: Readonly<Record<SettingGroup, string>> = {
  models: 'Models',
  generation: 'Defaults of generation',
  http: 'HTTP',
  keys: 'API keys',
  limits: 'Limits',
  admission: 'Admission',
  cache: 'Cache',
  routing: 'Routing',
  workers: 'Workers',
  queue: 'Queue dispatch',
  engine: 'Engine',
  stores: 'Stores',
  files: 'Files',
  batches: 'Batch jobs',
  storedChats: 'Stored chat completions',
  moderation: 'Moderation',
  responses: 'Responses and conversations',
  vectorStores: 'Vector stores',
  tls: 'TLS',
  records: 'Records',
  logging: 'Logging',
  process: 'Processes',
};

/** Groups in the order of the pages, each with its settings. */
export function settingsByGroup(): { title: string; settings: [name: string, setting: Setting<unknown>][] }[] {
  const all = Object.entries(SETTINGS as SettingTable);
  return Object.entries(SETTING_GROUPS).map(([group, title]) => ({
    title,
    settings: all.filter(([, setting]) => setting.group === group),
  }));
}

export function renderConfigurationReference(): string {
  return `# Configuration

<!-- Written by \`make docs\`. Change the code it names, not this page. -->

Every setting can be given in four ways. From the strongest to the weakest:

1. a flag: \`millrace serve --max-batch-size 16\`, or \`make run ARGS="--max-batch-size 16"\`
2. a variable of the environment: \`MILLRACE_MAX_BATCH_SIZE=16\`
3. a line of \`.env\` in the working folder; \`.env.example\` lists them all
4. a key of the YAML file: \`maxBatchSize: 16\`. The file is \`configs/millrace.yaml\` of the working folder or else of
   Millrace's own folder; \`--config\` or \`MILLRACE_CONFIG\` names another, which must exist.

All processes share them: one that does not read a setting accepts it. A name that nobody knows is an error, as is a value
out of range; at start, all problems are told at once. A true-or-false flag is turned off by \`--no-…\`. A list has commas
between its values, or its flag is repeated. An empty variable, or a key without a value, counts as not given.

The table is \`SETTINGS\` in \`libs/contracts/src/config/settings.ts\`.

${settingsByGroup()
  .map(({ title, settings }) => `## ${title}\n\n${settingRows(settings)}`)
  .join('\n\n')}

## The models file

\`configs/models.yaml\` (setting \`modelsFile\`) lists what can be served. The schema is \`modelsFileSchema\` in
\`libs/contracts/src/config/models-file.ts\`; an unknown key is an error.

${modelKeyRows()}
`;
}

function settingRows(settings: readonly (readonly [string, Setting<unknown>])[]): string {
  const rows = settings.map(([name, setting]) => {
    const names = `\`${name}\`<br>\`${flagOf(name)}\`<br>\`${environmentNameOf(name)}\``;
    return `| ${names} | ${allowedText(setting)} | ${defaultText(setting)} | ${setting.readBy.join(', ')} | ${cell(setting.why)} |`;
  });
  return `| key, flag, variable | takes | default | read by | what it is, and why one would change it |
| --- | --- | --- | --- | --- |
${rows.join('\n')}`;
}

function defaultText(setting: Setting<unknown>): string {
  if (setting.default === undefined) return 'absent';
  const text = valueText(setting.default);
  return Array.isArray(setting.default) && setting.default.length === 0 ? text : `\`${text}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

// ------------------------------------------------------------------------------------------------- the models file

interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly maxItems?: number;
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
}

function modelKeyRows(): string {
  const schema = z.toJSONSchema(modelsFileSchema, { io: 'input' }) as JsonSchema;
  return `| key | takes | default | what it is |\n| --- | --- | --- | --- |\n${rowsOf(schema, '').join('\n')}`;
}

function rowsOf(schema: JsonSchema, prefix: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, value]) => {
    const isList = value.items?.properties !== undefined;
    const name = `${prefix}${key}${isList ? '[]' : ''}`;
    const required = schema.required?.includes(key) ?? false;
    const row = `| \`${name}\` | ${takes(value)} | ${absence(value, required)} | ${cell(value.description ?? '')} |`;
    return [row, ...rowsOf(isList ? value.items : value, `${name}.`)];
  });
}

function takes(schema: JsonSchema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(', ');
  if (schema.type === 'array') return schema.items?.type === 'object' ? 'a list' : 'a list of texts';
  if (schema.type === 'object') return 'keys and values';
  if (schema.type === 'string') return 'a text';
  const from =
    schema.exclusiveMinimum === undefined
      ? `from ${grouped(schema.minimum)}`
      : `above ${grouped(schema.exclusiveMinimum)}`;
  return `${schema.type === 'integer' ? 'a whole number' : 'a number'} ${from} to ${grouped(schema.maximum)}`;
}

function absence(schema: JsonSchema, required: boolean): string {
  if (required) return 'required';
  if (schema.type === 'object' || schema.default === undefined) return 'absent';
  return Array.isArray(schema.default) ? 'an empty list' : `\`${schema.default}\``;
}

function grouped(value: number | undefined): string {
  return value === undefined ? 'any' : value.toLocaleString('en-US');
}

// ----------------------------------------------------------------------------------------------------- .env.example

export function renderEnvExample(): string {
  const groups = settingsByGroup().map(
    ({ title, settings }) => `# ${`-- ${title} `.padEnd(116, '-')}\n\n${settings.map(envLines).join('\n\n')}`,
  );
  return `# Written by \`make docs\` from the table of settings. Copy it to .env and take the # off what you change.
#
# Read by every process from its working folder. A variable of the environment and a flag are stronger, the YAML file is
# weaker. A variable that is left empty counts as not given.

# Another YAML file than configs/millrace.yaml.
#MILLRACE_CONFIG=

${groups.join('\n\n')}
`;
}

function envLines([name, setting]: readonly [string, Setting<unknown>]): string {
  const value = setting.default === undefined ? '' : valueText(setting.default);
  const isEmptyList = Array.isArray(setting.default) && setting.default.length === 0;
  return `${comment(`${setting.why} Takes ${allowedText(setting)}.`)}\n#${environmentNameOf(name)}=${isEmptyList ? '' : value}`;
}

/** Lines of at most 120 characters that begin with `# `. */
function comment(text: string): string {
  const lines: string[] = [];
  let line = '#';
  for (const word of text.split(/\s+/)) {
    if (line.length + 1 + word.length > 120) {
      lines.push(line);
      line = '#';
    }
    line += ` ${word}`;
  }
  return [...lines, line].join('\n');
}
