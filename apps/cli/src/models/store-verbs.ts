import { readFileSync, statSync } from 'node:fs';
import { filesOfEntry, type ModelStore, type StoredModel } from '@millrace/storage';
import { CommandError } from '../command.js';
import { plainText } from '../plain-text.js';
import { alignedTable } from '../table.js';
import type { Asked, Verb } from './models-command.js';
import { withModelStore } from './open-store.js';
import { megabytes, ProgressLine } from './progress-line.js';

/** A template is a page or two. */
const TEMPLATE_BYTES_MAX = 1_000_000;

export const STORE_VERBS: Readonly<Record<string, Verb>> = {
  add: { needs: 'a SOURCE: a path, an address, or the name of a preset', takesWord: true, run: add },
  list: { takesWord: false, run: list },
  show: { needs: 'the ID of a model', takesWord: true, run: show },
  verify: { takesWord: true, run: verify },
  remove: { needs: 'the ID of a model', takesWord: true, run: remove },
  pull: { needs: 'the ID of a model of the bucket', takesWord: true, run: pull },
  push: { needs: 'the ID of a model of this machine', takesWord: true, run: push },
};

function add(asked: Asked): Promise<number> {
  const { flags, word, signal } = asked;
  const { id, task, licence, quantisation, sha256, copy, replace, push } = flags;
  const template = flags.template === undefined ? undefined : templateIn(flags.template);
  const terms = {
    id,
    task,
    licence,
    quantisation,
    template,
    sha256: digestOf(sha256),
    copy,
    replace,
    push,
    allowPaths: true,
  };
  return withModelStore(asked, async (store) => {
    using line = progressLine();
    const added = await store.add(word!, terms, line.show, signal);
    line[Symbol.dispose]();
    tell(
      asked,
      added,
      `${added.id} is added${push ? ', and in the bucket' : ''}: ${summaryOf(added)}. Its digest is ${added.entry.digest}.`,
    );
    return 0;
  });
}

function list(asked: Asked): Promise<number> {
  const { flags, write, signal, loaded } = asked;
  return withModelStore(asked, async (store) => {
    const { models, trouble } = await store.models(signal);
    if (trouble !== undefined) process.stderr.write(`Models of the bucket are not listed: ${plainText(trouble)}\n`);
    if (flags.json) write(`${JSON.stringify(models.map(jsonOf), null, 2)}\n`);
    else if (models.length > 0) write(`${tableOf(models)}\n`);
    else
      write(
        `The registry in ${loaded.settings.modelsDir} has no models${store.bucket && trouble === undefined ? ', nor has the bucket' : ''}. Add one: millrace models add --help\n`,
      );
    return 0;
  });
}

function show(asked: Asked): Promise<number> {
  const { word, signal } = asked;
  return withModelStore(asked, async (store) => {
    const model = await store.find(word!, signal);
    tell(asked, model, detailsOf(model, store));
    return 0;
  });
}

function verify(asked: Asked): Promise<number> {
  const { word, signal, flags, write } = asked;
  return withModelStore(asked, async (store) => {
    const ids = word === undefined ? [...(await store.registry.models()).keys()].sort() : [word];
    const results: { id: string; ok: boolean; problems: readonly string[] }[] = [];
    for (const id of ids) {
      using line = progressLine();
      const problems = await store.verify(id, line.show, signal);
      line[Symbol.dispose]();
      results.push({ id, ok: problems.length === 0, problems });
      if (!flags.json)
        write(`${id}: ${problems.length === 0 ? 'is what it was when it was added.' : problems.join(' ')}\n`);
    }
    if (flags.json) write(`${JSON.stringify(results, null, 2)}\n`);
    else if (ids.length === 0) write('There is no model on this machine.\n');
    return results.every(({ ok }) => ok) ? 0 : 1;
  });
}

function remove(asked: Asked): Promise<number> {
  const { word, signal, flags, write } = asked;
  return withModelStore(asked, async (store) => {
    const { entry, where } = await store.find(word!, signal);
    if (where === 'bucket' && !flags.bucket)
      throw new CommandError(
        `The model ${word} is in the bucket alone. To remove it from there: millrace models remove ${word} --bucket`,
      );
    await store.remove(word!, { fromBucket: flags.bucket }, signal);
    const stays = where !== 'bucket' && entry.path.startsWith('/') ? ` Its file stays: ${entry.path}` : '';
    const bucket = where === 'both' && !flags.bucket ? ' It is still in the bucket.' : '';
    if (flags.json) write(`${JSON.stringify({ id: word, removed: true })}\n`);
    else write(`${word} is removed.${bucket}${stays}\n`);
    return 0;
  });
}

