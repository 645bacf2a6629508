import { AVAILABILITY, budgetOf, COUNTED, FAILED, FIRST_TOKEN, percent, WITHIN } from './objectives.ts';

export interface RecordingRule {
  readonly record: string;
  readonly expr: string;
}

export interface AlertingRule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: Severity };
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook_url: string };
}

/** critical: somebody is woken. warning: somebody looks within a day. */
export type Severity = 'critical' | 'warning';

export interface RuleGroup {
  readonly name: string;
  readonly rules: readonly (RecordingRule | AlertingRule)[];
}

export interface RuleFile {
  /** Of the file; groups are called `millrace-<name>…`. */
  readonly name: string;
  readonly about: string;
  readonly groups: readonly RuleGroup[];
}

/** An installation, in Kubernetes or by a list of Prometheus' own. */
const SERVICE = 'namespace, job';
const PROCESS = 'namespace, job, instance';
const WHERE = '{{ $labels.job }}{{ with $labels.namespace }} of {{ . }}{{ end }}';

const WINDOWS = ['5m', '30m', '1h', '2h', '6h', '1d', '3d'] as const;
type Window = (typeof WINDOWS)[number];

/**
 * Of a budget of 30 days, how fast it is spent: at 14.4 times the pace that it is made for 2 % of it are gone within an hour. The short
 * window ends the alert soon after its cause; the long one keeps a moment's trouble from starting it. From Google's SRE workbook,
 * "Alerting on SLOs".
 */
const BURNS = {
  Fast: [
    { pace: 14.4, long: '1h', short: '5m' },
    { pace: 6, long: '6h', short: '30m' },
  ],
  Slowly: [
    { pace: 3, long: '1d', short: '2h' },
    { pace: 1, long: '3d', short: '6h' },
  ],
} as const satisfies Readonly<Record<string, readonly { pace: number; long: Window; short: Window }[]>>;

/** Fewer in the long window wake nobody: on a quiet day one failure of three requests is no trend. */
const BAD_REQUESTS_MIN = 10;

interface Objective {
  /** Of the recorded series. */
  readonly bad: string;
  readonly budget: number;
  readonly ratio: (window: Window) => string;
  readonly count: (window: Window) => string;
}

const requests = (matchers: string, window: Window, how = 'rate') =>
  `sum by (${SERVICE}) (${how}(millrace_requests_total{${matchers}}[${window}]))`;
const firstTokens = (part: string, window: Window, how = 'rate') =>
  `sum by (${SERVICE}) (${how}(gen_ai_server_time_to_first_token_${part}[${window}]))`;

export const FAILED_REQUESTS: Objective = {
  bad: 'millrace:failed_requests',
  budget: budgetOf(AVAILABILITY),
  // A code of which there was none yet has no series: nought of those that were counted.
  ratio: (window) => `(${requests(FAILED, window)} or 0 * ${requests(COUNTED, window)}) / ${requests(COUNTED, window)}`,
  count: (window) => requests(FAILED, window, 'increase'),
};

export const LATE_FIRST_TOKENS: Objective = {
  bad: 'millrace:late_first_tokens',
  budget: budgetOf(FIRST_TOKEN),
  ratio: (window) => `1 - ${firstTokens(`bucket{${WITHIN}}`, window)} / ${firstTokens('count', window)}`,
  count: (window) =>
    `${firstTokens('count', window, 'increase')} - ${firstTokens(`bucket{${WITHIN}}`, window, 'increase')}`,
};

/** What dashboards and alerts ask for a recorded series. */
export function ratioOf({ bad }: Objective, window: Window): string {
  return `${bad}:ratio_rate${window}`;
}

function countOf({ bad }: Objective, window: Window): string {
  return `${bad}:increase${window}`;
}

function recorded(objective: Objective): RecordingRule[] {
  const counted = Object.values(BURNS).flatMap((pairs) => pairs.map(({ long }) => long));
  return [
    ...WINDOWS.map((window) => ({ record: ratioOf(objective, window), expr: objective.ratio(window) })),
    ...counted.map((window) => ({ record: countOf(objective, window), expr: objective.count(window) })),
  ];
}

