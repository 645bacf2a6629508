import {
  allowedText,
  flagOf,
  SETTINGS,
  type Setting,
  type SettingTable,
  settingsByGroup,
  VERSION,
  valueText,
} from '@millrace/contracts';
import pc from 'picocolors';
import type { Command } from './command.js';

const COLUMNS_MAX = 100;

export function generalHelp(commands: Readonly<Record<string, { readonly summary: string }>>): string {
  const rows = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(8)} ${summary}`);
  return `Millrace ${VERSION}: large language models on your own machines, behind the OpenAI API.

${pc.bold('Usage')}: millrace <command> [flags]

${rows.join('\n')}

millrace <command> --help explains one. millrace --version says the version.`;
}

export function helpOf(name: string, command: Command): string {
  const parts = [`${pc.bold('Usage')}: millrace ${name} ${command.usage}`.trimEnd(), wrap(command.about, '')];
  if (Object.keys(command.own).length > 0) parts.push(section('Flags', Object.entries(command.own)));
  parts.push(...settingSections(command));
  if (command.examples.length > 0) {
    parts.push(`${pc.bold('Examples')}\n\n${command.examples.map((example) => `  ${example}`).join('\n')}`);
  }
  parts.push(
    wrap(
      'Every setting is also a variable (--max-batch-size is MILLRACE_MAX_BATCH_SIZE), a line of .env, and a key of configs/millrace.yaml (maxBatchSize). --config names another YAML file.',
      '',
    ),
  );
  return parts.join('\n\n');
}

function settingSections(command: Command): string[] {
  const { settings: wanted } = command;
  if (typeof wanted === 'string') {
    const isRead = ([, { readBy }]: readonly [string, Setting<unknown>]) => wanted === 'all' || readBy.includes(wanted);
    return settingsByGroup()
      .map(({ title, settings }) => ({ title, read: settings.filter(isRead) }))
      .filter(({ read }) => read.length > 0)
      .map(({ title, read }) => section(title, read));
  }
  const all: SettingTable = SETTINGS;
  const listed = wanted.map((name) => [name, all[name]!] as const);
  return listed.length === 0 ? [] : [section('Settings', listed)];
}

function section(title: string, settings: readonly (readonly [string, Setting<unknown>])[]): string {
  const rows = settings.map(([name, setting]) => {
    const flag = setting.kind === 'boolean' ? flagOf(name) : `${flagOf(name)} ${valueName(setting)}`;
    return `  ${pc.cyan(flag)}\n${wrap(`${setting.why} ${limits(setting)}`.trim(), '      ')}`;
  });
  return `${pc.bold(title)}\n\n${rows.join('\n')}`;
}

function valueName(setting: Setting<unknown>): string {
  switch (setting.kind) {
    case 'integer':
    case 'number':
      return 'N';
    case 'choice':
      return (setting.choices ?? []).join('|');
    case 'list':
      return 'A,B';
    default:
      return 'TEXT';
  }
}

function limits(setting: Setting<unknown>): string {
  const parts: string[] = [];
  if (setting.kind === 'integer' || setting.kind === 'number') parts.push(allowedText(setting));
  const isEmptyList = Array.isArray(setting.default) && setting.default.length === 0;
  if (setting.default !== undefined && setting.default !== false && !isEmptyList) {
    parts.push(`default ${valueText(setting.default)}`);
  }
  return parts.length === 0 ? '' : `(${parts.join('; ')})`;
}

function wrap(text: string, indent: string): string {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(/\s+/)) {
    if (line.length + word.length + 1 > COLUMNS_MAX && line !== indent) {
      lines.push(line);
      line = indent;
    }
    line += line === indent ? word : ` ${word}`;
  }
  return [...lines, line].join('\n');
}
