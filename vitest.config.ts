import { defineConfig } from 'vitest/config';

/** One run for every package: sources are taken as they stand, not from `dist`, so a test never sees an old build. */
export default defineConfig({
  resolve: { conditions: ['millrace-source'] },
  ssr: { resolve: { conditions: ['millrace-source'] } },
  test: {
    include: ['{apps,libs,test,tools}/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**', 'test/e2e/**', 'test/chaos/**'],
    testTimeout: 20_000,
    hookTimeout: 60_000,
    // Two cores and real engines: more workers at once only make each other late.
    maxWorkers: 2,
  },
});
