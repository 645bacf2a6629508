import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { checkModelId, contentAt, ModelProblem, type ModelStore } from '@millrace/storage';
import { CommandError } from '../../command.js';
import type { Asked } from '../models-command.js';
import { withModelStore } from '../open-store.js';
import { askerAtTerminal, chooseNames } from './choose-names.js';
import { type Converter, chooseConverter } from './converters.js';
import { CONVERSION_FILE, CONVERTING, findTrained, ORIGINALS, type TrainedModel } from './find-trained.js';
import { runStep } from './run-step.js';

interface Converted {
  readonly folder: string;
  readonly name: string;
  readonly outcome: 'converted' | 'skipped' | 'failed';
  readonly detail: string;
}

/** Makes models as they are trained ready to run, by whichever converter is installed, and adds them to the registry. */
export async function convert(asked: Asked): Promise<number> {
  const { flags, word, loaded, write, signal } = asked;
  const folder = resolve(word!);
  const found = findTrained(folder, flags.all);
  if (flags.id !== undefined) checkModelId(flags.id);
  if (flags.id !== undefined && flags.all)
    throw new CommandError('--id names one model, and --all converts several. Leave one of them out.');
  const ready = found.filter(({ state }) => state === 'ready');
  const converter =
    ready.length === 0 ? undefined : chooseConverter(flags.to as 'auto', flags.quantize, loaded.variables.PATH);
  return withModelStore(asked, async (store) => {
    const outcomes: Converted[] = [];
    for (const model of found.filter(({ state }) => state !== 'ready')) outcomes.push(await skip(model, store, signal));
    const names = await namesFor(ready, asked, store);
    for (const [index, model] of ready.entries()) {
      say(`Converting ${model.folder} into ${names[index]} …`);
      outcomes.push(await convertOne(model, names[index]!, converter!, store, asked));
    }
    if (flags.json) write(`${JSON.stringify(outcomes, null, 2)}\n`);
    else
      for (const { name, outcome, detail } of outcomes)
        if (outcome === 'converted') write(`${name} is converted: ${detail}\n`);
    const isIncomplete = !flags.all && found[0]!.state === 'incomplete';
    return isIncomplete || outcomes.some(({ outcome }) => outcome === 'failed') ? 1 : 0;
  });
}

async function namesFor(
  models: readonly TrainedModel[],
  { flags, signal }: Asked,
  store: ModelStore,
): Promise<readonly string[]> {
  if (flags.id !== undefined) return [flags.id];
  const taken = new Set((await store.models(signal)).models.map(({ id }) => id));
  const terminal = flags.json || models.length === 0 ? undefined : askerAtTerminal(signal);
  try {
    return await chooseNames(models, taken, terminal?.ask, say);
  } finally {
    terminal?.close();
  }
}

/** One that was converted and is not in the registry, since that was stopped in between or is another, is added to it. */
async function skip({ folder, state, why }: TrainedModel, store: ModelStore, signal: AbortSignal): Promise<Converted> {
  const skipped = (name: string): Converted => ({ folder, name, outcome: 'skipped', detail: why });
  if (state === 'converted') {
    const { name, result, task } = conversionIn(folder);
    if (
      name !== undefined &&
      result !== undefined &&
      (await store.registry.find(name).catch(() => undefined)) === undefined
    ) {
      try {
        await store.add(join(folder, result), { id: name, task, allowPaths: true }, () => {}, signal);
        return { folder, name, outcome: 'converted', detail: `it was before, and is in the registry now` };
      } catch (error) {
        if (!(error instanceof ModelProblem)) throw error;
        say(`${folder} can't be added to the registry: ${error.message}`);
        return { folder, name, outcome: 'failed', detail: error.message };
      }
    }
  }
  say(`${folder} is skipped: ${why}.`);
  return skipped('');
}

function conversionIn(folder: string): { name?: string; result?: string; task?: 'chat' } {
  try {
    const { name, paths, task } = JSON.parse(readFileSync(join(folder, CONVERSION_FILE), 'utf8'));
    return { name, result: paths?.result, task };
  } catch {
    return {};
  }
}

async function convertOne(
  model: TrainedModel,
  name: string,
  converter: Converter,
  store: ModelStore,
  { loaded, signal, flags }: Asked,
): Promise<Converted> {
  const { folder, task } = model;
  const before = readdirSync(folder);
  const converting = join(folder, CONVERTING);
  const resultName = converter.resultName(name);
  const result = join(converting, resultName);
  try {
    if (before.includes(resultName))
      throw new CommandError(`${join(folder, resultName)} is there already. Move it away, or choose another name.`);
    rmSync(converting, { recursive: true, force: true });
    mkdirSync(converting);
    for (const step of converter.steps(folder, result, task))
      await runStep(
        step,
        { environment: loaded.variables, onOutput: (text) => void process.stderr.write(text) },
        signal,
      );
    // Before anything is moved: a program that ends well need not have written a model.
    const content = await contentAt(result);
    renameSync(result, join(folder, resultName));
    rmSync(converting, { recursive: true, force: true });
    const known = {
      name,
      paths: { result: resultName, originals: ORIGINALS },
      task: converter.kind === 'gguf' ? content.task : task,
    };
    const conversion = {
      ...known,
      format: converter.kind,
      weight_format: converter.weightFormat,
      converted: new Date().toISOString(),
    };
    writeFileSync(join(folder, CONVERSION_FILE), `${JSON.stringify(conversion, null, 2)}\n`);
    moveAside(
      folder,
      before.filter((each) => each !== resultName && each !== CONVERTING),
    );
    const terms = {
      id: name,
      task: known.task,
      quantisation: converter.weightFormat,
      replace: flags.replace,
      allowPaths: true,
    };
    const { entry } = await store.add(join(folder, resultName), terms, () => {}, signal);
    return {
      folder,
      name,
      outcome: 'converted',
      detail: `${store.registry.pathOf(entry)}, ${converter.weightFormat}. The originals are in ${join(folder, ORIGINALS)}.`,
    };
  } catch (error) {
    rmSync(converting, { recursive: true, force: true });
    signal.throwIfAborted();
    if (!(error instanceof CommandError || error instanceof ModelProblem)) throw error;
    say(`${folder} is not converted: ${error.message}`);
    return { folder, name, outcome: 'failed', detail: error.message };
  }
}

function moveAside(folder: string, names: readonly string[]): void {
  mkdirSync(join(folder, ORIGINALS), { recursive: true });
  for (const name of names) if (name !== ORIGINALS) renameSync(join(folder, name), join(folder, ORIGINALS, name));
}

function say(sentence: string): void {
  process.stderr.write(`${sentence}\n`);
}
