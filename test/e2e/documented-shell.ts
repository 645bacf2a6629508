import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MILLRACE, ROOT, type Stack, type StackOptions, startStack } from './stack.js';

/** The `sh` blocks of a page, in their order. */
export function shellBlocks(page: string): string[] {
  const text = readFileSync(join(ROOT, page), 'utf8');
  return [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1]!);
}

/** A running Millrace, and a shell beside it as readers have one: with `millrace` on the PATH, but for port and folder. */
export interface DocumentedShell {
  readonly stack: Stack;
  /** What the commands wrote to standard output. Ends with an error at the first that fails. */
  run(commands: string): string;
  close(): Promise<void>;
}

export async function openDocumentedShell(options: StackOptions = {}): Promise<DocumentedShell> {
  const stack = await startStack(options);
  const folder = mkdtempSync(join(tmpdir(), 'millrace-documented-'));
  writeFileSync(join(folder, 'millrace'), `#!/bin/sh\nexec "${process.execPath}" "${MILLRACE}" "$@"\n`);
  chmodSync(join(folder, 'millrace'), 0o755);
  const environment = {
    ...process.env,
    PATH: `${folder}:${process.env.PATH}`,
    MILLRACE_PORT: new URL(stack.url).port,
    MILLRACE_DATA_FOLDER: stack.dataFolder,
  };
  return {
    stack,
    run: (commands) => {
      const here = commands
        .replaceAll('http://127.0.0.1:8000', stack.url)
        .replaceAll('.millrace/data', stack.dataFolder);
      return execFileSync('sh', ['-c', `set -e\n${here}`], { cwd: ROOT, encoding: 'utf8', env: environment });
    },
    close: async () => {
      rmSync(folder, { recursive: true, force: true });
      await stack.stop();
    },
  };
}
