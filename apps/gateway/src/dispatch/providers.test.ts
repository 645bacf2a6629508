import { type ModelsFile, modelsFileSchema, type Settings } from '@millrace/contracts';
import { ConfigurationError, createLogger } from '@millrace/runtime';
import { describe, expect, it } from 'vitest';
import type { ProviderModel } from './provider-models.js';
import { providerModels } from './provider-models.js';
import { type Provider, Providers, type ProviderTrouble } from './providers.js';
import type { WorkerClient } from './worker-client.js';

const settings = {
  model: undefined,
  defaultMaxTokens: undefined,
  defaultTemperature: 1,
  defaultTopP: 1,
  defaultTopK: 0,
  providerCheck: 'strict' as Settings['providerCheck'],
};

const upstream = (preset: string, more: object = {}) => ({
  engine: 'openai-compatible',
  upstream: { preset, ...more },
});
const fileOf = (models: readonly object[], more: object = {}): ModelsFile =>
  modelsFileSchema.parse({ models, ...more });
const LLAMA = { id: 'llama', ...upstream('groq') };
const QWEN = { id: 'qwen', ...upstream('fireworks') };
const DEMO = { id: 'demo', path: './demo.gguf' };

/** A provider that does nothing but come and go. */
class Shown {
  retired = false;
  closed = false;
  readonly heardOnce = Promise.resolve();
  readonly address: string;
  constructor(
    readonly model: ProviderModel,
    readonly trouble: ProviderTrouble | undefined,
  ) {
    this.address = `provider:${model.upstream.preset}/${model.id}`;
  }
  async retire() {
    this.retired = true;
  }
  async close() {
    this.closed = true;
  }
}

function bedOf(
  first: ModelsFile,
  troubles: Record<string, ProviderTrouble> = {},
  changes: Partial<typeof settings> = {},
) {
  let listener: (file: ModelsFile) => void = () => {};
  const opened: Shown[] = [];
  const listed = new Set<unknown>();
  const log: string[] = [];
  const logger = createLogger(
    { name: 'gateway', level: 'warn', format: 'json' },
    { write: (line) => void log.push(line) },
  );
  const models = {
    current: first,
    watch: (given: typeof listener) => {
      listener = given;
      return () => {
        listener = () => {};
      };
    },
  };
  const directory = {
    add: (worker: WorkerClient) => void listed.add(worker),
    remove: (worker: WorkerClient) => void listed.delete(worker),
  };
  const open = (model: ProviderModel) => {
    const shown = new Shown(model, troubles[model.id]);
    opened.push(shown);
    return shown as unknown as Provider;
  };
  const providers = new Providers(models, directory, open, { ...settings, ...changes }, logger);
  return { providers, opened, listed, log, edit: (file: ModelsFile) => listener(file) };
}

describe('the models that the gateway serves itself', () => {
  it('are those of providers, and those that say so', () => {
    const own = { id: 'own', ...upstream('vllm', { url: 'http://127.0.0.1:1/v1' }), servedBy: 'gateway' };
    const beside = { id: 'beside', ...upstream('vllm', { url: 'http://127.0.0.1:1/v1' }) };
    const lent = { id: 'lent', ...upstream('groq'), servedBy: 'worker' };
    const ids = providerModels(fileOf([DEMO, LLAMA, own, beside, lent]), settings).map(({ id }) => id);
    expect(ids).toEqual(['llama', 'own']);
  });

  it('have their own defaults, else those of the settings', () => {
    const file = fileOf([{ ...LLAMA, context: 100, defaults: { temperature: 0.2, maxTokens: 7 } }, QWEN]);
    expect(providerModels(file, { ...settings, defaultTopP: 0.9, defaultMaxTokens: 64 })).toMatchObject([
      { context: 100, sampling: { temperature: 0.2, topP: 0.9 }, maxTokens: 7 },
      { sampling: { temperature: 1, topP: 0.9 }, maxTokens: 64 },
    ]);
  });

  it.each([
    ['the file names one', { defaultModel: 'llama' }, {}, [true, false]],
    ['by another name', { defaultModel: 'l' }, {}, [true, false]],
    ['nobody names any', {}, {}, [false, false]],
    ['whoever starts it names another', { defaultModel: 'llama' }, { model: 'qwen' }, [false, true]],
    ['whoever starts it has a file', { defaultModel: 'llama' }, { model: './own.gguf' }, [false, false]],
  ])('are the default where %s', (_case, more, changes, expected) => {
    const file = fileOf([{ ...LLAMA, aliases: ['l'] }, QWEN], more);
    expect(providerModels(file, { ...settings, ...changes }).map(({ isDefault }) => isDefault)).toEqual(expected);
  });

  it('are the default where there is no other', () => {
    expect(providerModels(fileOf([LLAMA]), settings)).toMatchObject([{ isDefault: true }]);
  });
});

