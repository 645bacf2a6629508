import type { Reporter, TestModule } from 'vitest/node';

/** Ends the output with one plain line, for people who scroll to the end and for programs that read it. */
export default class TotalsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const totals = { passed: 0, failed: 0, skipped: 0, pending: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) totals[test.result().state]++;
      if (module.state() === 'failed' && module.children.size === 0) totals.failed++; // It did not even load.
    }
    console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
  }
}
