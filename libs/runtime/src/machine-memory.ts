import { freemem, totalmem } from 'node:os';

/** What the system says of its memory, in bytes. */
export interface MemoryReadings {
  readonly platform: NodeJS.Platform;
  readonly total: number;
  readonly free: number;
  /** The control group's limit; 0 or absurdly large where there is none. */
  readonly limit: number;
  /** What that limit leaves. */
  readonly availableUnderLimit: number;
}

/** Memory that this process may still take, in bytes: for the worker's plan, and for `millrace check`. */
export function machineMemory(readings: MemoryReadings = readMemory()): number {
  const { platform, total, free, limit, availableUnderLimit } = readings;
  // macOS counts memory that it would give back at once as used; half of the machine is a fair guess there.
  const machine = platform === 'darwin' ? Math.max(free, total / 2) : free;
  const limited = limit > 0 && limit < total;
  return limited ? Math.min(machine, availableUnderLimit) : machine;
}

function readMemory(): MemoryReadings {
  return {
    platform: process.platform,
    total: totalmem(),
    free: freemem(), // On Linux this is MemAvailable, so that the file cache, which can be dropped, counts as free.
    limit: process.constrainedMemory(),
    availableUnderLimit: process.availableMemory(),
  };
}