function pull(asked: Asked): Promise<number> {
  const { word, signal, flags } = asked;
  return withModelStore(asked, async (store) => {
    using line = progressLine();
    const pulled = await store.pull(word!, { replace: flags.replace }, line.show, signal);
    line[Symbol.dispose]();
    tell(
      asked,
      pulled,
      `${pulled.id} is on this machine: ${summaryOf(pulled)}, ${store.registry.pathOf(pulled.entry)}.`,
    );
    return 0;
  });
}

function push(asked: Asked): Promise<number> {
  const { word, signal } = asked;
  return withModelStore(asked, async (store) => {
    using line = progressLine();
    const pushed = await store.push(word!, line.show, signal);
    line[Symbol.dispose]();
    tell(asked, pushed, `${pushed.id} is in the bucket: ${summaryOf(pushed)}. Workers that use the bucket serve it.`);
    return 0;
  });
}

/** Standard output is for results; how far something is goes to the other. */
function progressLine(): ProgressLine {
  return new ProgressLine({
    write: (text) => void process.stderr.write(text),
    isTerminal: process.stderr.isTTY === true,
  });
}

function tell({ flags, write }: Asked, model: StoredModel, text: string): void {
  write(flags.json ? `${JSON.stringify(jsonOf(model), null, 2)}\n` : `${text}\n`);
}

function jsonOf({ id, entry, where }: StoredModel): object {
  return { id, where, ...entry };
}

function summaryOf({ entry }: StoredModel): string {
  const { format, task, quantisation, size } = entry;
  return plainText([`${megabytes(size)} MB`, format, quantisation, task].filter((each) => each !== null).join(', '));
}

const WHERE: Readonly<Record<StoredModel['where'], string>> = { here: 'here', bucket: 'bucket', both: 'here, bucket' };

function tableOf(models: readonly StoredModel[]): string {
  const rows = models.map(({ id, where, entry }) =>
    [
      id,
      entry.task,
      entry.format,
      entry.quantisation ?? '',
      megabytes(entry.size),
      entry.licence ?? '',
      WHERE[where],
      entry.added.slice(0, 10),
      entry.source,
    ].map(plainText),
  );
  const headings = ['MODEL', 'TASK', 'FORMAT', 'BITS', 'MB', 'LICENCE', 'WHERE', 'ADDED', 'SOURCE'];
  return alignedTable(headings, rows, ['MB']);
}

function detailsOf({ id, entry, where }: StoredModel, store: ModelStore): string {
  const path = where === 'bucket' ? '(not on this machine)' : store.registry.pathOf(entry);
  const lines: readonly (readonly [string, string])[] = [
    ['id', id],
    ['where', WHERE[where]],
    ['source', entry.source],
    ['path', path],
    ['digest', entry.digest],
    ['size', `${entry.size.toLocaleString('en-US')} bytes in ${filesOfEntry(entry).length} file(s)`],
    ['format', entry.format],
    ['task', entry.task],
    ['quantisation', entry.quantisation ?? 'not known'],
    ['licence', entry.licence ?? 'not known'],
    ['template', entry.template === null ? 'the one in its file' : `its own, of ${entry.template.length} characters`],
    ['added', entry.added],
  ];
  return lines.map(([name, value]) => `${name.padEnd(13)} ${plainText(value)}`).join('\n');
}

function digestOf(text: string | undefined): string | undefined {
  const digest = text
    ?.trim()
    .toLowerCase()
    .replace(/^sha256:/, '');
  if (digest === undefined || /^[0-9a-f]{64}$/.test(digest)) return digest;
  throw new CommandError(`--sha256 is ${JSON.stringify(text!.slice(0, 80))}. It takes 64 hexadecimal digits.`);
}

function templateIn(path: string): string {
  try {
    if (statSync(path).size > TEMPLATE_BYTES_MAX)
      throw new CommandError(
        `${path} has more than ${TEMPLATE_BYTES_MAX.toLocaleString('en-US')} bytes, which is no chat template.`,
      );
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(
      `${path} (--template) can't be read (${(error as NodeJS.ErrnoException).code}). Check the path.`,
    );
  }
}
