import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { clients } from './clients.js';

const { devDependencies } = JSON.parse(readFileSync(join(import.meta.dirname, 'package.json'), 'utf8')) as {
  devDependencies: Record<string, string>;
};

/** So that a suite that does not run is seen not to. */
describe('other people’s clients', () => {
  for (const { name, suite, version } of clients()) {
    const title =
      version === undefined
        ? `${name} is not installed, so ${suite} does not run: make e2e installs it`
        : `${name} is tried, as it is locked`;
    it.skipIf(version === undefined)(title, () => {
      expect(version).toBe(devDependencies[name]);
      expect(readdirSync(import.meta.dirname)).toContain(suite);
    });
  }
});
