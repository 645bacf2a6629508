import type { Engine, ModelDescription } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import { describe, expect, it } from 'vitest';
import { Library, type OpenEngine } from './library.js';

const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });

/** An engine that is there and says its name. */
class NamedEngine implements Engine {
  closed = false;

  describe(): ModelDescription {
    return {
      id: 'demo',
      aliases: ['alias'],
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

  async *answer() {}

  async close(): Promise<void> {
    this.closed = true;
  }
}

function library(open: OpenEngine): { library: Library; states: string[] } {
  const states: string[] = [];
  const listener = { onState: (state: string) => states.push(state), onLoaded: () => undefined };
  return { library: new Library('demo', open, listener, logger), states };
}

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
    broken.noteBroken();
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
