import { describe, expect, it } from 'vitest';
import { IMPORT_RULES, type ImportRule, TEST_EXTRAS } from './import-table.js';
import { type ImportLine, isTestFile, type SourceFile, sourceFiles } from './source-files.js';

const files = sourceFiles();

describe('the import table', () => {
  it('has a rule for every source file', () => {
    const orphans = files.filter((file) => ruleFor(file) === undefined).map((file) => file.path);
    expect(orphans, 'A new folder gets its row in test/tidy/import-table.ts in the same commit').toEqual([]);
  });

  it('is kept by every import line', () => {
    const broken = files.flatMap((file) =>
      file.imports.filter((line) => !allowed(file, line)).map((line) => sentence(file, line)),
    );
    expect(broken).toEqual([]);
  });

  it('notices a forbidden import', () => {
    const walk: SourceFile = { path: 'apps/gateway/src/walks/complete-chat.ts', text: '', imports: [] };
    const line = { line: 1, specifier: 'fastify', target: undefined, typesOnly: true };
    expect(allowed(walk, line)).toBe(false);
  });

  it('finds no cycle', () => {
    expect(cyclesIn(files)).toEqual([]);
  });

  it('notices a cycle', () => {
    const file = (path: string, target: string): SourceFile => ({
      path,
      text: '',
      imports: [{ line: 1, specifier: target, target, typesOnly: false }],
    });
    expect(cyclesIn([file('a.ts', 'b.ts'), file('b.ts', 'a.ts')])).toEqual([['a.ts', 'b.ts', 'a.ts']]);
  });
});

function ruleFor(file: SourceFile): ImportRule | undefined {
  return IMPORT_RULES.find((rule) => rule.files.test(file.path));
}

function allowed(file: SourceFile, line: ImportLine): boolean {
  const rule = ruleFor(file);
  if (rule === undefined) return true; // Said by the first test.
  if (isTestFile(file.path)) return allowedInTest(file, line, rule);
  if (line.target !== undefined) return !isTestFile(line.target) && rule.ours.some((ours) => ours.test(line.target!));
  return rule.packages.some((name) => name.test(line.specifier));
}

/** A test may reach everything of its own app or library, beside what its source may. */
function allowedInTest(file: SourceFile, line: ImportLine, rule: ImportRule): boolean {
  if (line.target === undefined) return [...rule.packages, ...TEST_EXTRAS].some((name) => name.test(line.specifier));
  const home = file.path.split('/').slice(0, 2).join('/');
  return line.target.startsWith(`${home}/`) || rule.ours.some((ours) => ours.test(line.target!));
}

function sentence(file: SourceFile, line: ImportLine): string {
  const rule = ruleFor(file)!;
  return `${file.path}:${line.line} imports ${line.specifier}, which ${rule.name} may not. ${rule.instead}`;
}

/** Depth first over imports that exist at run time; each cycle is reported once, from its first file. */
function cyclesIn(sources: readonly SourceFile[]): string[][] {
  const byPath = new Map(sources.map((file) => [file.path, file]));
  const finished = new Set<string>();
  const cycles: string[][] = [];
  const visit = (path: string, trail: string[]): void => {
    const at = trail.indexOf(path);
    if (at !== -1) return void cycles.push([...trail.slice(at), path]);
    if (finished.has(path)) return;
    for (const { target, typesOnly } of byPath.get(path)?.imports ?? []) {
      if (target !== undefined && !typesOnly) visit(target, [...trail, path]);
    }
    finished.add(path);
  };
  for (const { path } of sources) visit(path, []);
  return cycles;
}
