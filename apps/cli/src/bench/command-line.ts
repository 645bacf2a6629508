import { flagOf, SETTINGS, type SettingTable } from '@millrace/contracts';

/** As it was typed, but for what nobody else should read: reports are shown around. */
export function commandLine(args: readonly string[]): string {
  const table: SettingTable = SETTINGS;
  const secrets = Object.entries(table).flatMap(([name, { secret }]) => (secret ? [flagOf(name)] : []));
  const shown = args.map((arg, index) => {
    const [flag] = arg.split('=');
    if (secrets.includes(flag!) && arg !== flag) return `${flag}=***`;
    if (index > 0 && secrets.includes(args[index - 1]!)) return '***';
    return arg.replace(/:\/\/[^/@]*@/, '://***@');
  });
  return ['millrace bench', ...shown.map(quoted)].join(' ');
}

/** As a shell takes it: who copies the line means the same. */
function quoted(arg: string): string {
  return /^[\w./:=,@%+*~-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`;
}
