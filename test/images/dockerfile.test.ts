import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { environmentNameOf, SETTINGS } from '@millrace/contracts';
import type { Copy } from 'dockerfile-ast';
import { validate } from 'dockerfile-utils';
import { describe, expect, it } from 'vitest';
import { DOCKERFILE, ROOT, STAGES, settingsOf, stage } from './dockerfile.js';

const IMAGES = ['gateway', 'worker', 'worker-cuda', 'millrace'] as const;
const IGNORED = readFileSync(join(ROOT, '.dockerignore'), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'));

/** As the builder has it: the last line that matches decides. */
function isIgnored(path: string): boolean {
  let ignored = false;
  for (const line of IGNORED) {
    const isException = line.startsWith('!');
    if (matches(line.replace(/^!/, ''), path)) ignored = !isException;
  }
  return ignored;
}

/** A line stands for a path and for all below it. */
function matches(line: string, path: string): boolean {
  const pattern = line
    .split('**/')
    .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '[^/]*'))
    .join('(?:.*/)?');
  return new RegExp(`^${pattern}(?:/|$)`).test(path);
}

const copies = STAGES.flatMap(({ name, instructions }) =>
  instructions
    .filter((one) => one.getKeyword() === 'COPY')
    .map((one) => {
      const copy = one as Copy;
      const words = copy.getArguments().map((word) => word.getValue());
      return { stage: name, from: copy.getFromFlag()?.getValue() ?? undefined, sources: words.slice(0, -1) };
    }),
);

describe('the Dockerfile', () => {
  it('is one, to a parser and its rules', () => {
    const problems = validate(DOCKERFILE);
    expect(problems.map(({ message, range }) => `${range.start.line + 1}: ${message}`)).toEqual([]);
  });

  it('has a target for each image, and the one with both is the last: what `docker build .` makes', () => {
    for (const name of IMAGES) expect(stage(name).name).toBe(name);
    expect(STAGES.at(-1)?.name).toBe('millrace');
  });

  it('copies only what is there and reaches the builder', () => {
    const sources = copies.filter(({ from }) => from === undefined).flatMap(({ sources }) => sources);
    expect(sources.length).toBeGreaterThan(10);
    expect(sources.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
    expect(sources.filter(isIgnored)).toEqual([]);
  });

  it('copies from stages that are there, and that come before', () => {
    const names = STAGES.map(({ name }) => name);
    for (const { from, stage: into } of copies) {
      if (from === undefined) continue;
      expect(names.indexOf(from), `${into} copies from ${from}`).toBeGreaterThanOrEqual(0);
      expect(names.indexOf(from)).toBeLessThan(names.indexOf(into));
    }
  });

  it('sends the builder no secret, and nothing that was made here', () => {
    for (const path of [
      '.env',
      'apps/gateway/.env',
      '.git/config',
      '.millrace/data/admin-key',
      'runs/x',
      'models/own.gguf',
    ]) {
      expect(isIgnored(path), path).toBe(true);
    }
    for (const path of ['node_modules/x', 'apps/cli/node_modules/y', 'libs/runtime/dist/index.js']) {
      expect(isIgnored(path), path).toBe(true);
    }
    for (const path of [
      'apps/cli/src/main.ts',
      'models/millrace-demo.gguf',
      'tools/images/init.sh',
      'pnpm-lock.yaml',
    ]) {
      expect(isIgnored(path), path).toBe(false);
    }
  });

  it('brings the package files of every workspace before it fetches packages', () => {
    const packages = [
      'apps/cli',
      'apps/gateway',
      'apps/worker',
      'libs/contracts',
      'libs/openai-engine',
      'libs/runtime',
      'libs/storage',
    ];
    const sources = copies.flatMap((copy) => copy.sources);
    for (const each of packages) expect(sources).toContain(`${each}/package.json`);
  });

  it('runs nothing to build but the script that the tests call too', () => {
    const runs = STAGES.flatMap(({ instructions }) =>
      instructions.filter((one) => one.getKeyword() === 'RUN').map((one) => one.getArgumentsContent() ?? ''),
    );
    const others = runs.filter((line) => !line.startsWith('tools/images/layout.sh '));
    // The user and its two folders, in both bases.
    expect(others).toHaveLength(2);
    expect(others[0]).toContain('millrace:x:65532:65532');
    expect(others[1]).toBe(others[0]);
    expect(runs.join('\n')).not.toMatch(/apt|curl|wget|apk/);
  });

  it('names a version of each image that it stands on', () => {
    const bases = [...DOCKERFILE.matchAll(/^ARG \w+_IMAGE=(\S+)$/gm)].map(([, image]) => image!);
    expect(bases).toHaveLength(3);
    for (const image of bases) expect(image).toMatch(/^docker\.io\/[\w/]+:\d+\.\d+(\.\d+)?-[\w.-]+$/);
  });

  it.each(IMAGES)('%s: nobody’s user, an init, a health check, ports, labels', (name) => {
    const image = settingsOf(name);
    expect(image.user).toBe('65532:65532');
    expect(image.workingFolder).toBe('/data');
    expect(image.volumes).toEqual(['/data']);
    expect(image.entrypoint).toEqual(['/opt/millrace/bin/init', '/opt/millrace/bin/millrace']);
    expect(image.healthcheck.slice(0, 2)).toEqual(['/opt/millrace/bin/millrace', 'health']);
    const { environment } = image;
    const port = name.startsWith('worker') ? environment.MILLRACE_WORKER_PORT : environment.MILLRACE_PORT;
    expect(image.ports).toContain(port);
    for (const label of ['title', 'description', 'licenses', 'version', 'revision', 'created', 'vendor']) {
      expect(image.labels[`org.opencontainers.image.${label}`], label).toBeTruthy();
    }
  });

  it('gives version labels what package.json has', () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    const given = [...DOCKERFILE.matchAll(/^ARG VERSION=(.*)$/gm)].map(([, value]) => value);
    expect(given).toEqual(IMAGES.map(() => version));
  });

  it('sets only variables that Millrace knows', () => {
    const known = new Set(Object.keys(SETTINGS).map(environmentNameOf));
    const used = IMAGES.flatMap((name) => Object.keys(settingsOf(name).environment)).filter((name) =>
      name.startsWith('MILLRACE_'),
    );
    expect(used.filter((name) => !known.has(name))).toEqual([]);
  });
});
