import { didYouMean, loadSettings } from '@millrace/runtime';
import { ModelProblem } from '@millrace/storage';
import { type Command, type CommandContext, CommandError } from '../command.js';
import { trustGateway } from '../fetch-gateway.js';
import { modelsFlags } from './models-flags.js';
import { listServed } from './served-models.js';
import { STORE_VERBS } from './store-verbs.js';
import { warm } from './warm.js';

export const modelsCommand: Command = {
  usage:
    '[add SOURCE | list | show ID | verify [ID] | remove ID | pull ID | push ID | warm ID | convert FOLDER]  [flags]',
  about:
    'Alone it lists the models that a running gateway serves, or, when none runs, those of the models file. With a verb it works on the registry of models (`registry.json` in modelsDir) and on the bucket, where the settings name one: add takes a path, an address that begins with https://, s3:// or hf:, or the name of a preset; pull and push move a model between this machine and the bucket; warm has the workers load one; convert makes models as they are trained ready to run.',
  own: modelsFlags,
  settings: [
    'host',
    'port',
    'modelsFile',
    'modelsDir',
    'apiKey',
    'adminKey',
    'dataFolder',
    's3Url',
    's3Bucket',
    's3Prefix',
    's3AccessKey',
    's3SecretKey',
    's3Tls.caFile',
  ],
  examples: [
    'millrace models',
    'millrace models add qwen3-4b',
    'millrace models add hf:unsloth/Qwen3-8B-GGUF/Qwen3-8B-Q4_K_M.gguf --id qwen --push',
    'millrace models add ~/Downloads/model.gguf --copy',
    'millrace models verify',
    'millrace models convert ~/Qwen3-4B --quantize Q4_K_M',
  ],
  run: models,
};

export type ModelsLoaded = ReturnType<typeof load>;

export interface Asked extends CommandContext {
  readonly loaded: ModelsLoaded;
  readonly flags: ModelsLoaded['own'];
  /** What stands behind the verb. */
  readonly word: string | undefined;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

export interface Verb {
  /** What it can't do without, as the end of a sentence; absent: nothing. */
  readonly needs?: string;
  readonly takesWord: boolean;
  /** The exit status. */
  readonly run: (asked: Asked) => Promise<number>;
}

const VERBS: Readonly<Record<string, Verb>> = {
  ...STORE_VERBS,
  warm: { needs: 'the ID of a model', takesWord: true, run: warm },
  convert: {
    needs: 'the FOLDER of a model, or with --all of several',
    takesWord: true,
    run: async (asked) => (await import('./convert/convert-command.js')).convert(asked),
  },
};

/** As shells tell of what Ctrl-C ended. */
const INTERRUPTED_STATUS = 130;

function load({ args, environment, workingFolder }: CommandContext) {
  return loadSettings({ reader: 'cli', args, environment, workingFolder, own: modelsFlags, positionalsMax: 2 });
}

async function models(context: CommandContext): Promise<number> {
  const loaded = load(context);
  trustGateway(loaded.settings);
  const [name, word] = loaded.positionals;
  const { own: flags } = loaded;
  if (name === undefined) {
    await listServed(context, loaded.settings, flags.url, flags.json);
    return 0;
  }
  const verb = verbOf(name, word);
  const stop = new AbortController();
  const interrupt = () => stop.abort(new Error('interrupted'));
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    return await verb.run({ ...context, loaded, flags, word, signal: stop.signal });
  } catch (error) {
    if (stop.signal.aborted) {
      const kept =
        name === 'add' || name === 'pull'
          ? ' What was fetched so far is kept: the same command goes on from there.'
          : '';
      process.stderr.write(`\nStopped.${kept}\n`);
      return INTERRUPTED_STATUS;
    }
    throw error instanceof ModelProblem ? new CommandError(error.message) : error;
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}

function verbOf(name: string, word: string | undefined): Verb {
  const verb = Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  const names = Object.keys(VERBS);
  if (verb === undefined)
    throw new CommandError(
      `millrace models does not know "${name}".${didYouMean(name, names)} It knows ${names.join(', ')}; alone it lists what is served.`,
    );
  if (verb.needs !== undefined && word === undefined)
    throw new CommandError(`millrace models ${name} needs ${verb.needs}. millrace models --help shows examples.`);
  if (!verb.takesWord && word !== undefined)
    throw new CommandError(`millrace models ${name} takes nothing more; "${word}" is too much.`);
  return verb;
}
