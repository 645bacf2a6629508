import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { GATEWAY_METRICS } from '@millrace/gateway/metrics';
import { WORKER_METRICS } from '@millrace/worker/metrics';
import { describe, expect, it } from 'vitest';
import { VALUES_SCHEMA, valuesSchema } from '../../tools/charts/values-schema.js';
import { FOREIGN_METRICS, referencePages } from '../../tools/docs/pages.js';
import { ENGINES_PAGE, withPresetTable } from '../../tools/docs/preset-table.js';
import { unknownIn } from './metric-names.js';
import { ROOT, readText, trackedFiles } from './source-files.js';

describe('the reference pages', () => {
  for (const { path, text } of referencePages({ gateway: GATEWAY_METRICS, worker: WORKER_METRICS })) {
    it(`${path} says what the code says`, () => {
      expect(existsSync(join(ROOT, path)) ? readText(path) : '', 'Run `make docs` and commit what it writes').toBe(
        text,
      );
    });
  }
});

describe('what other servers call their metrics', () => {
  it.each(FOREIGN_METRICS)('%s is asked for here by names that exist', (_theirs, query) => {
    expect(unknownIn(query)).toEqual([]);
  });

  it('would be seen to be wrong', () => {
    const query =
      'sum by (gen_ai_request_model) (rate(millrace_request_total{outcom="x"}[5m])) / millrace_keys{pool="a"}';
    expect(unknownIn(query)).toEqual(['millrace_request_total', 'millrace_keys{pool}']);
  });
});

describe('the page of the engines', () => {
  it('has the presets as the code has them', () => {
    const page = readText(ENGINES_PAGE);
    expect(page, 'Run `make docs` and commit what it writes').toBe(withPresetTable(page));
  });
});

describe('the schema of the values of the chart', () => {
  it('has models and settings as the code has them', () => {
    expect(readText(VALUES_SCHEMA), 'Run `make docs` and commit what it writes').toBe(valuesSchema());
  });
});

describe('the pages for people', () => {
  const pages = trackedFiles('*.md');

  it('link to files that exist', () => {
    const broken = pages.flatMap((page) =>
      linksOf(readText(page))
        .map((link) => ({ page, target: normalize(join(dirname(page), link)) }))
        .filter(({ target }) => !existsSync(join(ROOT, target)))
        .map((found) => `${found.page} links to ${found.target}`),
    );
    expect(broken).toEqual([]);
  });

  it('name files that exist', () => {
    const broken = pages.flatMap((page) =>
      [...readText(page).matchAll(/`((?:apps|libs|test|tools|configs|docs|models)\/[A-Za-z0-9_./-]+\.[a-z]+)`/g)]
        .map((match) => match[1]!)
        .filter((path) => !existsSync(join(ROOT, path)))
        .map((path) => `${page} names ${path}`),
    );
    expect(broken).toEqual([]);
  });
});

/** Links within the repository, without their anchors. */
function linksOf(markdown: string): string[] {
  const prose = markdown.replaceAll(/```[\s\S]*?```/g, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => match[1]!.split('#')[0]!)
    .filter((link) => link !== '' && !/^[a-z]+:/.test(link));
}
