import { defineConfig } from 'vitest/config';

/** Sources are taken as they stand, not from `dist`, so a test of a module never sees an old build. */
const fromSource = {
  resolve: { conditions: ['millrace-source'] },
  ssr: { resolve: { conditions: ['millrace-source'] } },
};

const PLAIN_OUTPUT = './test/plain-output.ts';

export default defineConfig({
  test: {
    reporters: ['default', './test/totals-reporter.ts'],
    // Two cores and real engines: more at once only make each other late.
    maxWorkers: 2,
    projects: [
      {
        ...fromSource,
        test: {
          name: 'modules',
          setupFiles: PLAIN_OUTPUT,
          include: ['{apps,libs,test,tools}/**/*.test.ts'],
          exclude: ['**/node_modules/**', '**/dist/**', 'test/e2e/**'],
          testTimeout: 20_000,
          hookTimeout: 60_000,
        },
      },
      {
        // The built product, started as a user starts it: `make e2e` runs these alone.
        test: {
          name: 'e2e',
          setupFiles: PLAIN_OUTPUT,
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 90_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
