import { relative } from 'node:path';

/** Of vitest's JSON report, what is looked at. */
export interface TestReport {
  readonly testResults: readonly {
    readonly name: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
    }[];
  }[];
}

/** A test that says which server it lacks. */
const LACKS_SERVICE = /TEST_(REDIS_URL|POSTGRES_URL|S3_URL|PROMETHEUS)/;

/** A line for each file of which no test passed, and for each test that wants a server and was passed over all the same. */
export function whatWasPassedOver(files: readonly string[], report: TestReport, root: string): readonly string[] {
  const results = new Map(report.testResults.map((result) => [relative(root, result.name), result.assertionResults]));
  return files.flatMap((file) => {
    const tests = results.get(file) ?? [];
    if (!tests.some(({ status }) => status === 'passed')) return [`${file}: no test of it passed.`];
    const skipped = tests.filter(({ status, fullName }) => status !== 'passed' && LACKS_SERVICE.test(fullName));
    return skipped.map(({ fullName }) => `${file}: passed over, though its server is there: ${fullName}`);
  });
}
