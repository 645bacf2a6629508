import type { AnswerEvent, Engine, ModelDescription } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import { Library, type LibraryLimits, type LibraryListener } from './library.js';
import type { Lease } from './library-entry.js';
import type { LibraryModel, LookedAt, OpenTerms } from './library-model.js';
import { MemoryBudget } from './memory-budget.js';

/** An engine that is there and says its name. */
export class NamedEngine implements Engine {
  closed = false;

  constructor(private readonly id: string) {}

  describe(): ModelDescription {
    return described(this.id);
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

function described(id: string): ModelDescription {
  return {
    id,
    aliases: [],
    contextLength: 100,
    capabilities: ['chat'],
    engine: 'named 1',
    created: 0,
    samplingDefaults: {},
    isDefault: false,
  };
}

/** A model of a test's making, and what became of it. */
export interface TestModel extends LibraryModel {
  /** What its files look like; a test may change them. */
  files: string;
  /** Times that it was opened. */
  opens: number;
  /** The last engine. */
  engine: NamedEngine | undefined;
  /** Breaks the last engine. */
  breaks(error: unknown, isSound: boolean): void;
}

export interface TestModelTerms extends Partial<Pick<LibraryModel, 'loadsAtStart' | 'idleUnloadMs' | 'isElsewhere'>> {
  readonly aliases?: readonly string[];
  readonly bytes?: number;
  readonly trial?: LookedAt['trial'];
  /** Throws what is wrong with its file. */
  readonly look?: () => Promise<void>;
  /** Awaited before it is open; throws why it can't be. */
  readonly open?: (terms: OpenTerms) => Promise<void>;
}

export function testModel(id: string, terms: TestModelTerms = {}): TestModel {
  const { bytes = 100, aliases = [], trial } = terms;
  let broken: OpenTerms['onBroken'] | undefined;
  const model: TestModel = {
    id,
    aliases,
    isDefault: false,
    loadsAtStart: terms.loadsAtStart ?? false,
    idleUnloadMs: terms.idleUnloadMs ?? 0,
    isElsewhere: terms.isElsewhere ?? false,
    files: 'as they were',
    opens: 0,
    engine: undefined,
    breaks: (error, isSound) => broken?.(error, isSound),
    stamp: async () => model.files,
    look: async () => {
      await terms.look?.();
      return { description: described(id), bytes, trial, open };
    },
  };
  const open = async (openTerms: OpenTerms) => {
    model.opens++;
    broken = openTerms.onBroken;
    await terms.open?.(openTerms);
    model.engine = new NamedEngine(id);
    return model.engine;
  };
  return model;
}

export interface TestLibrary extends AsyncDisposable {
  readonly library: Library;
  readonly budget: MemoryBudget;
  /** What was told: `loaded a`, `failed a`, `unloaded a: room`, `hopeless: …`. */
  readonly told: string[];
  /** Of the log, warnings and errors. */
  readonly lines: string[];
  use(name: string, terms?: { readonly deadlineMs?: number; readonly signal?: AbortSignal }): Promise<Lease>;
}

/** Room for two models of the usual size, unless told otherwise. */
export function openTestLibrary(
  models: readonly [LibraryModel, ...LibraryModel[]],
  { bytes = 200, queueMax = 10, freeNow }: { bytes?: number; freeNow?: () => number } & Partial<LibraryLimits> = {},
): TestLibrary {
  const told: string[] = [];
  const lines: string[] = [];
  const logger = createLogger(
    { name: 'test', level: 'warn', format: 'json' },
    { write: (line) => void lines.push(line) },
  );
  const listener: LibraryListener = {
    onChange: () => undefined,
    onLoaded: ({ id }) => told.push(`loaded ${id}`),
    onFailed: ({ id }) => told.push(`failed ${id}`),
    onUnloaded: ({ id }, reason) => told.push(`unloaded ${id}: ${reason}`),
    onHopeless: ({ message }) => told.push(`hopeless: ${message}`),
  };
  const budget = new MemoryBudget(bytes, 0, freeNow ?? (() => Number.MAX_SAFE_INTEGER));
  const library = new Library(models, budget, { queueMax }, listener, logger);
  return {
    library,
    budget,
    told,
    lines,
    use: (name, { deadlineMs = 10_000, signal = new AbortController().signal } = {}) =>
      library.use(name, { deadlineMs, signal }),
    [Symbol.asyncDispose]: () => library.close(),
  };
}
