import { statfs } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import type { Settings } from '@millrace/contracts';
import { machineMemory } from '@millrace/runtime';
import { type Finding, fine, wrong } from './finding.js';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

/** Notes rather than tests: how much a model needs is worked out by the worker, when it loads it. */
export async function checkMachine(settings: Settings, folder: string): Promise<Finding[]> {
  return [
    fine('node', `${process.versions.node} (${process.platform} ${process.arch}), ${availableParallelism()} cores`),
    memory(settings),
    await disk(folder),
  ];
}

function memory({ memoryReserveMib }: Settings): Finding {
  const available = machineMemory();
  const figures = `${gib(available)} of ${gib(totalmem())} available, ${memoryReserveMib} MiB of it kept free`;
  if (available > memoryReserveMib * MIB) return fine('memory', figures);
  return wrong('memory', figures, 'Free some memory, or lower `memoryReserveMib`.');
}

async function disk(folder: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(folder);
  return fine('disk', `${gib(bavail * bsize)} free at ${folder}`);
}

function gib(bytes: number): string {
  return `${(bytes / GIB).toLocaleString('en-US', { maximumFractionDigits: 1 })} GiB`;
}
