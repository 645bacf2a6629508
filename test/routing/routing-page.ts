import { MEASURES, type Measure, type Moment, type Outcome } from './simulation.ts';

/** What a run is judged by. */
export const AIMS = { hits: 0.9, ratio: 1.25, micros: 100 } as const;

const COLOURS = ['#1f6feb', '#39a0ca', '#0b3d91', '#d1570b', '#b8860b', '#2e7d32', '#777777', '#8e24aa'];
const WIDTH = 860;
const PLOT_HEIGHT = 190;
const LEFT = 56;
const RIGHT = 16;
const TITLE_HEIGHT = 34;
const AXIS_HEIGHT = 34;
const ROW_HEIGHT = TITLE_HEIGHT + PLOT_HEIGHT + AXIS_HEIGHT;

interface Line {
  readonly name: string;
  readonly points: readonly (readonly [number, number])[];
}

interface Plot {
  readonly title: string;
  readonly xName: string;
  readonly xMax: number;
  readonly yMin: number;
  readonly yMax: number;
  readonly yStep: number;
  readonly written: (value: number) => string;
  readonly aim: { readonly value: number; readonly name: string };
  readonly lines: readonly Line[];
}

/** Three plots below each other, and what the colours mean. */
export function plotOf(outcomes: readonly Outcome[]): string {
  const seconds = Math.max(...outcomes.map(({ scenario }) => scenario.seconds));
  const overTime = (value: (moment: Moment) => number) =>
    outcomes.map(({ scenario, moments }) => ({
      name: scenario.name,
      points: moments.map((moment) => [moment.seconds, value(moment)] as const),
    }));
  const plots: Plot[] = [
    {
      title: 'Tokens of prompts found read, of those that one infinitely large worker finds',
      xName: 'seconds since the cold start',
      xMax: seconds,
      yMin: 0,
      yMax: 1,
      yStep: 0.25,
      written: (value) => `${Math.round(value * 100)} %`,
      aim: { value: AIMS.hits, name: 'aim: 90 % and more' },
      lines: overTime(({ hits }) => hits),
    },
    {
      title: 'The most loaded worker, of the mean (answers under way)',
      xName: 'seconds since the cold start',
      xMax: seconds,
      yMin: 1,
      yMax: 2,
      yStep: 0.25,
      written: (value) => value.toFixed(2),
      aim: { value: AIMS.ratio, name: 'aim: below 1.25' },
      lines: overTime(({ ratios }) => ratios.streams),
    },
    {
      title: 'How long a choice took, hashing the prompt included',
      xName: 'of 100 choices, so many took no longer',
      xMax: 100,
      yMin: 0,
      yMax: 200,
      yStep: 50,
      written: (value) => `${value} µs`,
      aim: { value: AIMS.micros, name: 'aim: below 100 µs' },
      lines: outcomes.map(({ scenario, decisionMicros }) => {
        const sorted = decisionMicros.toSorted();
        const points = Array.from({ length: 100 }, (_, percent) => [percent, at(sorted, percent / 100)] as const);
        return { name: scenario.name, points };
      }),
    },
  ];
  const legendHeight = 22 * outcomes.length + 12;
  const height = plots.length * ROW_HEIGHT + legendHeight;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="system-ui, sans-serif" font-size="12" role="img">
<title>Prefix hits and load of the workers, simulated</title>
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
${plots.map((plot, row) => drawn(plot, row * ROW_HEIGHT)).join('\n')}
${outcomes.map(({ scenario }, index) => legend(scenario.name, index, plots.length * ROW_HEIGHT + 8)).join('\n')}
</svg>
`;
}

function drawn({ title, xName, xMax, yMin, yMax, yStep, written, aim, lines }: Plot, top: number): string {
  const bottom = top + TITLE_HEIGHT + PLOT_HEIGHT;
  const x = (value: number) => LEFT + (value / xMax) * (WIDTH - LEFT - RIGHT);
  const y = (value: number) => bottom - ((Math.min(yMax, Math.max(yMin, value)) - yMin) / (yMax - yMin)) * PLOT_HEIGHT;
  const rows = Array.from({ length: Math.round((yMax - yMin) / yStep) + 1 }, (_, step) => yMin + step * yStep);
  const columns = Array.from({ length: 7 }, (_, step) => (step * xMax) / 6);
  return [
    `<text x="${LEFT}" y="${top + 22}" font-size="14" font-weight="600" fill="#222">${title}</text>`,
    ...rows.map(
      (value) =>
        `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(value)}" y2="${y(value)}" stroke="#e3e3e3"/><text x="${LEFT - 6}" y="${y(value) + 4}" text-anchor="end" fill="#555">${written(value)}</text>`,
    ),
    ...columns.map(
      (value) =>
        `<text x="${x(value)}" y="${bottom + 15}" text-anchor="middle" fill="#555">${Math.round(value)}</text>`,
    ),
    `<text x="${WIDTH - RIGHT}" y="${bottom + 29}" text-anchor="end" fill="#555">${xName}</text>`,
    ...lines.map(({ points }, index) => {
      const path = points.map(([px, py]) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`).join(' ');
      return `<polyline points="${path}" fill="none" stroke="${colour(index)}" stroke-width="1.4" stroke-opacity="0.85"/>`;
    }),
    `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(aim.value)}" y2="${y(aim.value)}" stroke="#b00020" stroke-dasharray="6 4"/>`,
    `<text x="${WIDTH - RIGHT - 4}" y="${y(aim.value) - 5}" text-anchor="end" fill="#b00020">${aim.name}</text>`,
  ].join('\n');
}

