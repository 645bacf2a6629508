import { describe, expect, it } from 'vitest';
import { type TestReport, whatWasPassedOver } from './passed-over.ts';

const report = (...tests: [fullName: string, status: string][]): TestReport => ({
  testResults: [
    { name: '/root/a.test.ts', assertionResults: tests.map(([fullName, status]) => ({ fullName, status })) },
  ],
});
const judge = (given: TestReport) => whatWasPassedOver(['a.test.ts'], given, '/root');

describe('what `make test-services` makes of a report', () => {
  it('is content with tests that passed, and with one that another reason passed over', () => {
    expect(judge(report(['counts', 'passed'], ['frees memory (Linux only)', 'skipped']))).toEqual([]);
  });

  it('names a test that wanted a server and was passed over', () => {
    const lines = judge(report(['counts', 'passed'], ['a real Redis (TEST_REDIS_URL is not set) counts', 'skipped']));
    expect(lines).toEqual([expect.stringContaining('a real Redis')]);
    expect(judge(report(['counts', 'passed'], ['the rules (TEST_PROMETHEUS, as said) fire', 'skipped']))).toHaveLength(
      1,
    );
  });

  it('names a file of which nothing passed, or that was not run at all', () => {
    expect(judge(report(['a', 'pending']))).toEqual([expect.stringContaining('a.test.ts')]);
    expect(judge({ testResults: [] })).toEqual([expect.stringContaining('a.test.ts')]);
  });
});
