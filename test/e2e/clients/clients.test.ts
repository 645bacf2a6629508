import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../stack.js';
import { clients } from './clients.js';

const manifest = JSON.parse(readFileSync(join(import.meta.dirname, 'package.json'), 'utf8')) as {
  devDependencies: Record<string, string>;
};
const { devDependencies } = manifest;

/** So that a suite that does not run is seen not to. */
const page = readFileSync(join(ROOT, 'docs/how-to/clients.md'), 'utf8');

describe('other people’s clients', () => {
  it('stand on their page with the versions that are tried', () => {
    const ofPython = readFileSync(join(ROOT, 'examples/requirements.txt'), 'utf8').matchAll(/^([\w-]+)==(\S+)$/gm);
    const inRoot = (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as typeof manifest).devDependencies;
    const named = Object.entries({ ...inRoot, ...devDependencies }).filter(([name]) => page.includes(`\`${name}\``));
    expect(named.length).toBeGreaterThanOrEqual(7);
    for (const [name, version] of [...named, ...[...ofPython].map(([, name, version]) => [name!, version!] as const)]) {
      const line = page.split('\n').find((each) => each.includes(`\`${name}\``) && each.includes(version));
      expect(line, `${name} ${version}`).toBeDefined();
    }
  });

  for (const { name, suite, version } of clients()) {
    const missing = `Skipped: ${suite}, because ${name} is not installed. make e2e installs it.`;
    if (version === undefined) console.warn(missing);
    const title = version === undefined ? missing : `${name} is tried, as it is locked`;
    it.skipIf(version === undefined)(title, () => {
      expect(version).toBe(devDependencies[name]);
      expect(readdirSync(import.meta.dirname)).toContain(suite);
    });
  }
});
