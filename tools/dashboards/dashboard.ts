/** Grafana's JSON, as far as we use it, and functions that make it. What each field means: Grafana's docs, "Dashboard JSON model". */

/** Of Grafana 12; newer ones take it up as their own. */
const SCHEMA_VERSION = 41;
/** Grafana's grid. */
const GRID_WIDTH = 24;
const ROW_HEIGHT = 1;

export const PROMETHEUS = { type: 'prometheus', uid: '$datasource' } as const;
export const POSTGRES = { type: 'grafana-postgresql-datasource', uid: '$database' } as const;
export type Datasource = typeof PROMETHEUS | typeof POSTGRES;

/** Units of Grafana's list that are asked for here. */
export type Unit = 'short' | 's' | 'ms' | 'bytes' | 'percentunit' | 'reqps' | 'ops' | 'currencyUSD';

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
  /** Columns of a table that have another unit. */
  readonly columnUnits?: Readonly<Record<string, Unit>>;
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
    time: { from: 'now-1h', to: 'now' },
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
  const { title, kind, description, queries, columnUnits = {} } = plan;
  return {
    id,
    type: kind,
    title,
    description,
    gridPos,
    datasource: 'sql' in queries ? POSTGRES : PROMETHEUS,
    fieldConfig: {
      defaults: { unit: plan.unit, min: 0, ...colors(plan), ...(kind === 'timeseries' && { custom: lines(plan) }) },
      overrides: Object.entries(columnUnits).map(([column, unit]) => ({
        matcher: { id: 'byName', options: column },
        properties: [{ id: 'unit', value: unit }],
      })),
    },
    options: OPTIONS[kind],
    targets: targetsOf(plan),
  };
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

function lines({ stacked = false, warns }: PanelPlan): object {
  return {
    drawStyle: 'line',
    lineWidth: 1,
    fillOpacity: stacked ? 30 : 5,
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
    legend: { displayMode: 'table', placement: 'bottom', showLegend: true, calcs: ['mean', 'max', 'lastNotNull'] },
    tooltip: { mode: 'multi', sort: 'desc' },
  },
  table: { showHeader: true, cellHeight: 'sm' },
} as const;

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
