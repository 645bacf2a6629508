/**
 * Sends requests over everything that the OpenAPI document lists, valid and spoilt, to a real gateway and worker with the
 * built-in model, and judges every answer: no 5xx, none that does not come, no crash, every error in the promised shape,
 * every success valid against its own schema.
 *
 *     make fuzz                          20,000 requests of a new seed
 *     make fuzz REQUESTS=500 SEED=7      fewer, and the same ones each time
 *     make fuzz SEED=7 FROM=123 REQUESTS=1    one of them again
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { reportText } from './fuzz-report.ts';
import { FuzzRun } from './fuzz-run.ts';
import { startFuzzedStack } from './fuzzed-stack.ts';
import { readOpenApi } from './open-api.ts';

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '' },
    from: { type: 'string', default: '0' },
    clients: { type: 'string', default: '8' },
  },
});
const seed = values.seed === '' ? randomInt(1_000_000) : Number(values.seed);

await using stack = await startFuzzedStack();
console.log(`${values.requests} requests with seed ${seed} to ${stack.url}`);
const run = new FuzzRun({
  ...stack,
  document: readOpenApi(),
  requests: Number(values.requests),
  seed,
  from: Number(values.from),
  clients: Number(values.clients),
  deadlineMs: 60_000,
  faultsMax: 20,
});
const report = await run.run();
console.log(reportText(report, seed));
const logged = stack.faultsLogged();
if (logged.length > 0) console.log(`The log has ${logged.length} lines of faults:\n${logged.slice(0, 10).join('\n')}`);
process.exitCode = report.faults.length + logged.length === 0 ? 0 : 1;
