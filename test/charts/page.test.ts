import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, parseDocument } from 'yaml';
import { CHART, describeWithHelm, exampleNames, ROOT, render } from './chart.testing.js';

const page = readFileSync(join(ROOT, 'docs/how-to/kubernetes.md'), 'utf8');
const values = parseDocument(readFileSync(join(CHART, 'values.yaml'), 'utf8'));
const blocks = [...page.matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(([, text]) => text!);
const quoted = [...page.replaceAll(/```[\s\S]*?```/g, '').matchAll(/`([^`]+)`/g)].map(([, text]) => text!);

describe('the page about Kubernetes', () => {
  it('names values that there are', () => {
    const top = new Set(Object.keys(values.toJS()));
    const paths = quoted.filter((text) => /^[a-zA-Z0-9]+(\.[a-zA-Z0-9]+)+$/.test(text) && top.has(text.split('.')[0]!));
    expect(paths.length).toBeGreaterThan(20);
    expect(paths.filter((path) => !values.hasIn(path.split('.')))).toEqual([]);
    // Of a pool, said without where pools are.
    const ofPools = quoted.filter((text) => /^(cache|sidecar|keda|hpa|gpu|shm)\.[a-zA-Z.]+$/.test(text));
    expect(ofPools.length).toBeGreaterThan(2);
    expect(ofPools.filter((path) => !values.hasIn(['workers', 'defaults', ...path.split('.')]))).toEqual([]);
  });

  it('names every example', () => {
    for (const name of exampleNames()) expect(page).toContain(name);
  });
});

describeWithHelm('what the page about Kubernetes has people write', () => {
  /** What a block takes for granted, being about something else. */
  const AROUND = { s3: { external: { url: 'https://s3.example.com', existingSecret: 's3' } } };

  it.each(blocks.map((block) => [block.split('\n').slice(0, 3).join(' '), block]))('works: %s', (_title, block) => {
    expect(render({ ...AROUND, ...parse(block) }).manifests.length).toBeGreaterThan(5);
  });

  it('is more than nothing', () => expect(blocks.length).toBeGreaterThanOrEqual(2));
});
