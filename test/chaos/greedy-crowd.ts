/** Clients who ask without a pause, and compare each answer with the one that was given alone. */
import { type Answer, type Asked, ask, isSame, QUESTIONS, type Question } from './questions.ts';
import type { Service } from './service.ts';

export interface Differing {
  readonly requestId: string;
  readonly name: string;
  readonly answer: Answer;
}

/** Each question asked alone, streamed and whole: what there is to compare with, and the names of those that are no measure. */
export async function askAlone(
  service: Service,
): Promise<{ readonly alone: ReadonlyMap<string, Answer>; readonly unstable: readonly string[] }> {
  const alone = new Map<string, Answer>();
  const unstable: string[] = [];
  for (const question of QUESTIONS) {
    const { url } = await service.pick();
    const { answer } = await ask(url, question, true, '');
    const { answer: whole } = await ask(url, question, false, '');
    if (!isSame(answer, whole)) unstable.push(question.name);
    alone.set(question.name, answer);
  }
  return { alone, unstable };
}

/**
 * Clients ask, each one thing at a time, streamed and whole by turns, of any gateway that is ready. None asks twice.
 *
 * Ownership: of its clients. `stop` lets each have its last answer.
 */
export class GreedyCrowd {
  readonly asked: Asked[] = [];
  readonly failures: string[] = [];
  readonly differing: Differing[] = [];
  readonly #service: Service;
  readonly #alone: ReadonlyMap<string, Answer>;
  readonly #prefix: string;
  readonly #clients: Promise<void>[];
  #stopped = false;
  #count = 0;

  /**
   * @param alone by the name of the question.
   * @param prefix what request ids begin with.
   */
  constructor(clients: number, service: Service, alone: ReadonlyMap<string, Answer>, prefix: string) {
    this.#service = service;
    this.#alone = alone;
    this.#prefix = prefix;
    this.#clients = Array.from({ length: clients }, () => this.#ask());
  }

  /** In which nothing came of an answer, of those that are finished. */
  longestGapMs(): number {
    return Math.max(0, ...this.asked.map(({ longestGapMs }) => longestGapMs));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
  }

  async #ask(): Promise<void> {
    while (!this.#stopped) {
      const number = this.#count++;
      const question = QUESTIONS[number % QUESTIONS.length]!;
      // Each question both ways.
      const stream = (number + Math.floor(number / QUESTIONS.length)) % 2 === 0;
      await this.#askOnce(question, stream, `${this.#prefix}-${number}`);
    }
  }

  async #askOnce(question: Question, stream: boolean, requestId: string): Promise<void> {
    let door = '';
    try {
      const { name, url } = await this.#service.pick();
      door = name;
      const asked = await ask(url, question, stream, requestId);
      this.asked.push(asked);
      if (!isSame(asked.answer, this.#alone.get(question.name)!))
        this.differing.push({ requestId, name: question.name, answer: asked.answer });
    } catch (error) {
      this.failures.push(
        `${door}, ${requestId} (${question.name}, ${stream ? 'streamed' : 'whole'}): ${describe(error)}`,
      );
    }
  }
}

export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}
