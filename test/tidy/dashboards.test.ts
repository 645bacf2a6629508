import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Dashboard, GridPosition, Panel } from '../../tools/dashboards/dashboard.js';
import { DASHBOARDS, DASHBOARDS_FOLDER, monitoringFiles, RULES_FOLDER } from '../../tools/dashboards/files.js';
import { ALERTING_RULES, RECORDING_RULES, runbookOf } from '../../tools/dashboards/rules.js';
import { prometheusSeries, unknownIn } from './metric-names.js';
import { readText, trackedFiles } from './source-files.js';

const RUNBOOKS = 'docs/how-to/runbooks';
/** Of Grafana. */
const GRID_WIDTH = 24;
const UID_CHARACTERS_MAX = 40;
/** At 1,600 pixels. */
const TITLE_CHARACTERS_A_COLUMN = 6;
/** Without measurements there are no lines; zeros there are none. */
const OWN_RANGE = ['s', 'locale', 'currencyUSD'];
/** What Grafana itself puts in place of these. */
const BUILT_IN = ['__rate_interval', '__timeFilter', '__timeFrom', '__timeGroup', '__all'];

const files = monitoringFiles();
const TITLES = new Set(DASHBOARDS.flatMap(({ dashboard }) => shown(dashboard).map(({ title }) => title)));
const queries = DASHBOARDS.flatMap(({ path, dashboard }) =>
  shown(dashboard).flatMap(({ title, targets = [] }) =>
    targets.flatMap(({ expr }) => (expr === undefined ? [] : [[`${basename(path)}: ${title}`, expr] as const])),
  ),
);
const rules = [
  ...RECORDING_RULES.map(({ record, expr }) => [record, expr] as const),
  ...ALERTING_RULES.map(({ alert, expr }) => [alert, expr] as const),
];

describe('the files of dashboards and rules', () => {
  it.each(files)('$path is what its source makes', ({ path, text }) => {
    expect(trackedFiles(path).map(readText).join(''), 'Run `make docs` and commit what it writes').toBe(text);
  });

  it('are all made, and none is left of one that was renamed', () => {
    const there = trackedFiles(`${DASHBOARDS_FOLDER}/*.json`, `${RULES_FOLDER}/*.yaml`);
    expect(there.toSorted()).toEqual(files.map(({ path }) => path).toSorted());
  });
});

describe('the queries of dashboards and rules', () => {
  it.each([...queries, ...rules])('%s asks for what is measured', (_name, query) => {
    expect([...unknownIn(query), ...neverRecordedIn(query), ...labelsNobodyHasIn(query)]).toEqual([]);
  });

  it('would be seen to be wrong', () => {
    expect(neverRecordedIn('millrace:failed_requests:ratio_rate5m + millrace:failed_requests:ratio_rate7m')).toEqual([
      'millrace:failed_requests:ratio_rate7m',
    ]);
    expect(labelsNobodyHasIn('sum by (modle, le, job) (rate(millrace_waiting_seconds_bucket[5m]))')).toEqual(['modle']);
  });

  it('record nothing that nobody asks for', () => {
    const asked = [...queries, ...rules].map(([, query]) => query).join('\n');
    const idle = RECORDING_RULES.filter(({ record }) => !new RegExp(`${record}\\b`).test(asked));
    expect(idle.map(({ record }) => record)).toEqual([]);
  });
});

