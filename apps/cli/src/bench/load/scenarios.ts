import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { CommandError } from '../../command.js';
import { freshText, PROMPTS } from '../prompts.js';
import { messagesOf } from '../target.js';

export interface Message {
  readonly role: string;
  readonly content: string;
}

/** What is asked, one session after another: a session is one request, or in a chat several that follow each other. */
export interface Scenario {
  readonly name: string;
  readonly turnsPerSession: number;
  /** The longest answer. */
  readonly maxTokens: number;
  /** What is asked in that turn, with `before` in front of it: what was said so far. */
  messages(session: number, turn: number, before: readonly Message[]): readonly Message[];
}

export interface ScenarioOptions {
  /** A file or a folder of texts, for the scenario `files`. */
  readonly prompts: string;
  /** Tells apart runs against one server: it must not know long prompts from the run before. */
  readonly run: number;
}

const MEDIUM_WORDS = 150;
const LONG_WORDS = 600;
const SHARED_WORDS = 300;
const CHAT_TURNS = 4;

const SCENARIOS: Readonly<Record<string, (options: ScenarioOptions) => Omit<Scenario, 'name'>>> = {
  short: () => ({ ...single((session) => ({ prompt: question(session) })), maxTokens: 64 }),
  medium: ({ run }) => ({
    ...single((session) => ({ prompt: freshText(MEDIUM_WORDS, run + session) })),
    maxTokens: 128,
  }),
  long: ({ run }) => ({ ...single((session) => ({ prompt: freshText(LONG_WORDS, run + session) })), maxTokens: 256 }),
  chat: () => ({
    turnsPerSession: CHAT_TURNS,
    maxTokens: 64,
    messages: (session, turn, before) => [...before, ...messagesOf({ prompt: question(session + turn) })],
  }),
  'shared-prefix': ({ run }) => {
    const systemPrompt = freshText(SHARED_WORDS, run);
    return { ...single((session) => ({ systemPrompt, prompt: question(session) })), maxTokens: 64 };
  },
  files: ({ prompts }) => {
    const texts = readPrompts(prompts);
    return { ...single((session) => ({ prompt: texts[session % texts.length]! })), maxTokens: 128 };
  },
};

export const SCENARIO_NAMES: readonly string[] = Object.keys(SCENARIOS);

export function openScenario(name: string, options: ScenarioOptions): Scenario {
  const open = Object.hasOwn(SCENARIOS, name) ? SCENARIOS[name] : undefined;
  if (open === undefined) {
    throw new CommandError(`--scenario has ${JSON.stringify(name)}. Each is one of ${SCENARIO_NAMES.join(', ')}.`);
  }
  return { name, ...open(options) };
}

function single(
  asked: (session: number) => { readonly prompt: string; readonly systemPrompt?: string },
): Pick<Scenario, 'turnsPerSession' | 'messages'> {
  return { turnsPerSession: 1, messages: (session) => messagesOf(asked(session)) };
}

function question(number: number): string {
  return PROMPTS[number % PROMPTS.length]!;
}

// ---------------------------------------------------------------------------------------------------- prompts as files

const FILES_MAX = 1_000;
const FILE_BYTES_MAX = 1_000_000;

/** The texts of `path`, a file or a folder of `.txt` files, in the order of their names. @throws CommandError */
export function readPrompts(path: string): readonly string[] {
  const files = promptFiles(path);
  if (files.length === 0) {
    throw new CommandError(
      `${path} holds no .txt file. Put each prompt into one, or name another folder with --prompts.`,
    );
  }
  if (files.length > FILES_MAX) {
    throw new CommandError(
      `${path} holds ${files.length} prompts; ${FILES_MAX} are read at most. Name a smaller folder.`,
    );
  }
  return files.map(readPrompt);
}

function promptFiles(path: string): string[] {
  try {
    if (statSync(path).isFile()) return [path];
    return readdirSync(path)
      .filter((name) => name.endsWith('.txt'))
      .toSorted()
      .map((name) => join(path, name));
  } catch (error) {
    throw unreadable(path, error);
  }
}

function readPrompt(file: string): string {
  let text: string;
  try {
    const { size } = statSync(file);
    if (size > FILE_BYTES_MAX) {
      throw new CommandError(`${file} has ${size} bytes; a prompt may have ${FILE_BYTES_MAX}. Shorten it.`);
    }
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw error instanceof CommandError ? error : unreadable(file, error);
  }
  if (text === '') throw new CommandError(`${basename(file)} is empty. Write a prompt into it, or remove it.`);
  return text;
}

function unreadable(path: string, error: unknown): CommandError {
  return new CommandError(
    `${path} (--prompts) can't be read (${(error as NodeJS.ErrnoException).code}). Name a file or a folder of .txt files.`,
  );
}
