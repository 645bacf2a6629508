/**
 * Simulates the choice of workers at full size, and writes what came of it: a page with a plot, the plot alone, and the figures.
 *
 *   node test/routing/simulate.ts [folder] [--quick]
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { figuresOf, pageOf, plotOf } from './routing-page.ts';
import { type Outcome, type Scenario, simulate, simulateTwice } from './simulation.ts';

const quick = process.argv.includes('--quick');
const [folder = 'docs/concepts/routing-simulated'] = process.argv.slice(2).filter((one) => !one.startsWith('--'));

/** Seeds that nothing was tuned by: these are 101 and above, tuning has those below. */
const steady: Scenario = {
  name: 'one gateway, ten minutes',
  seed: 101,
  workers: quick ? 100 : 1_000,
  streams: quick ? 1_000 : 10_000,
  gateways: 1,
  seconds: quick ? 160 : 660,
  warmUpSeconds: 60,
  affinity: true,
};
const brief: Scenario = { ...steady, seconds: 160 };
const timed: Scenario = { ...brief, seed: 102, name: 'one gateway, another seed' };
const three: Scenario = {
  ...brief,
  gateways: 3,
  name: 'three gateways that know nothing of each other, each request at any of them',
};
const scenarios: readonly Scenario[] = [
  steady,
  timed,
  { ...brief, seed: 103, name: 'one gateway, a third seed' },
  { ...steady, name: 'one gateway, ten minutes, workers that keep half as much', cacheTokens: 131_072 },
  three,
  { ...three, name: 'the same with affinityLoadPercent: 160', affinityLoadPercent: 160 },
  {
    ...brief,
    name: 'a tenth of the workers leaves at 100 s and comes back empty at 115 s',
    away: { workers: steady.workers / 10, fromSeconds: 100, toSeconds: 115 },
  },
  { ...brief, name: 'for comparison: the least loaded, whatever it has read', affinity: false },
];

const outcomes: Outcome[] = [];
for (const scenario of scenarios) {
  // Twice takes its time; one is enough to know how long a choice takes.
  outcomes.push(scenario === timed ? simulateTwice(scenario) : simulate(scenario));
  process.stdout.write(`${figuresOf(outcomes.slice(-1))}\n\n`);
}
const [cpu] = cpus();
const machine = `This run: Node ${process.version}, ${cpus().length} cores of ${cpu?.model ?? 'an unknown kind'}.`;
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, 'index.html'), pageOf(outcomes, machine));
writeFileSync(join(folder, 'plot.svg'), plotOf(outcomes));
writeFileSync(join(folder, 'figures.txt'), `${machine}\n\n${figuresOf(outcomes)}\n`);
process.stdout.write(`The page: ${join(folder, 'index.html')}\n`);
