import { createInterface, type Interface } from 'node:readline/promises';
import type { Readable, Writable } from 'node:stream';
import type { ChatMessage } from '@millrace/contracts';
import pc from 'picocolors';
import { CommandError } from '../command.js';
import { ask, type Question } from './ask.js';

interface Streams {
  readonly input: Readable & { readonly isTTY?: boolean };
  readonly output: Writable;
}

/** A conversation, a line at a time, until /exit, Ctrl-D or Ctrl-C at the prompt. */
export async function converse(question: Question, { input, output }: Streams): Promise<number> {
  const isTerminal = input.isTTY === true;
  const lines = createInterface({
    input,
    output: isTerminal ? output : undefined,
    prompt: pc.bold('> '),
    terminal: isTerminal,
  });
  const conversation = new Conversation(question, output);
  const onInterrupt = () => {
    if (!conversation.stopAnswer()) lines.close();
  };
  lines.on('SIGINT', onInterrupt);
  if (isTerminal) output.write(pc.dim(`${question.url}  /clear forgets, /exit leaves, Ctrl-C stops an answer\n\n`));

  let status = 0;
  promptFor(lines, isTerminal);
  // A `for await` rather than `question()`: lines that arrive during an answer, as from a pipe, wait their turn.
  for await (const line of lines) {
    const said = line.trim();
    if (said === '/exit' || said === '/quit') break;
    if (said === '/clear') conversation.clear();
    else if (said !== '') status = await conversation.say(said);
    promptFor(lines, isTerminal);
  }
  lines.close();
  if (isTerminal) output.write('\n');
  return status;
}

function promptFor(lines: Interface, isTerminal: boolean): void {
  if (isTerminal) lines.prompt();
}

/** What was said so far. A turn that failed, or stopped before its first word, is forgotten, so that it can be tried again. */
class Conversation {
  #messages: readonly ChatMessage[];
  #running: AbortController | undefined;
  readonly #question: Question;
  readonly #output: Writable;

  constructor(question: Question, output: Writable) {
    this.#question = question;
    this.#output = output;
    this.#messages = question.messages;
  }

  clear(): void {
    this.#messages = this.#question.messages;
    this.#output.write(pc.dim('(forgotten)\n'));
  }

  /** False when there was none to stop. */
  stopAnswer(): boolean {
    if (this.#running === undefined) return false;
    this.#running.abort();
    return true;
  }

  /** The exit status that this turn alone would give. */
  async say(user: string): Promise<number> {
    const messages = [...this.#messages, { role: 'user' as const, content: user }];
    const running = new AbortController();
    this.#running = running;
    let answer = '';
    try {
      await ask(
        { ...this.#question, messages },
        (text) => {
          answer += text;
          this.#output.write(text);
        },
        running.signal,
      );
      this.#output.write('\n\n');
      this.#remember(messages, answer);
      return 0;
    } catch (error) {
      if (running.signal.aborted) {
        this.#output.write(pc.dim(' (stopped)\n\n'));
        this.#remember(messages, answer);
        return 0;
      }
      if (!(error instanceof CommandError)) throw error;
      this.#output.write(`${answer === '' ? '' : '\n'}${pc.red(error.message)}\n\n`);
      return 1;
    } finally {
      this.#running = undefined;
    }
  }

  /** An empty answer would be read as the model's own silence, and taught to it. */
  #remember(asked: readonly ChatMessage[], answer: string): void {
    if (answer !== '') this.#messages = [...asked, { role: 'assistant', content: answer }];
  }
}
