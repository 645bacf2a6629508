import type { CallDelta } from '@millrace/contracts';
import { JsonEnd } from '@millrace/runtime';

interface Call {
  readonly index: number;
  /** The upstream's; only to tell calls apart. */
  readonly id: string | undefined;
  readonly name: string;
  readonly upstreamIndex: number | undefined;
  readonly arguments: JsonEnd;
}

/** One that has no name yet cannot be told of. */
interface Unnamed {
  readonly id: string | undefined;
  readonly upstreamIndex: number | undefined;
  arguments: string;
}

const UNNAMED_CHARACTERS_MAX = 1_048_576;
/** Of the calls that are passed over, the latest: pieces of theirs are told from pieces of others. */
const PASSED_OVER_MAX = 128;

/**
 * Puts the pieces of tool calls into order, whatever an upstream does with `index`, `id` and `name`: left out, repeated in
 * every piece, always 0, null, or a call whole in one piece with its arguments as an object.
 */
export class ToolCallPieces {
  readonly #calls: Call[] = [];
  #unnamed: Unnamed | undefined;

  /** @param callsMax further calls are passed over. */
  constructor(private readonly callsMax: number) {}

  get any(): boolean {
    return this.#calls.length > 0;
  }

  /**
   * @param pieces `delta.tool_calls` of a chunk, as it came.
   * @throws RangeError for arguments that are no text, and nested too deep to become one.
   */
  add(pieces: unknown): CallDelta[] {
    if (!Array.isArray(pieces)) return [];
    return pieces.flatMap((piece) => this.#piece(piece) ?? []);
  }

  /** What is missing for the arguments of every call to be JSON, once all of them have come: a call that was cut has no arguments yet. */
  end(): CallDelta[] {
    if (!this.any) return [];
    return this.#calls
      .filter((call) => call.arguments.empty && call.index < this.callsMax)
      .map(({ index }) => ({ index, arguments: '{}' }));
  }

  #piece(piece: unknown): CallDelta | undefined {
    if (typeof piece !== 'object' || piece === null) return undefined;
    const { index, id, function: called } = piece as Record<string, unknown>;
    const { name, arguments: given } = (typeof called === 'object' && called !== null ? called : {}) as Record<
      string,
      unknown
    >;
    const told = {
      upstreamIndex: typeof index === 'number' ? index : undefined,
      id: textOf(id),
      name: textOf(name),
      arguments: argumentsText(given),
    };
    const known = this.#callOf(told);
    if (known !== undefined) return this.#goOn(known, told.arguments);
    return this.#open(told);
  }

  /** The call that a piece goes on with, or undefined where it begins another. */
  #callOf({ upstreamIndex, id, name }: Told): Call | undefined {
    if (this.#unnamed !== undefined) return undefined;
    const last = this.#calls.at(-1);
    const candidate =
      upstreamIndex === undefined
        ? last
        : (this.#calls.findLast((call) => call.upstreamIndex === upstreamIndex) ?? undefined);
    if (candidate === undefined) return undefined;
    // Ollama gave every call the index 0, and its own id.
    if (id !== undefined && candidate.id !== undefined) return id === candidate.id ? candidate : this.#withId(id);
    if (name === undefined || name === candidate.name) {
      // Whole calls of the same name, without an id or an index between them.
      return name !== undefined && id === undefined && upstreamIndex === undefined && candidate.arguments.reached
        ? undefined
        : candidate;
    }
    return undefined;
  }

  #withId(id: string): Call | undefined {
    return this.#calls.findLast((call) => call.id === id);
  }

  #goOn(call: Call, text: string): CallDelta | undefined {
    if (text === '' || call.index >= this.callsMax) return undefined;
    call.arguments.push(text);
    return { index: call.index, arguments: text };
  }

  #open(told: Told): CallDelta | undefined {
    const before = this.#unnamed;
    const begun = before?.arguments ?? '';
    const text = begun.length < UNNAMED_CHARACTERS_MAX ? begun + told.arguments : begun;
    const id = told.id ?? before?.id;
    const upstreamIndex = told.upstreamIndex ?? before?.upstreamIndex;
    if (told.name === undefined) {
      this.#unnamed = { id, upstreamIndex, arguments: text };
      return undefined;
    }
    this.#unnamed = undefined;
    if (this.#calls.length === this.callsMax + PASSED_OVER_MAX) this.#calls.pop();
    const index = this.#calls.length;
    const json = new JsonEnd();
    json.push(text);
    this.#calls.push({ index, id, name: told.name, upstreamIndex, arguments: json });
    return index < this.callsMax ? { index, name: told.name, arguments: text } : undefined;
  }
}

interface Told {
  readonly upstreamIndex: number | undefined;
  readonly id: string | undefined;
  readonly name: string | undefined;
  readonly arguments: string;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function argumentsText(value: unknown): string {
  if (typeof value === 'string') return value;
  return value === undefined || value === null ? '' : JSON.stringify(value);
}
