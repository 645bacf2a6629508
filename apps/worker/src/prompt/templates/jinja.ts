import { Environment, parse, tokenize } from '@huggingface/jinja';
import { type Node, setVariable, type Value } from './jinja-library.js';
import { LenientInterpreter } from './lenient-interpreter.js';

type Program = ReturnType<typeof parse>;

export interface RenderLimits {
  readonly timeMs: number;
  /** Of any text that a template makes on its way, and of the whole. */
  readonly charactersMax: number;
}

/** No honest template comes near: a list has as many items as a chat has messages, or a text has lines. */
const LIST_LENGTH_MAX = 1_000_000;
/** Reading the clock costs more than a step. */
const STEPS_PER_LOOK_AT_CLOCK = 256;
/** Macros that call each other, and blocks within blocks. The stack holds more. */
const DEPTH_MAX = 500;
/** Characters of all texts that one rendering may make, for each that the whole may have. */
const MADE_PER_CHARACTER_MAX = 64;

/** A template went beyond its limits. The sentence says which, and goes on after "The model's chat template ". */
export class TemplateOverrun extends Error {
  override readonly name = 'TemplateOverrun';
}

/** A template that was read: Jinja, as Hugging Face's transformers set it up, for which chat templates are written. */
export class Jinja {
  readonly #program: Program;

  /** @throws Error when `source` is not Jinja that we can read. */
  constructor(source: string) {
    this.#program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
  }

  /**
   * @param variables what the template may ask for, functions included.
   * @throws TemplateOverrun; whatever the template throws.
   */
  render(variables: Readonly<Record<string, unknown>>, limits: RenderLimits): string {
    const environment = new Environment();
    for (const [name, value] of Object.entries(variables)) setVariable(environment, name, value);
    return String(new BoundedInterpreter(environment, limits).run(this.#program).value);
  }
}

/**
 * Looks at every value on its way. Most of what a hostile template could do ends here, with a sentence; the rest, such as
 * one filter on one large text, is left to whoever watches the process.
 */
class BoundedInterpreter extends LenientInterpreter {
  readonly #endsAt: number;
  #steps = 0;
  #depth = 0;
  #charactersMade = 0;

  constructor(
    environment: unknown,
    private readonly limits: RenderLimits,
  ) {
    super(environment);
    this.#endsAt = performance.now() + limits.timeMs;
  }

  override evaluate(node: Node, environment: unknown): Value {
    if (++this.#steps % STEPS_PER_LOOK_AT_CLOCK === 0) this.#checkClock();
    // Looked at here, since the library takes an overflowing stack for a variable that isn't set.
    if (this.#depth >= DEPTH_MAX)
      throw new TemplateOverrun('calls itself without end for these messages. Change them.');
    this.#depth++;
    try {
      const value = super.evaluate(node, environment);
      const { value: made } = value;
      if (typeof made === 'string') this.#checkText(made.length);
      else if (Array.isArray(made)) checkList(made.length);
      return value;
    } finally {
      // In any case: `break` is thrown.
      this.#depth--;
    }
  }

  override evaluateFor(node: Node, environment: unknown): Value {
    // A loop prepares all its rounds before the first one.
    this.#checkClock();
    return super.evaluateFor(node, environment);
  }

  #checkClock(): void {
    if (performance.now() > this.#endsAt) throw new TemplateOverrun(overrunSentence(this.limits.timeMs));
  }

  #checkText(length: number): void {
    const { charactersMax } = this.limits;
    this.#charactersMade += length;
    if (length <= charactersMax && this.#charactersMade <= charactersMax * MADE_PER_CHARACTER_MAX) return;
    throw new TemplateOverrun(
      `makes a text of more than ${charactersMax.toLocaleString('en-US')} characters of these messages, which is the most that is rendered. Shorten them.`,
    );
  }
}

export function overrunSentence(timeLimitMs: number): string {
  return `took longer than ${timeLimitMs.toLocaleString('en-US')} ms for these messages (templateTimeoutMs). Shorten them, or give the model another template.`;
}

function checkList(length: number): void {
  if (length <= LIST_LENGTH_MAX) return;
  const [made, limit] = [length, LIST_LENGTH_MAX].map((count) => count.toLocaleString('en-US'));
  throw new TemplateOverrun(`makes a list of ${made} items; ${limit} are accepted. Shorten the messages.`);
}
