import { describe, expect, it } from 'vitest';
import { unreachableWorker } from './unreachable-worker.js';

describe('why a worker is not reached', () => {
  it.each([
    ['Error: connect ECONNREFUSED 127.0.0.1:8100', 'nothing listens there: ECONNREFUSED'],
    ['connect ENETUNREACH 10.9.9.9:8100', 'no network leads there: ENETUNREACH'],
    ['Error: read ECONNRESET', 'read ECONNRESET'],
  ])('%s: %s', (last, plain) => {
    expect(unreachableWorker(`No connection established. Last error: ${last}. Resolution note: `)).toBe(plain);
  });

  it('is nothing of the kind where there was a connection', () => {
    expect(unreachableWorker('Connection dropped')).toBeUndefined();
  });
});
