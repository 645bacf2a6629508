import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { needsWorker } from './needs-worker.js';

const folder = mkdtempSync(join(tmpdir(), 'millrace-needs-'));
afterAll(() => rmSync(folder, { recursive: true }));

const GROQ = '  - {id: groq, engine: openai-compatible, upstream: {preset: groq}}\n';
const needs = (models: string, model?: string) => {
  writeFileSync(join(folder, 'models.yaml'), models);
  return needsWorker({ modelsFile: 'models.yaml', model }, folder);
};

describe('a worker is needed', () => {
  it('for any model that the gateway does not serve itself', () => {
    expect(needs(`models:\n${GROQ}  - {id: demo, path: demo.gguf}\n`)).toBe(true);
    expect(needs(`models:\n${GROQ}`)).toBe(false);
  });

  it('for a file of one’s own, whatever the list has', () => {
    expect(needs(`models:\n${GROQ}`, './own.gguf')).toBe(true);
    expect(needs(`models:\n${GROQ}`, 'groq')).toBe(false);
  });

  it('where nobody can tell: the processes say what is wrong with the file', () => {
    expect(needs('models: [')).toBe(true);
    expect(needsWorker({ modelsFile: 'absent.yaml', model: undefined }, folder)).toBe(true);
  });
});
