/** One line of Prometheus' text format. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** What was scraped, by name. */
export type MetricsText = ReadonlyMap<string, readonly Sample[]>;

/** Name, labels and number; behind them may be a time, and an example (`# {trace_id=…} …`). */
const LINE = /^([a-zA-Z_:][\w:]*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?\s+(\S+)(?:\s|$)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** Prometheus' text format; what is no line of it is passed over, as comments are. */
export function parseMetrics(text: string): MetricsText {
  const byName = new Map<string, Sample[]>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const [, name, labels = '', number] = LINE.exec(line.trimEnd()) ?? [];
    if (name === undefined) continue;
    const sample = { labels: labelsIn(labels), value: numberOf(number!) };
    const samples = byName.get(name);
    if (samples === undefined) byName.set(name, [sample]);
    else samples.push(sample);
  }
  return byName;
}

function labelsIn(text: string): Record<string, string> {
  return Object.fromEntries(Array.from(text.matchAll(LABEL), ([, name, value]) => [name!, unescaped(value!)]));
}

function unescaped(value: string): string {
  return value.replace(/\\(.)/g, (_, character: string) => (character === 'n' ? '\n' : character));
}

function numberOf(text: string): number {
  if (/^[+-]?Inf$/i.test(text)) return text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return Number(text);
}
