import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isTestFile, ROOT, type SourceFile, sourceFiles, trackedFiles } from './source-files.js';

/** The built-in model may be as large as this; nothing else comes near. */
const FILE_BYTES_MAX = 8_000_000;

const files = sourceFiles();
const product = files.filter((file) => !isTestFile(file.path) && /^(apps|libs)\//.test(file.path));

describe('habits that a machine can watch', () => {
  it('reads the environment in the entry points only', () => {
    // What main.ts imports first belongs to it: Node's own setting must be there before anything else is.
    const allowed = /^(apps\/[a-z]+\/src\/main\.ts|apps\/worker\/src\/pool-threads\.ts|apps\/cli\/|libs\/runtime\/)/;
    expect(
      linesWith(
        /process\.env/,
        product.filter((file) => !allowed.test(file.path)),
      ),
      'Read settings in main.ts and pass them down',
    ).toEqual([]);
  });

  it('writes to the terminal in the command line only', () => {
    expect(
      linesWith(
        /\bconsole\.|process\.stdout\.write/,
        product.filter((file) => !file.path.startsWith('apps/cli/')),
      ),
      'Use the logger of libs/runtime',
    ).toEqual([]);
  });

  it('leaves nothing to do later without an issue', () => {
    expect(
      linesWith(
        // What is looked for, and nothing left to do here.
        /\b(TODO|FIXME|XXX)\b/,
        files.filter((file) => !file.path.startsWith('test/tidy/')),
      ),
    ).toEqual([]);
  });

  it('names files after what they hold', () => {
    const vague = files
      .map((file) => file.path)
      .filter((path) => /(^|\/)(utils?|helpers?|common|misc|manager)(\.|\/)/.test(path));
    expect(vague).toEqual([]);
  });

  it('writes file names in kebab-case', () => {
    const odd = files.map((file) => file.path).filter((path) => !/^[a-z0-9./-]+$/.test(path));
    expect(odd).toEqual([]);
  });

  it('keeps every test file able to fail', () => {
    const silent = files.filter(
      (file) => file.path.endsWith('.test.ts') && !/expect|assert|Contract\(/.test(file.text),
    );
    expect(silent.map((file) => file.path)).toEqual([]);
  });

  it('switches no test off without a printed reason', () => {
    const off = linesWith(
      /\b(it|test|describe)\.(only|skip|todo)\(/,
      files.filter((file) => !file.path.startsWith('test/tidy/')),
    );
    expect(off).toEqual([]);
  });

  it('commits no build output and no large file', () => {
    const built = trackedFiles().filter((path) => /(^|\/)(node_modules|dist)\//.test(path));
    expect(built).toEqual([]);
    const large = trackedFiles().filter((path) => statSync(join(ROOT, path)).size > FILE_BYTES_MAX);
    expect(large).toEqual([]);
  });
});

function linesWith(pattern: RegExp, among: readonly SourceFile[]): string[] {
  return among.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  );
}
