import type { AnswerEvent, Engine, ModelDescription } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import { describe, expect, it } from 'vitest';
import { Library, type LibraryModel, type OpenEngine } from './library.js';

/** An engine that is there and says its name. */
class NamedEngine implements Engine {
  closed = false;

  constructor(private readonly id = 'demo') {}

  describe(): ModelDescription {
    return {
      id: this.id,
      aliases: [],
      contextLength: 100,
      capabilities: ['chat'],
      engine: 'named 1',
      created: 0,
      samplingDefaults: {},
      isDefault: true,
    };
  }

  load() {
    return { running: 2, waiting: 1 };
  }

  // biome-ignore lint/correctness/useYield: it only has a name.
  async *answer(): AsyncGenerator<AnswerEvent, void, undefined> {
    throw new Error('It answers nothing.');
  }

  embed = nothing;
  rerank = nothing;
  tokenize = nothing;
  detokenize = nothing;
  renderPrompt = nothing;

  async close(): Promise<void> {
    this.closed = true;
  }
}

async function nothing(): Promise<never> {
  throw new Error('It answers nothing.');
}

const model = (id: string, open: OpenEngine, ...aliases: string[]): LibraryModel => ({ id, aliases, open });

function libraryOf(...models: readonly [LibraryModel, ...LibraryModel[]]) {
  const states: string[] = [];
  const lines: string[] = [];
  const logger = createLogger(
    { name: 'test', level: 'error', format: 'json' },
    { write: (line) => void lines.push(line) },
  );
  let loaded = 0;
  const listener = { onState: (state: string) => states.push(state), onLoaded: () => void loaded++ };
  return { library: new Library(models, listener, logger), states, lines, loaded: () => loaded };
}

const library = (open: OpenEngine) => libraryOf(model('demo', open, 'alias'));

describe('Library', () => {
  it('says where loading stands, and then answers for the model and its aliases', async () => {
    const loading = Promise.withResolvers<Engine>();
    const opened = library(async (report) => {
      report('Half of it is loaded.');
      return loading.promise;
    });
    const loaded = opened.library.load();
    expect(opened.library).toMatchObject({ state: 'loading', detail: 'Half of it is loaded.' });
    expect(opened.library.models()).toEqual([]);
    expect(() => opened.library.engineFor('demo')).toThrow(
      expect.objectContaining({ code: 'model_not_ready', message: 'Half of it is loaded.' }),
    );

    const engine = new NamedEngine();
    loading.resolve(engine);
    await loaded;
    expect(opened.library).toMatchObject({ state: 'ready', detail: '', engineLoad: { running: 2, waiting: 1 } });
    expect(opened.library.engineFor('demo')).toBe(engine);
    expect(opened.library.engineFor('alias')).toBe(engine);
    expect(() => opened.library.engineFor('other')).toThrow(expect.objectContaining({ code: 'model_not_found' }));
    expect(opened.states).toEqual(['ready']);
  });

  it('loads once, however often it is asked', async () => {
    let opens = 0;
    const { library: once } = library(async () => {
      opens++;
      return new NamedEngine();
    });
    await Promise.all([once.load(), once.load()]);
    expect(opens).toBe(1);
  });

  it('says why loading failed, and throws it', async () => {
    const { library: failing, states } = library(async () => {
      throw new Error('The file is cut short. Copy it again.');
    });
    await expect(failing.load()).rejects.toThrow('The file is cut short. Copy it again.');
    expect(failing.detail).toBe("The model demo can't be loaded: The file is cut short. Copy it again.");
    expect(states).toEqual(['failed']);
    await failing.close();
  });

  it('is not ready any more when its engine broke', async () => {
    const { library: broken } = library(async () => new NamedEngine());
    await broken.load();
    broken.noteBroken('demo');
    expect(broken.state).toBe('failed');
    expect(() => broken.engineFor('demo')).toThrow(expect.objectContaining({ code: 'model_not_ready' }));
  });

  it('stops loading, and closes what came of it', async () => {
    const engine = new NamedEngine();
    const { library: closing } = library(
      (_report, signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(engine))),
    );
    void closing.load();
    await closing.close();
    expect(engine.closed).toBe(true);
  });
});

