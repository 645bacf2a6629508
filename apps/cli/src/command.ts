import type { SettingName, SettingTable } from '@millrace/contracts';
import type { Environment } from '@millrace/runtime';

/** Where a command runs; a test gives its own. */
export interface CommandContext {
  readonly args: readonly string[];
  readonly environment: Environment;
  readonly workingFolder: string;
  /** To standard output, as it stands. */
  readonly write: (text: string) => void;
  readonly isTerminal: boolean;
}

export interface Command {
  /** What follows `millrace <name>`: `[--user TEXT]`. */
  readonly usage: string;
  /** One paragraph. */
  readonly about: string;
  /** Flags of this command alone. */
  readonly own: SettingTable;
  /** The settings that its help lists: all, those that one of the processes reads, or these. */
  readonly settings: 'all' | 'gateway' | 'worker' | readonly SettingName[];
  readonly examples: readonly string[];
  /** The exit status. */
  run(context: CommandContext): Promise<number>;
}

/** A command that cannot do what it was asked: a sentence for the user that says why and what to do. Exit status 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

/** What every own flag has in common; see `Command.own`. */
export const OWN = { group: 'process', readBy: ['cli'] } as const;
