/** Grafana's JSON, as far as we use it, and functions that make it. What each field means: Grafana's docs, "Dashboard JSON model". */

/** Of Grafana 12; newer ones take it up as their own. */
const SCHEMA_VERSION = 41;
/** Grafana's grid. */
const GRID_WIDTH = 24;
const ROW_HEIGHT = 1;

export const PROMETHEUS = { type: 'prometheus', uid: '$datasource' } as const;
export const POSTGRES = { type: 'grafana-postgresql-datasource', uid: '$database' } as const;
export type Datasource = typeof PROMETHEUS | typeof POSTGRES;

/** Units of Grafana's list that are asked for here; what follows `suffix:` is written behind the number. `locale`: 4,711, and not 4.71 K. */
export type Unit =
  | 'short'
  | 'none'
  | 'string'
  | 'locale'
  | 'dateTimeAsIso'
  | 's'
  | 'ms'
  | 'bytes'
  | 'Bps'
  | 'percentunit'
  | 'reqps'
  | 'suffix:tokens/s'
  | 'suffix:/s'
  | 'currencyUSD';

/** Columns that are no numbers even where they look so: a key may be called 2024. */
const TEXTS = ['key', 'model', 'endpoint', 'code', 'request_id', 'trace_id'] as const;

/** As far as an axis goes at least: of nothing but zeros Grafana makes 0 to 100, which is 10,000 % of a share. */
const AXIS_REACH: Partial<Record<Unit, number>> = {
  short: 4,
  bytes: 1024,
  Bps: 1024,
  percentunit: 1,
  // A single request is a sixtieth a second for a minute.
  reqps: 0.1,
  'suffix:tokens/s': 1,
  'suffix:/s': 0.1,
};

/** Colors of what has a meaning, the same wherever it is seen; within a panel no two are alike. Other lines have Grafana's, one after the other. */
const COLORS: Readonly<Record<string, readonly string[]>> = {
  green: ['served', 'answered', 'completed', 'computed', 'kept', 'hit', 'stop', 'ready', 'running'],
  'light-green': ['semantic_hit'],
  'super-light-green': ['shared'],
  blue: ['length', 'miss', 'taken', 'loading'],
  'light-blue': ['connecting'],
  yellow: ['cancelled', 'draining'],
  orange: ['rejected', 'refused', 'waiting', 'too_large'],
  'dark-orange': ['expired'],
  purple: ['dropped', 'stalled', 'refresh'],
  red: ['failed', 'lost'],
};
/** A line that is called after such a meaning alone; the panel's description lists all that there are. */
const OF_A_MEANING = /^\{\{(outcome|phase|state)\}\}$/;

export interface Query {
  readonly expr: string;
  /** What a line is called: `{{model}}`. */
  readonly legend: string;
}

export interface Sql {
  readonly sql: string;
  readonly format: 'table' | 'time_series';
}

export interface PanelPlan {
  /** In plain words. */
  readonly title: string;
  readonly kind: 'stat' | 'timeseries' | 'table';
  readonly unit: Unit;
  /** What it says, and what to do when it moves. */
  readonly description: string;
  readonly queries: readonly Query[] | Sql;
  readonly width: number;
  readonly height: number;
  /** Lines upon each other, so that their sum is seen. */
  readonly stacked?: boolean;
  /** Values from which it is yellow, and red. */
  readonly warns?: readonly [yellow: number, red: number];
  /** Said where nothing was measured, which often is well: `No data` looks as if it were not. */
  readonly whenEmpty?: string;
  /** Bars, for values of whole days. */
  readonly bars?: boolean;
  /** The time that it shows, whichever `Last …` is chosen at the top: `30d`. */
  readonly span?: string;
  /** As far as the axis goes at least, in place of what its unit has. */
  readonly axisReach?: number;
  /** Columns of a table that have another unit. Those of TEXTS have none. */
  readonly columnUnits?: Readonly<Record<string, Unit>>;
  /** Columns of a table that want more room than the others, or less: in pixels. */
  readonly columnWidths?: Readonly<Record<string, number>>;
}

export interface Row {
  readonly title: string;
  readonly panels: readonly PanelPlan[];
}

export interface Variable {
  readonly name: string;
  readonly definition?: string;
  readonly query?: unknown;
  readonly [field: string]: unknown;
}

export interface DashboardPlan {
  /** Of the file, and fixed: links and bookmarks go by it. */
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly variables: readonly Variable[];
  readonly rows: readonly Row[];
}

