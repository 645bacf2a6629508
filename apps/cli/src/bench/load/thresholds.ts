import { CommandError } from '../../command.js';
import type { LoadFigures } from './tally.js';

/** One limit that a figure is held to, such as `total.p95<1000`. */
export interface Threshold {
  /** As it is written in reports. */
  readonly text: string;
  figureOf(figures: LoadFigures): number | undefined;
  holds(figure: number): boolean;
}

/** What a threshold came to. */
export interface ThresholdResult {
  readonly threshold: string;
  /** Absent: nothing was answered, so that there is none; then it is missed. */
  readonly figure?: number | undefined;
  readonly met: boolean;
}

const COMPARISONS: Readonly<Record<string, (figure: number, limit: number) => boolean>> = {
  '<': (figure, limit) => figure < limit,
  '<=': (figure, limit) => figure <= limit,
  '>': (figure, limit) => figure > limit,
  '>=': (figure, limit) => figure >= limit,
};

interface Measure {
  readonly of: (figures: LoadFigures) => number | undefined;
  readonly unit: '' | 'ms' | '%';
}

const times = (name: string, of: (figures: LoadFigures) => LoadFigures['totalMs']): [string, Measure][] =>
  (['p50', 'p95', 'p99'] as const).map((percentile) => [
    `${name}.${percentile}`,
    { of: (figures) => of(figures)?.[percentile], unit: 'ms' },
  ]);

/** By the names of the columns. */
const MEASURES = new Map<string, Measure>([
  ...times('first', ({ firstTokenMs }) => firstTokenMs),
  ...times('gap', ({ gapMs }) => gapMs),
  ...times('total', ({ totalMs }) => totalMs),
  ['requests/s', { of: ({ requestsPerSecond }) => requestsPerSecond, unit: '' }],
  ['tokens/s', { of: ({ tokensPerSecond }) => tokensPerSecond, unit: '' }],
  ['failed', { of: ({ failed, requests }) => (requests === 0 ? undefined : (failed / requests) * 100), unit: '%' }],
]);

const FORM = /^([a-z/]+(?:\.p\d+)?)\s*(<=?|>=?)\s*(\d+(?:\.\d+)?)\s*(ms|%)?$/;

/** @throws CommandError that says how one is written. */
export function readThreshold(text: string): Threshold {
  const [, name = '', sign = '', number = '', unit] = FORM.exec(text.trim()) ?? [];
  const measure = MEASURES.get(name);
  if (measure === undefined || (unit !== undefined && unit !== measure.unit)) {
    throw new CommandError(
      `--thresholds has ${JSON.stringify(text)}. Each is a figure, <, <=, > or >=, and a number, such as total.p95<1000 or failed<0.1. Figures are ${[...MEASURES.keys()].join(', ')}; times are in ms, failed in %.`,
    );
  }
  const limit = Number(number);
  return {
    text: `${name}${sign}${number}${measure.unit === '%' ? '%' : ''}`,
    figureOf: measure.of,
    holds: (figure) => COMPARISONS[sign]!(figure, limit),
  };
}

export function thresholdResults(thresholds: readonly Threshold[], figures: LoadFigures): ThresholdResult[] {
  return thresholds.map((threshold) => {
    const figure = threshold.figureOf(figures);
    return { threshold: threshold.text, figure, met: figure !== undefined && threshold.holds(figure) };
  });
}
