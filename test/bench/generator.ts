import { join } from 'node:path';
import type { LoadPlan, LoadReport } from './load.ts';
import type { Program, Stage } from './programs.ts';

/** The process that asks. One plan at a time: it would measure itself otherwise. */
export class Generator {
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
  }

  static async start(stage: Stage): Promise<Generator> {
    return new Generator(await stage.start('the load generator', join(import.meta.dirname, 'load.ts')));
  }

  get pid(): number {
    return this.#program.pid;
  }

  run(plan: LoadPlan): Promise<LoadReport> {
    const { child } = this.#program;
    return new Promise((resolve, reject) => {
      const gone = () => reject(new Error(`The load generator ended. It wrote:\n${this.#program.output}`));
      child.once('exit', gone);
      child.once('message', ({ report }: { report: LoadReport }) => {
        child.off('exit', gone);
        resolve(report);
      });
      child.send(plan);
    });
  }
}

/** The value below which `part` of all lie; NaN of none. */
export function percentile(values: Iterable<number>, part: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

export function median(values: Iterable<number>): number {
  return percentile(values, 0.5);
}