describe('Library of several models', () => {
  it('loads one at a time, the chosen one first, and is ready when all are', async () => {
    const opened: string[] = [];
    const gates = new Map(['chat', 'vectors', 'ranks'].map((id) => [id, Promise.withResolvers<Engine>()]));
    const open = (id: string): OpenEngine => {
      return async (report) => {
        opened.push(id);
        report(`${id} is loading.`);
        return gates.get(id)!.promise;
      };
    };
    const { library: several, loaded } = libraryOf(
      model('chat', open('chat')),
      model('vectors', open('vectors'), 'embed'),
      model('ranks', open('ranks')),
    );
    const whole = several.load();
    await expect.poll(() => opened).toEqual(['chat']);
    gates.get('chat')!.resolve(new NamedEngine('chat'));
    await expect.poll(() => opened).toEqual(['chat', 'vectors']);
    expect(several).toMatchObject({ state: 'loading', detail: 'vectors is loading.' });
    expect(several.engineFor('chat').describe().id).toBe('chat');
    expect(() => several.engineFor('embed')).toThrow(expect.objectContaining({ message: 'vectors is loading.' }));
    gates.get('vectors')!.resolve(new NamedEngine('vectors'));
    gates.get('ranks')!.resolve(new NamedEngine('ranks'));
    await whole;
    expect(several).toMatchObject({ state: 'ready', detail: '', engineLoad: { running: 6, waiting: 3 } });
    expect(several.models().map(({ id }) => id)).toEqual(['chat', 'vectors', 'ranks']);
    expect(several.engineFor('embed').describe().id).toBe('vectors');
    expect(() => several.engineFor('other')).toThrow('This worker serves chat, vectors, ranks, not "other".');
    expect(loaded()).toBe(1);
  });

  it('lives on when one beside the chosen model fails, and says so', async () => {
    const {
      library: several,
      lines,
      states,
    } = libraryOf(
      model('chat', async () => new NamedEngine('chat')),
      model('vectors', async () => {
        throw new Error('The file is missing.');
      }),
      model('ranks', async () => new NamedEngine('ranks')),
    );
    await several.load();
    expect(several.state).toBe('ready');
    expect(states.at(-1)).toBe('ready');
    expect(several.detail).toBe("The model vectors can't be loaded: The file is missing.");
    expect(lines.join('')).toContain("The model vectors can't be loaded: The file is missing.");
    expect(several.models().map(({ id }) => id)).toEqual(['chat', 'ranks']);
    expect(() => several.engineFor('vectors')).toThrow(expect.objectContaining({ code: 'model_not_ready' }));
  });

  it('says once which engine broke, though the chosen model is lost with it', async () => {
    const { library: several } = libraryOf(
      model('chat', async () => new NamedEngine('chat')),
      model('other', async () => new NamedEngine('other')),
    );
    await several.load();
    several.noteBroken('other');
    expect(several).toMatchObject({
      state: 'failed',
      detail: 'The engine of other broke; this worker has to be restarted.',
    });
  });

  it('ends with the chosen model, and then does not try the others', async () => {
    const opened: string[] = [];
    const { library: several } = libraryOf(
      model('chat', async () => {
        throw new Error('The file is missing.');
      }),
      model('vectors', async () => {
        opened.push('vectors');
        return new NamedEngine('vectors');
      }),
    );
    await expect(several.load()).rejects.toThrow('The file is missing.');
    expect(several).toMatchObject({ state: 'failed', detail: "The model chat can't be loaded: The file is missing." });
    expect(opened).toEqual([]);
  });

  it('closes all of them, also in the middle of loading', async () => {
    const engines = [new NamedEngine('chat'), new NamedEngine('vectors')] as const;
    const { library: several, lines } = libraryOf(
      model('chat', async () => engines[0]),
      model('vectors', async () => engines[1]),
      model('ranks', (_report, signal) => {
        return new Promise((_resolve, reject) =>
          signal.addEventListener('abort', () => reject(new Error('no longer wanted'))),
        );
      }),
      model('never', async () => {
        throw new Error('This one is not tried any more.');
      }),
    );
    const loading = several.load();
    await expect.poll(() => several.models()).toHaveLength(2);
    await several.close();
    await loading;
    expect(engines.map(({ closed }) => closed)).toEqual([true, true]);
    expect(lines).toEqual([]);
  });
});