function burns(objective: Objective, speed: keyof typeof BURNS): string {
  return BURNS[speed]
    .map(({ pace, long, short }) => {
      const limit = Number((pace * objective.budget).toFixed(6));
      return [
        `${ratioOf(objective, long)} > ${limit}`,
        `and ${ratioOf(objective, short)} > ${limit}`,
        `and ${countOf(objective, long)} >= ${BAD_REQUESTS_MIN}`,
      ].join('\n');
    })
    .map((pair) => `(\n${pair}\n)`)
    .join('\nor\n');
}

interface AlertPlan {
  readonly name: string;
  readonly severity: Severity;
  readonly expr: string;
  readonly for?: string;
  readonly summary: string;
  readonly description: string;
}

/** A path and no address: where the pages of an installation are read, nobody here knows. docs/how-to/dashboards.md says how to put one before it. */
function alert({ name, severity, expr, summary, description, for: pause }: AlertPlan): AlertingRule {
  return {
    alert: name,
    expr,
    ...(pause !== undefined && { for: pause }),
    labels: { severity },
    annotations: { summary, description, runbook_url: runbookOf(name) },
  };
}

/** From the root: `MillraceNoWorkerReady` has no-worker-ready.md. */
export function runbookOf(name: string): string {
  const words = name.replace(/^Millrace/, '').replaceAll(/(?!^)([A-Z])/g, '-$1');
  return `docs/how-to/runbooks/${words.toLowerCase()}.md`;
}

const SLO: RuleFile = {
  name: 'objectives',
  about: `Availability of ${percent(AVAILABILITY.share)}, and ${percent(FIRST_TOKEN.share)} of first tokens within ${FIRST_TOKEN.withinSeconds} s, over ${AVAILABILITY.days} days.`,
  groups: [
    { name: 'millrace-failed-requests', rules: recorded(FAILED_REQUESTS) },
    { name: 'millrace-late-first-tokens', rules: recorded(LATE_FIRST_TOKENS) },
    {
      name: 'millrace-objectives',
      rules: [
        alert({
          name: 'MillraceAvailabilityBurnsFast',
          severity: 'critical',
          expr: burns(FAILED_REQUESTS, 'Fast'),
          for: '2m',
          summary: `Many requests to ${WHERE} fail.`,
          description: `{{ $value | humanizePercentage }} of the requests of the last hours failed by our own fault (5xx). At this pace what ${percent(AVAILABILITY.share)} leave for ${AVAILABILITY.days} days is gone within days.`,
        }),
        alert({
          name: 'MillraceAvailabilityBurnsSlowly',
          severity: 'warning',
          expr: burns(FAILED_REQUESTS, 'Slowly'),
          for: '15m',
          summary: `More requests to ${WHERE} fail than ${percent(AVAILABILITY.share)} allow.`,
          description: `{{ $value | humanizePercentage }} of the requests of the last days failed by our own fault (5xx): more than ${percent(budgetOf(AVAILABILITY))}, and still.`,
        }),
        alert({
          name: 'MillraceFirstTokenBurnsFast',
          severity: 'critical',
          expr: burns(LATE_FIRST_TOKENS, 'Fast'),
          for: '2m',
          summary: `Most answers of ${WHERE} begin late.`,
          description: `{{ $value | humanizePercentage }} of the answers of the last hours took more than ${FIRST_TOKEN.withinSeconds} s to begin; ${percent(budgetOf(FIRST_TOKEN))} may.`,
        }),
        alert({
          name: 'MillraceFirstTokenBurnsSlowly',
          severity: 'warning',
          expr: burns(LATE_FIRST_TOKENS, 'Slowly'),
          for: '15m',
          summary: `More answers of ${WHERE} begin late than ${percent(FIRST_TOKEN.share)} allow.`,
          description: `{{ $value | humanizePercentage }} of the answers of the last days took more than ${FIRST_TOKEN.withinSeconds} s to begin; ${percent(budgetOf(FIRST_TOKEN))} may.`,
        }),
      ],
    },
  ],
};

