import { boolean, integer, type SettingTable } from './setting.js';

/** The flags of `millrace migrate` alone, which the command lists and the gateway's program reads. */
export const MIGRATE_FLAGS = {
  check: boolean({
    group: 'process',
    readBy: ['cli'],
    default: false,
    why: 'Changes nothing: waits until somebody else has set the tables up, as an init container does.',
  }),
  timeoutMs: integer({
    group: 'process',
    readBy: ['cli'],
    default: 300_000,
    min: 0,
    max: 3_600_000,
    unit: 'milliseconds',
    why: 'How long a database that is away, or tables that are not there, are waited for; then the status is 1.',
  }),
} as const satisfies SettingTable;
