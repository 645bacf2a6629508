import { type ErrorCode, InferenceError } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import { describe, expect, it } from 'vitest';
import { FailureLog } from './failure-log.js';
import { Secret } from './secret.js';
import { UpstreamFailure } from './upstream-failure.js';

function open() {
  const lines: Record<string, unknown>[] = [];
  const logger = createLogger(
    { name: 'worker', level: 'debug', format: 'json' },
    { write: (line) => void lines.push(JSON.parse(line)) },
  );
  const clock = { nowMs: 0 };
  const subject = { model: 'm', preset: 'vllm', secret: new Secret('the-key-of-all') };
  const log = new FailureLog(subject, logger, () => clock.nowMs);
  const fail = (code: ErrorCode, message = 'no') =>
    log.tell('req_1', new UpstreamFailure(new InferenceError(code, message), 'later'), 250);
  return { lines, clock, fail };
}

describe('what a server does wrong', () => {
  it('is told once a second for each kind, with how often it happened', () => {
    const { lines, clock, fail } = open();
    for (let count = 0; count < 5; count++) fail('upstream_failed');
    fail('model_not_ready');
    clock.nowMs = 1_000;
    fail('upstream_failed');
    clock.nowMs = 2_000;
    fail('upstream_failed');

    expect(lines.map(({ code, untold }) => [code, untold])).toEqual([
      ['upstream_failed', undefined],
      ['model_not_ready', undefined],
      ['upstream_failed', 4],
      ['upstream_failed', undefined],
    ]);
    expect(lines[0]).toMatchObject({ level: 'warn', requestId: 'req_1', model: 'm', detail: 'no', nextInMs: 250 });
  });

  it('is told without the key, and what a caller did wrong is not told at all', () => {
    const { lines, fail } = open();
    fail('invalid_request');
    fail('context_length_exceeded');
    fail('upstream_failed', 'I saw the-key-of-all.');

    expect(lines.map(({ detail }) => detail)).toEqual(['I saw ***.']);
  });
});
