/**
 * Simulates the choice of workers at full size, and writes what came of it: a page with a plot, the plot alone, and the figures.
 *
 *   node test/routing/simulate.ts [folder] [--quick]
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { figuresOf, pageOf, plotOf } from './routing-page.ts';
import { type Outcome, type Scenario, simulate } from './simulation.ts';

const quick = process.argv.includes('--quick');
const [folder = 'docs/concepts/routing-simulated'] = process.argv.slice(2).filter((one) => !one.startsWith('--'));

const steady: Scenario = {
  name: 'one gateway',
  seed: 1,
  workers: quick ? 100 : 1_000,
  streams: quick ? 1_000 : 10_000,
  gateways: 1,
  seconds: 100,
  warmUpSeconds: 50,
  affinity: true,
};
const scenarios: readonly Scenario[] = [
  steady,
  { ...steady, name: 'three gateways that know nothing of each other, each request at any of them', gateways: 3 },
  {
    ...steady,
    name: 'a tenth of the workers leaves at 60 s and comes back empty at 75 s',
    away: { workers: steady.workers / 10, fromSeconds: 60, toSeconds: 75 },
  },
  { ...steady, name: 'for comparison: the least loaded, whatever it has read', affinity: false },
];

const outcomes: Outcome[] = [];
for (const scenario of scenarios) {
  outcomes.push(simulate(scenario));
  process.stdout.write(`${figuresOf(outcomes.slice(-1))}\n\n`);
}
const [cpu] = cpus();
const machine = `This run: Node ${process.version}, ${cpus().length} cores of ${cpu?.model ?? 'an unknown kind'}.`;
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, 'index.html'), pageOf(outcomes, machine));
writeFileSync(join(folder, 'plot.svg'), plotOf(outcomes));
writeFileSync(join(folder, 'figures.txt'), `${machine}\n\n${figuresOf(outcomes)}\n`);
process.stdout.write(`The page: ${join(folder, 'index.html')}\n`);