function legend(name: string, index: number, top: number): string {
  const y = top + 22 * index + 10;
  return `<line x1="${LEFT}" x2="${LEFT + 26}" y1="${y}" y2="${y}" stroke="${colour(index)}" stroke-width="3"/><text x="${LEFT + 34}" y="${y + 4}" fill="#222">${name}</text>`;
}

function colour(index: number): string {
  return COLOURS[index % COLOURS.length]!;
}

const NAMES: Readonly<Record<Measure, string>> = {
  streams: 'answers under way        ',
  expected: 'tokens expected          ',
  remaining: 'tokens really outstanding',
};

/** The figures as lines of text. */
export function figuresOf(outcomes: readonly Outcome[]): string {
  return outcomes
    .map((outcome) => {
      const { scenario, decisions, hits, idealPart, reasons, decisionMicros } = outcome;
      const sorted = decisionMicros.toSorted();
      const counted = Object.values(reasons).reduce((all, count) => all + count, 0);
      const why = Object.entries(reasons).map(([reason, count]) => `${reason} ${percent(count / counted)}`);
      const { gateways, workers, streams, seconds, warmUpSeconds } = scenario;
      return [
        scenario.name,
        `  ${whole(workers)} workers, ${whole(streams)} streams, ${gateways} gateway${gateways > 1 ? 's' : ''}, ${seconds} s, of which the first ${warmUpSeconds} do not count; ${whole(decisions)} choices`,
        `  tokens found read, of what one infinitely large worker finds  ${percent(hits)}  (that one finds ${percent(idealPart)} of all)`,
        `  the same in the last quarter                                  ${percent(outcome.hitsAtLast)}`,
        ...MEASURES.map(
          (measure) =>
            `  most loaded worker, of the mean, by ${NAMES[measure]} ${outcome.ratiosMax[measure].toFixed(3)} at most, ${outcome.ratiosMean[measure].toFixed(3)} on the average`,
        ),
        `  a choice takes                                                ${micros(outcome.cpuMicrosMean)} of processor time on the average; by the clock p50 ${micros(at(sorted, 0.5))}, p95 ${micros(at(sorted, 0.95))}, p99 ${micros(at(sorted, 0.99))}`,
        `  chosen by                                                     ${why.join(', ')}`,
      ].join('\n');
    })
    .join('\n\n');
}

export function pageOf(outcomes: readonly Outcome[], machine: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Routing, simulated</title>
<style>body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:#222}pre{background:#f6f6f6;padding:1em;overflow:auto;font-size:12.5px}</style>
<h1>Routing, simulated</h1>
<p>Written by <code>make simulate-routing</code>, which has the gateway's own choice of workers choose among workers that are only reckoned.
What is assumed stands at the top of <code>test/routing/simulation.ts</code>; how a worker is chosen in <code>docs/concepts/routing.md</code>. ${machine}</p>
${plotOf(outcomes)}
<p>By answers under way the bound holds for each choice of a gateway that knows of all of them. <em>Tokens expected</em> are answers at
<code>answerTokensEstimate</code> each until they end, and of a prompt what was not read before, until its answer begins: one long prompt that is being
read is more than all answers of a worker together, for about a second, whoever chooses. <em>Tokens really outstanding</em> are what is
still to be read and written, which nobody can know beforehand.</p>
<pre>${figuresOf(outcomes)}</pre>
</html>
`;
}

function at(sorted: Float64Array, part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

function percent(part: number): string {
  return `${(part * 100).toFixed(1)} %`;
}

function micros(value: number): string {
  return `${value.toFixed(0)} µs`;
}

function whole(value: number): string {
  return value.toLocaleString('en');
}
