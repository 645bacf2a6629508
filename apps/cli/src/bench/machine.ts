import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, totalmem, type } from 'node:os';
import { VERSION } from '@millrace/contracts';

/** One line that says where figures come from. */
export function machineLine(): string {
  const gib = (totalmem() / 1024 ** 3).toFixed(0);
  const date = new Date().toISOString().slice(0, 10);
  const model = cpus()[0]?.model.trim() ?? process.arch;
  const load = loadavg()[0]!.toFixed(1);
  return `${date}: ${model}, ${availableParallelism()} cores, ${gib} GiB, ${type()}, Node ${process.versions.node}, Millrace ${VERSION}; load average ${load} at the start`;
}

/** That line once all is measured: what else came to run meanwhile shows in the figures. */
export function machineLineAtEnd(line: string): string {
  return `${line}, ${loadavg()[0]!.toFixed(1)} at the end`;
}

/** Resident memory of another process; undefined where the system does not tell. */
export function residentMib(pid: number): number | undefined {
  try {
    return kibibytes(pid) / 1024;
  } catch {
    return undefined;
  }
}

function kibibytes(pid: number): number {
  if (process.platform === 'linux') {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
  }
  return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' }));
}

/** Processor time that processes have used in all their threads; undefined where the system does not tell. */
export function cpuSeconds(pids: readonly (number | undefined)[]): number | undefined {
  try {
    return pids.reduce((sum: number, pid) => sum + ticks(pid!) / TICKS_PER_SECOND, 0);
  } catch {
    return undefined;
  }
}

/** Linux shows every program the same, whatever the kernel's own (https://man7.org/linux/man-pages/man7/time.7.html). */
const TICKS_PER_SECOND = 100;

/** `utime` and `stime`; the name before them may hold spaces, but it ends with the last parenthesis. */
function ticks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
