import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ROOT } from './dockerfile.js';

const folder = mkdtempSync(join(tmpdir(), 'millrace-build-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What an engine of this name is asked by `make images`. */
function askedOf(name: string, variables: NodeJS.ProcessEnv = {}): string[] {
  const [engine, calls] = [join(folder, name), join(folder, `${name}.calls`)];
  writeFileSync(engine, `#!/bin/sh\necho "$*" >>'${calls}'\n`, { mode: 0o755 });
  execFileSync('tools/images/build.sh', {
    cwd: ROOT,
    env: { PATH: process.env.PATH, CONTAINER_ENGINE: engine, ...variables },
    stdio: 'pipe',
  });
  return readFileSync(calls, 'utf8').trim().split('\n');
}

describe('make images', () => {
  it('builds each target, with the tag that Compose and the chart name, for the registry that is asked for', () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    const tags = askedOf('docker', { REGISTRY: 'registry.example.com' }).map(
      (call) => /^build --target (\S+) --tag (\S+)/.exec(call)!.slice(1) as [string, string],
    );
    expect(tags).toEqual([
      ['gateway', `registry.example.com/millrace/gateway:${version}`],
      ['worker', `registry.example.com/millrace/worker:${version}`],
      ['worker-cuda', `registry.example.com/millrace/worker:${version}-cuda`],
      ['millrace', `registry.example.com/millrace/millrace:${version}`],
    ]);
  });

  it('has podman keep the health check, for which its own form of images has no place', () => {
    expect(askedOf('podman', { IMAGES: 'gateway' })).toEqual([
      expect.stringMatching(/^build --format docker --target gateway /),
    ]);
    expect(askedOf('nerdctl', { IMAGES: 'gateway' })[0]).not.toContain('--format');
  });

  it('says of what commit and of when, so that the same commit makes the same image', () => {
    const git = (...args: string[]) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim();
    const [call] = askedOf('other', { IMAGES: 'worker' });
    expect(call).toContain(`--build-arg REVISION=${git('rev-parse', 'HEAD')} `);
    expect(call).toContain(`--build-arg SOURCE_DATE_EPOCH=${git('log', '-1', '--format=%ct')} `);
  });
});
