import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { reportText } from '../fuzz/fuzz-report.js';
import { FuzzRun } from '../fuzz/fuzz-run.js';
import { type FuzzedStack, startFuzzedStack } from '../fuzz/fuzzed-stack.js';
import { operationsOf, readOpenApi } from '../fuzz/open-api.js';

/** `make fuzz` sends 20,000 of another seed each time. */
const REQUESTS = 1_200;
const SEED = 8;

describe('requests that somebody made up', () => {
  let stack: FuzzedStack;
  beforeAll(async () => {
    stack = await startFuzzedStack();
  });
  afterAll(() => stack[Symbol.asyncDispose]());

  it(`are answered as the OpenAPI document says, ${REQUESTS} of them over all operations`, async () => {
    const document = readOpenApi();
    const run = new FuzzRun({
      ...stack,
      document,
      requests: REQUESTS,
      seed: SEED,
      clients: 4,
      deadlineMs: 30_000,
      faultsMax: 5,
    });
    const report = await run.run();
    expect(report.faults, reportText(report, SEED)).toEqual([]);
    expect(report.requests).toBe(REQUESTS);
    expect([...report.byOperation.keys()].sort()).toEqual(
      operationsOf(document)
        .map(({ name }) => name)
        .sort(),
    );
    expect(report.byStatus.get(200)).toBeGreaterThan(REQUESTS / 10);
    expect(stack.faultsLogged()).toEqual([]);
  });
});
