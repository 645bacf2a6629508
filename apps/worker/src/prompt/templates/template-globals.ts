import { formatTime } from './format-time.js';

/** A template may count with a caller's variable; no honest one counts further than there are messages. */
const RANGE_LENGTH_MAX = 100_000;

/**
 * What Jinja and Hugging Face's transformers give every template. Not the library's own set (its `Template`), because
 * that knows the date only in the machine's language and does not let us replace it.
 */
export function templateGlobals(now: Date): Readonly<Record<string, unknown>> {
  return { ...CONSTANTS, strftime_now: (format: string) => formatTime(now, format) };
}

const CONSTANTS = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  range: (first: number, end?: number, step = 1) =>
    end === undefined ? range(0, first, step) : range(first, end, step),
  raise_exception: (sentence: unknown) => {
    throw new TemplateRefusal(String(sentence));
  },
};

/** What a template says with `raise_exception`. */
export class TemplateRefusal extends Error {
  override readonly name = 'TemplateRefusal';
}

/** What every template is given; `namespace` is the library's own. */
export const OUR_NAMES: ReadonlySet<string> = new Set([
  ...Object.keys(CONSTANTS),
  ...['messages', 'tools', 'documents', 'add_generation_prompt', 'bos_token', 'eos_token', 'strftime_now', 'namespace'],
]);

function range(first: number, end: number, step: number): number[] {
  const count = Math.max(0, Math.ceil((end - first) / step));
  if (!(count <= RANGE_LENGTH_MAX)) {
    throw new Error(`range() is asked for ${count} numbers; it gives ${RANGE_LENGTH_MAX}`);
  }
  return Array.from({ length: count }, (_, at) => first + at * step);
}
