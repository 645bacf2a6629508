import { defineConfig } from 'vitest/config';
import { clients } from './test/e2e/clients/clients.ts';

/** Sources are taken as they stand, not from `dist`, so a test of a module never sees an old build. */
const fromSource = {
  resolve: { conditions: ['millrace-source'] },
  ssr: { resolve: { conditions: ['millrace-source'] } },
};

/** A machine may be slow for a while; what never comes is told so much later, and nothing else is. */
const PATIENCE = { expect: { poll: { timeout: 15_000, interval: 20 } } };
const SETUP = ['./test/plain-output.ts', './test/late-looks.ts'];

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
          ...PATIENCE,
          setupFiles: SETUP,
          include: ['{apps,libs,test,tools}/**/*.test.ts'],
          exclude: ['**/node_modules/**', '**/dist/**', 'test/e2e/**'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        // The built product, started as a user starts it: `make e2e` runs these alone.
        test: {
          name: 'e2e',
          ...PATIENCE,
          setupFiles: SETUP,
          include: ['test/e2e/**/*.test.ts'],
          exclude: ['**/node_modules/**', 'test/e2e/clients/**'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        // Other people's clients, as guests of one built product: `make e2e` runs these too.
        test: {
          name: 'clients',
          ...PATIENCE,
          setupFiles: SETUP,
          globalSetup: './test/e2e/clients/shared-stack.ts',
          include: ['test/e2e/clients/*.test.ts'],
          exclude: clients().flatMap(({ suite, version }) =>
            version === undefined ? [`test/e2e/clients/${suite}`] : [],
          ),
          testTimeout: 60_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