const GATEWAYS: RuleFile = {
  name: 'gateways',
  about: 'What a gateway runs out of.',
  groups: [
    {
      name: 'millrace-gateways',
      rules: [
        alert({
          name: 'MillraceNoGateway',
          severity: 'critical',
          expr: 'absent(millrace_connections)',
          for: '5m',
          summary: 'Prometheus sees no gateway of Millrace.',
          description:
            'Nothing was scraped from any gateway for five minutes: none runs, or Prometheus does not reach them. No other alert tells of gateways that are not seen.',
        }),
        alert({
          name: 'MillraceWaitingRoomFull',
          severity: 'critical',
          expr: `sum by (${SERVICE}) (rate(millrace_limit_refusals_total{limit="queue"}[5m])) > 0`,
          for: '5m',
          summary: `${WHERE} refuses requests, since its waiting room is full.`,
          description:
            '{{ $value | humanize }} requests a second get a 429 with x-millrace-limit: queue. More is asked than the workers can answer.',
        }),
        alert({
          name: 'MillraceSpoolGrows',
          severity: 'warning',
          // A quiet gateway has records of half a second there, and now and then none; the smallest in a quarter of an hour is near nought.
          expr: `min_over_time(millrace_spool_bytes[15m]) > 65536\nand deriv(millrace_spool_bytes[15m]) > 0`,
          for: '10m',
          summary: `Records of {{ $labels.instance }} do not reach the database.`,
          description:
            'They wait in dataFolder, {{ $value | humanize1024 }}B by now, and more come than are written. At spoolBytesMax further ones are lost. No request fails for it.',
        }),
        alert({
          name: 'MillraceCertificateExpires',
          severity: 'warning',
          expr: `min by (${PROCESS}, use) (millrace_tls_certificate_seconds) < 14 * 86400\nor\nmin by (${PROCESS}, use) (millrace_worker_tls_certificate_seconds) < 14 * 86400`,
          for: '1h',
          summary: `The certificate of {{ $labels.instance }} for {{ $labels.use }} expires in {{ $value | humanizeDuration }}.`,
          description:
            'Its renewal is late. Once it has expired, whoever checks it talks to this process no more. A new file in its place is taken up without a restart.',
        }),
      ],
    },
  ],
};

const WORKERS: RuleFile = {
  name: 'workers',
  about: 'Whether there is somebody to answer.',
  groups: [
    {
      name: 'millrace-workers',
      rules: [
        alert({
          name: 'MillraceNoWorkerReady',
          severity: 'critical',
          expr: `max by (${SERVICE}) (millrace_workers{phase="ready"}) == 0`,
          for: '10m',
          summary: `No worker of ${WHERE} has been ready for ten minutes.`,
          description:
            'Requests wait, and fail with 503 after coldStartWaitMs. Where all pools may rest at no worker at all, or providers alone answer, this is as it should be: leave the alert out.',
        }),
        alert({
          name: 'MillraceCircuitOpen',
          severity: 'warning',
          expr: `max by (${PROCESS}) (millrace_open_circuits) > 0`,
          for: '10m',
          summary: `{{ $labels.instance }} has left {{ $value }} workers alone for ten minutes, since they fail.`,
          description:
            'They failed circuitFailures times one after another, and each time again when they were tried. The others do their work meanwhile.',
        }),
      ],
    },
  ],
};

export const RULE_FILES: readonly RuleFile[] = [SLO, GATEWAYS, WORKERS];

const rules = RULE_FILES.flatMap(({ groups }) => groups.flatMap((group) => group.rules));
export const RECORDING_RULES: readonly RecordingRule[] = rules.filter((rule) => 'record' in rule);
export const ALERTING_RULES: readonly AlertingRule[] = rules.filter((rule) => 'alert' in rule);
