import { beforeEach, describe, expect, it } from 'vitest';
import { StopRequests } from './termination.js';

let nowMs: number;
let ended: boolean;
beforeEach(() => {
  nowMs = 0;
  ended = false;
});

function requests(underServe: boolean): StopRequests {
  return new StopRequests(
    underServe,
    () => {
      ended = true;
    },
    () => nowMs,
  );
}

describe('StopRequests', () => {
  it('resolves with the first request, and ends the process at the second', async () => {
    const stop = requests(false);
    stop.ask('SIGINT');
    expect(await stop.first).toBe('SIGINT');
    nowMs = 101;
    stop.ask('SIGINT');
    expect(ended).toBe(true);
  });

  it('takes a signal that arrives twice for one request', () => {
    const stop = requests(false);
    stop.ask('SIGTERM');
    nowMs = 100;
    stop.ask('SIGTERM');
    expect(ended).toBe(false);
  });

  it('leaves haste to the parent, where there is one', () => {
    const stop = requests(true);
    stop.ask('SIGTERM');
    nowMs = 60_000;
    stop.ask('SIGTERM');
    expect(ended).toBe(false);
  });
});
