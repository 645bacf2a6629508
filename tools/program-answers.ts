import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Whether a program is there and says its version, as those that Go builds do. */
export function programAnswers(program: string): boolean {
  if (program.startsWith('/') && !existsSync(program)) return false;
  try {
    execFileSync(program, ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