export interface GridPosition {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: GridPosition;
  readonly description?: string;
  readonly datasource?: Datasource;
  readonly fieldConfig?: {
    readonly defaults: Readonly<Record<string, unknown>>;
    readonly overrides: readonly unknown[];
  };
  readonly options?: Readonly<Record<string, unknown>>;
  readonly targets?: readonly Target[];
  readonly [field: string]: unknown;
}

export interface Target {
  readonly refId: string;
  readonly datasource: Datasource;
  readonly expr?: string;
  readonly rawSql?: string;
  readonly format?: string;
  readonly [field: string]: unknown;
}

export function dashboard({ name, title, description, variables, rows }: DashboardPlan) {
  return {
    uid: `millrace-${name}`,
    title: `Millrace: ${title}`,
    description,
    tags: ['millrace'],
    schemaVersion: SCHEMA_VERSION,
    version: 1,
    editable: true,
    graphTooltip: 1,
    timezone: 'browser',
    refresh: '30s',
    // Long enough for a trend, and a first request is more than a speck in it.
    time: { from: 'now-30m', to: 'now' },
    links: [
      {
        type: 'dashboards',
        title: 'Millrace',
        tags: ['millrace'],
        asDropdown: true,
        keepTime: true,
        includeVars: true,
        icon: 'external link',
        tooltip: '',
        targetBlank: false,
      },
    ],
    annotations: { list: [] },
    templating: { list: variables },
    panels: laidOut(rows),
  };
}

export type Dashboard = ReturnType<typeof dashboard>;

/** From left to right, and below where a panel has no room; the tallest of a line says where the next begins. */
function laidOut(rows: readonly Row[]): readonly Panel[] {
  const panels: Panel[] = [];
  let y = 0;
  for (const row of rows) {
    panels.push({
      id: panels.length + 1,
      type: 'row',
      title: row.title,
      collapsed: false,
      panels: [],
      gridPos: { x: 0, y, w: GRID_WIDTH, h: ROW_HEIGHT },
    });
    y += ROW_HEIGHT;
    let [x, height] = [0, 0];
    for (const plan of row.panels) {
      if (x + plan.width > GRID_WIDTH) [x, y, height] = [0, y + height, 0];
      panels.push(panel(plan, panels.length + 1, { x, y, w: plan.width, h: plan.height }));
      x += plan.width;
      height = Math.max(height, plan.height);
    }
    y += height;
  }
  return panels;
}

function panel(plan: PanelPlan, id: number, gridPos: GridPosition): Panel {
  const { title, kind, description, queries, columnUnits = {}, columnWidths = {} } = plan;
  return {
    id,
    type: kind,
    title,
    description,
    gridPos,
    datasource: 'sql' in queries ? POSTGRES : PROMETHEUS,
    fieldConfig: {
      defaults: {
        unit: plan.unit,
        min: 0,
        ...(plan.whenEmpty !== undefined && { noValue: plan.whenEmpty }),
        ...colors(plan),
        ...customOf(plan),
      },
      overrides: [
        ...(kind === 'table' ? TEXTS : []).map((column) => overrideOf(column, { id: 'unit', value: 'string' })),
        ...Object.entries(columnUnits).map(([column, unit]) => overrideOf(column, { id: 'unit', value: unit })),
        ...Object.entries(columnWidths).map(([column, px]) => overrideOf(column, { id: 'custom.width', value: px })),
        ...(kind === 'timeseries' ? colorsOfMeanings(plan) : []),
      ],
    },
    options: plan.bars === true ? TOTALS : OPTIONS[kind],
    ...(plan.span !== undefined && { timeFrom: plan.span }),
    targets: targetsOf(plan),
  };
}

function overrideOf(name: string, property: { readonly id: string; readonly value: unknown }) {
  return { matcher: { id: 'byName', options: name }, properties: [property] };
}

function colorsOfMeanings({ queries, description }: PanelPlan): readonly object[] {
  if ('sql' in queries) return [];
  const names = queries.map(({ legend }) => legend);
  const listed = names.some((name) => OF_A_MEANING.test(name)) ? (description.match(/\w+/g) ?? []) : names;
  return Object.entries(COLORS).flatMap(([color, meanings]) =>
    meanings
      .filter((meaning) => listed.includes(meaning))
      .map((meaning) => overrideOf(meaning, { id: 'color', value: { mode: 'fixed', fixedColor: color } })),
  );
}

