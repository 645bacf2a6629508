import { createInterface } from 'node:readline/promises';
import { checkModelId, ModelProblem, modelIdOf } from '@millrace/storage';
import { nameOfFolder, type TrainedModel } from './find-trained.js';

/** Asks the person at the terminal; undefined: there is none. */
export type Ask = (question: string) => Promise<string>;

/**
 * A name for each model, asked for once and before anything is converted, since that takes long. Blank, or where there is nobody to ask, it is
 * a slug of the folder's; a number behind it where that is taken.
 */
export async function chooseNames(
  models: readonly TrainedModel[],
  taken: ReadonlySet<string>,
  ask: Ask | undefined,
  say: (sentence: string) => void,
): Promise<readonly string[]> {
  const used = new Set([...taken].map((id) => id.toLowerCase()));
  const names: string[] = [];
  for (const { folder } of models) {
    const proposal = freeName(modelIdOf(nameOfFolder(folder)) ?? 'model', used);
    const name = ask === undefined ? proposal : await asked(folder, proposal, used, ask, say);
    used.add(name.toLowerCase());
    names.push(name);
  }
  return names;
}

async function asked(
  folder: string,
  proposal: string,
  used: ReadonlySet<string>,
  ask: Ask,
  say: (sentence: string) => void,
): Promise<string> {
  for (;;) {
    const name = (await ask(`Name of ${nameOfFolder(folder)} (blank: ${proposal}): `)).trim();
    if (name === '') return proposal;
    try {
      checkModelId(name);
      return freeName(name, used);
    } catch (error) {
      if (!(error instanceof ModelProblem)) throw error;
      say(error.message.replace(' Choose another with --id.', ' Choose another.'));
    }
  }
}

export function freeName(name: string, used: ReadonlySet<string>): string {
  let free = name;
  for (let number = 2; used.has(free.toLowerCase()); number++) free = `${name}-${number}`;
  return free;
}

/** Undefined where standard input is no terminal. */
export function askerAtTerminal(signal: AbortSignal): { readonly ask: Ask; readonly close: () => void } | undefined {
  if (process.stdin.isTTY !== true) return undefined;
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  // The terminal hands Ctrl-C to whoever asks; here it is to end the command, as it does otherwise.
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  return { ask: (question) => lines.question(question, { signal }), close: () => lines.close() };
}