describe.each(DASHBOARDS)('$path', ({ path, dashboard }) => {
  const panels = shown(dashboard);

  it('is found by a fixed id, its file’s name', () => {
    expect(dashboard.uid).toBe(`millrace-${basename(path, '.json')}`);
    expect(dashboard.uid.length).toBeLessThanOrEqual(UID_CHARACTERS_MAX);
  });

  it('says in each panel what it shows, in which unit, and what to do when it moves', () => {
    for (const { title, description = '', fieldConfig } of panels) {
      expect(title).toMatch(/^[A-Z]/);
      expect(description.length, title).toBeGreaterThan(60);
      expect(description, title).toMatch(/→|docs\/|yours to set/);
      expect(fieldConfig?.defaults.unit, title).toEqual(expect.any(String));
    }
    expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length);
  });

  it('has titles that have room, and axes that fit where all is zero', () => {
    for (const { title, type, gridPos, fieldConfig } of panels) {
      expect(title.length, title).toBeLessThanOrEqual(gridPos.w * TITLE_CHARACTERS_A_COLUMN);
      if (type !== 'timeseries') continue;
      const { unit, custom } = fieldConfig!.defaults as { unit: string; custom: { axisSoftMax?: number } };
      if (!OWN_RANGE.includes(unit)) expect(custom.axisSoftMax, title).toBeGreaterThan(0);
    }
  });

  it('has for each panel a place of its own', () => {
    expect(overlapsOf(dashboard.panels)).toEqual([]);
    for (const { gridPos, title } of dashboard.panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(GRID_WIDTH);
      expect(Math.min(gridPos.x, gridPos.y, gridPos.w - 1, gridPos.h - 1), title).toBeGreaterThanOrEqual(0);
    }
    const ids = dashboard.panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('asks a source that its reader chooses, by queries that have different names', () => {
    const sources = dashboard.templating.list.filter(({ type }) => type === 'datasource');
    const known = new Map(sources.map(({ name, query }) => [`$${name}`, query]));
    for (const { title, targets = [], datasource } of panels) {
      expect(targets.length, title).toBeGreaterThan(0);
      expect(new Set(targets.map(({ refId }) => refId)).size, title).toBe(targets.length);
      for (const each of [datasource!, ...targets.map((target) => target.datasource)]) {
        expect(known.get(each.uid), title).toBe(each.type);
      }
    }
  });

  it('has the variables that it uses, and no others', () => {
    const declared = dashboard.templating.list.map(({ name }) => name);
    const text = JSON.stringify({ panels: dashboard.panels, variables: dashboard.templating.list });
    const used = [...text.matchAll(/\$\{?(\w+)/g)].map(([, name]) => name!);
    expect([...new Set(used)].filter((name) => !BUILT_IN.includes(name)).toSorted()).toEqual(declared.toSorted());
  });
});

describe('colors of lines', () => {
  const panels = DASHBOARDS.flatMap(({ dashboard }) => shown(dashboard));
  const ofMeanings = panels.filter(({ targets = [] }) =>
    targets.some(({ legendFormat }) => /^\{\{(outcome|phase|state)\}\}$/.test(`${legendFormat}`)),
  );

  it.each(ofMeanings)('$title has one for each of its lines, no two alike', ({ description = '', fieldConfig }) => {
    const all = valuesListedIn(description);
    expect(all.length).toBeGreaterThan(1);
    const overrides = fieldConfig!.overrides as { matcher: { options: string }; properties: { value: unknown }[] }[];
    const colorOf = new Map(overrides.map(({ matcher, properties }) => [matcher.options, properties[0]!.value]));
    const colors = all.map((value) => JSON.stringify(colorOf.get(value)));
    expect(colors).not.toContain(undefined);
    expect(new Set(colors).size).toBe(all.length);
  });

  it('are known of each value that a description lists', () => {
    expect(ofMeanings.length).toBeGreaterThan(6);
    expect(
      valuesListedIn('Keeps, by outcome (kept, too_large: longer than that, lost: answered, and not there). x'),
    ).toEqual(['kept', 'too_large', 'lost']);
    expect(valuesListedIn('By state: a, b (with c, that is), d.')).toEqual(['a', 'b', 'd']);
  });
});

describe('places of panels', () => {
  const at = (x: number, y: number) => ({ id: x, type: 'stat', title: `${x} ${y}`, gridPos: { x, y, w: 4, h: 4 } });

  it('would be seen to overlap', () => {
    expect(overlapsOf([at(0, 0), at(4, 0), at(0, 4)])).toEqual([]);
    expect(overlapsOf([at(0, 0), at(3, 3)])).toEqual(['0 0 and 3 3']);
  });
});

describe('the alerts', () => {
  it.each(ALERTING_RULES)('$alert says how bad it is, what it is, and on which page more is', (rule) => {
    expect(rule.labels.severity).toMatch(/^(critical|warning)$/);
    expect(rule.annotations.summary.length).toBeGreaterThan(10);
    expect(rule.annotations.description.length).toBeGreaterThan(60);
    const page = trackedFiles(rule.annotations.runbook_url).map(readText).join('');
    expect(page.split('\n')[0]).toBe(`# ${rule.alert}`);
    const headings = [...page.matchAll(/^## (.*)$/gm)].map(([, heading]) => heading);
    expect(headings).toEqual(['What it means', 'What to look at', 'What to do', 'How to tell that it is over']);
    expect(page.split('## What to look at')[1], 'a command to look with').toMatch(/```sh\n/);
    expect(panelsNamedIn(page).filter((name) => !TITLES.has(name))).toEqual([]);
  });

  it('are each somebody’s page: none is left of one that is gone', () => {
    const pages = trackedFiles(`${RUNBOOKS}/*.md`).filter((page) => page !== `${RUNBOOKS}/README.md`);
    expect(pages.toSorted()).toEqual(ALERTING_RULES.map(({ alert }) => runbookOf(alert)).toSorted());
    const list = readText(`${RUNBOOKS}/README.md`);
    expect(ALERTING_RULES.filter(({ alert }) => !list.includes(`[${alert}](`)).map(({ alert }) => alert)).toEqual([]);
  });

  it('on their pages, ask Prometheus for what is measured', () => {
    for (const { alert } of ALERTING_RULES) {
      const page = readText(runbookOf(alert));
      expect([...unknownIn(page), ...neverRecordedIn(page)], alert).toEqual([]);
    }
  });
});

/** Of a label: `by outcome (a, b: which means that, c)` or `by outcome: a, b (which means that), c.` */
function valuesListedIn(description: string): readonly string[] {
  const [, inside, behind = ''] =
    /by (?:outcome|phase|state)(?: \(([^()]*)\)|: ((?:[^.()]|\([^()]*\))*))/i.exec(description) ?? [];
  return (inside ?? behind.replaceAll(/ \([^()]*\)/g, ''))
    .split(', ')
    .map((part) => part.split(':')[0]!.trim())
    .filter((part) => /^\w+$/.test(part));
}

function shown(dashboard: Dashboard): readonly Panel[] {
  return dashboard.panels.filter(({ type }) => type !== 'row');
}

/** Names of recorded series that no rule records. */
function neverRecordedIn(query: string): readonly string[] {
  const recorded = new Set(RECORDING_RULES.map(({ record }) => record));
  return [...query.matchAll(/\bmillrace:\w+:\w+/g)].map(([name]) => name).filter((name) => !recorded.has(name));
}

/** By which a query sums, though no series in it has them. */
function labelsNobodyHasIn(query: string): readonly string[] {
  const known = new Set([...prometheusSeries()].flatMap(([name, labels]) => (query.includes(name) ? [...labels] : [])));
  return [...query.matchAll(/\bby \(([^)]*)\)/g)]
    .flatMap(([, labels = '']) => labels.split(', '))
    .filter((label) => !known.has(label));
}

/** What stands in quotes in a paragraph that names a dashboard. */
function panelsNamedIn(page: string): readonly string[] {
  const paragraphs = page.split('\n\n').filter((paragraph) => paragraph.includes('Millrace: '));
  return paragraphs.flatMap((paragraph) => [...paragraph.matchAll(/"([A-Z][^"]*)"/g)].map(([, name]) => name!));
}

function overlapsOf(panels: readonly Panel[]): readonly string[] {
  return panels.flatMap((one, at) =>
    panels
      .slice(at + 1)
      .flatMap((other) => (meet(one.gridPos, other.gridPos) ? [`${one.title} and ${other.title}`] : [])),
  );
}

function meet(one: GridPosition, other: GridPosition): boolean {
  const apart = (a: number, aLength: number, b: number, bLength: number) => a + aLength <= b || b + bLength <= a;
  return !apart(one.x, one.w, other.x, other.w) && !apart(one.y, one.h, other.y, other.h);
}