function customOf(plan: PanelPlan): object {
  if (plan.kind === 'timeseries') return { custom: lines(plan) };
  // Seven columns have room in half a page.
  return plan.kind === 'table' ? { custom: { minWidth: 60 } } : {};
}

function colors({ kind, warns }: PanelPlan): object {
  const [yellow, red] = warns ?? [];
  const steps = [
    { color: 'green', value: null },
    ...(yellow === undefined ? [] : [{ color: 'yellow', value: yellow }]),
    ...(red === undefined ? [] : [{ color: 'red', value: red }]),
  ];
  return {
    color: { mode: kind === 'timeseries' ? 'palette-classic' : 'thresholds' },
    thresholds: { mode: 'absolute', steps },
  };
}

function lines({ unit, stacked = false, bars = false, axisReach = AXIS_REACH[unit], warns }: PanelPlan): object {
  return {
    drawStyle: bars ? 'bars' : 'line',
    ...(axisReach !== undefined && { axisSoftMax: axisReach }),
    lineWidth: 1,
    fillOpacity: bars ? 80 : stacked ? 30 : 5,
    // A point with no other beside it would be no line: a single request, looked at over a day.
    showPoints: 'auto',
    spanNulls: false,
    stacking: { mode: stacked ? 'normal' : 'none', group: 'A' },
    thresholdsStyle: { mode: warns === undefined ? 'off' : 'dashed' },
  };
}

const OPTIONS = {
  stat: {
    colorMode: 'value',
    graphMode: 'area',
    justifyMode: 'auto',
    textMode: 'auto',
    reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
  },
  timeseries: {
    // There is room for three or four: those that have most just now.
    legend: {
      displayMode: 'table',
      placement: 'bottom',
      showLegend: true,
      calcs: ['mean', 'max', 'lastNotNull'],
      sortBy: 'Last *',
      sortDesc: true,
    },
    tooltip: { mode: 'multi', sort: 'desc' },
  },
  table: { showHeader: true, cellHeight: 'sm' },
} as const;

/** Of days one wants the sum. */
const TOTALS = {
  ...OPTIONS.timeseries,
  timezone: ['utc'], // Whose days they are. A bar stands above the name of its day.
  legend: { ...OPTIONS.timeseries.legend, calcs: ['lastNotNull', 'sum'], sortBy: 'Total' },
};

function targetsOf({ queries }: PanelPlan): readonly Target[] {
  if ('sql' in queries) {
    return [
      {
        refId: 'A',
        datasource: POSTGRES,
        editorMode: 'code',
        rawQuery: true,
        rawSql: queries.sql,
        format: queries.format,
      },
    ];
  }
  return queries.map(({ expr, legend }, at) => ({
    refId: String.fromCharCode('A'.charCodeAt(0) + at),
    datasource: PROMETHEUS,
    editorMode: 'code',
    expr,
    legendFormat: legend,
    range: true, // Also for a single number, which has its course behind it.
  }));
}

/** Which Prometheus is asked: whoever imports the dashboard says so. */
export const DATASOURCE_VARIABLE: Variable = {
  name: 'datasource',
  label: 'Prometheus',
  type: 'datasource',
  query: 'prometheus',
  hide: 0,
};

export const DATABASE_VARIABLE: Variable = {
  name: 'database',
  label: 'Postgres',
  type: 'datasource',
  query: POSTGRES.type,
  hide: 0,
};

/** The values that a label has just now; all of them unless some are chosen. */
export function labelVariable(name: string, label: string, metric: string): Variable {
  const query = `label_values(${metric}, ${name})`;
  return {
    name,
    label,
    type: 'query',
    datasource: PROMETHEUS,
    definition: query,
    query: { query, refId: `Variable-${name}`, qryType: 1 },
    ...CHOICE,
    allValue: '.*',
  };
}

export function sqlVariable(name: string, label: string, sql: string): Variable {
  return { name, label, type: 'query', datasource: POSTGRES, definition: sql, query: sql, ...CHOICE };
}

const CHOICE = {
  refresh: 2,
  sort: 1,
  multi: true,
  includeAll: true,
  current: { text: ['All'], value: ['$__all'] },
  options: [],
  hide: 0,
} as const;

export function textVariable(name: string, label: string, value: string): Variable {
  return {
    name,
    label,
    type: 'textbox',
    query: value,
    current: { text: value, value },
    options: [{ selected: true, text: value, value }],
    hide: 0,
  };
}