describe('providers', () => {
  it('come with the file, and none for what workers have', () => {
    const { opened, listed } = bedOf(fileOf([LLAMA, DEMO, QWEN]));
    expect(opened.map(({ model }) => model.id)).toEqual(['llama', 'qwen']);
    expect([...listed]).toEqual(opened);
  });

  it('that an edit does not concern keep their connections', () => {
    const { opened, listed, edit } = bedOf(fileOf([LLAMA, QWEN]));
    edit(fileOf([QWEN, DEMO, { ...LLAMA, limits: { requestsPerMinute: 3 }, caps: { n: 2 } }]));
    expect(opened).toHaveLength(2);
    expect(listed.size).toBe(2);
    expect(opened.some(({ retired }) => retired)).toBe(false);
  });

  it('whose entry is edited are replaced, and finish what they have', () => {
    const { opened, listed, edit } = bedOf(fileOf([LLAMA, QWEN]));
    edit(fileOf([{ ...LLAMA, ...upstream('groq', { model: 'other' }) }, QWEN]));
    const [before, other, after] = opened;
    expect(opened).toHaveLength(3);
    expect(before).toMatchObject({ retired: true });
    expect([...listed]).toEqual([other, after]);
  });

  it('come and go with their entries, and all are closed at the end', async () => {
    const { providers, opened, listed, edit } = bedOf(fileOf([LLAMA]));
    edit(fileOf([QWEN]));
    expect([...listed]).toEqual([opened[1]]);
    expect(opened[0]!.retired).toBe(true);
    edit(fileOf([DEMO]));
    expect(listed.size).toBe(0);
    edit(fileOf([LLAMA]));
    await providers.close();
    expect(opened.at(-1)).toMatchObject({ closed: true, retired: false });
  });
});

describe('the check at the start', () => {
  const KEY = { isWrong: true, sentence: 'The provider groq needs GROQ_API_KEY.' };
  const AWAY = { isWrong: true, sentence: 'The provider fireworks does not answer.' };
  const BUSY = { isWrong: false, sentence: 'The provider groq is not well.' };

  it('names everything that is wrong, and what it is about', async () => {
    const file = fileOf([LLAMA, { ...LLAMA, id: 'llama-2' }, QWEN]);
    const { providers } = bedOf(file, { llama: KEY, 'llama-2': KEY, qwen: AWAY });
    const error = await providers.checked().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConfigurationError);
    expect((error as ConfigurationError).problems).toEqual([
      'The provider groq needs GROQ_API_KEY. It is to serve llama, llama-2.',
      'The provider fireworks does not answer. It is to serve qwen.',
      expect.stringContaining('--provider-check=warn'),
    ]);
  });

  it('only warns of what may pass', async () => {
    const { providers, log } = bedOf(fileOf([LLAMA]), { llama: BUSY });
    await providers.checked();
    expect(log.join()).toContain('groq is not well. It is to serve llama.');
  });

  it('only warns where it is to', async () => {
    const { providers, log } = bedOf(fileOf([LLAMA]), { llama: KEY }, { providerCheck: 'warn' });
    await providers.checked();
    expect(log.join()).toContain('needs GROQ_API_KEY');
  });

  it('says nothing where nobody was asked', async () => {
    const { providers, log } = bedOf(fileOf([LLAMA]), { llama: KEY }, { providerCheck: 'off' });
    await providers.checked();
    expect(log).toEqual([]);
    expect(providers.trouble).toContain('GROQ_API_KEY'); // What is known all the same.
  });
});
