import { GATEWAY_METRICS } from '@millrace/gateway/metrics';
import type { MetricDeclaration } from '@millrace/runtime';
import { WORKER_METRICS } from '@millrace/worker/metrics';

/** What a series is called in Prometheus, each with the labels that it may have. */
export function prometheusSeries(): ReadonlyMap<string, ReadonlySet<string>> {
  const series = new Map<string, ReadonlySet<string>>();
  const add = (metric: MetricDeclaration, more: readonly string[]) => {
    const name = underscored(metric.name);
    const labels = [...metric.labels.map(underscored), ...more, ...GIVEN_BY_PROMETHEUS];
    if (metric.kind !== 'histogram') return series.set(name, new Set(labels));
    for (const part of ['_bucket', '_count', '_sum']) series.set(`${name}${part}`, new Set([...labels, 'le']));
    return series;
  };
  for (const metric of GATEWAY_METRICS) add(metric, []);
  for (const metric of WORKER_METRICS) add(metric, ['pool']);
  return series;
}

/** By the scrape, and by Kubernetes' discovery as the chart has it. */
const GIVEN_BY_PROMETHEUS = ['job', 'instance', 'namespace', 'pod', 'service', 'otel_scope_name'];

function underscored(name: string): string {
  return name.replaceAll('.', '_');
}

/** What a query asks for that nobody measures: names of metrics, and labels that they do not have. */
export function unknownIn(query: string): readonly string[] {
  const known = prometheusSeries();
  return [...query.matchAll(/\b((?:millrace|gen_ai)_\w+)(?:\{([^}]*)\})?/g)].flatMap(([, name = '', matchers = '']) => {
    // A label, in `by (…)`.
    if (!known.has(name)) return isLabel(name) ? [] : [name];
    const labels = [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label);
    return labels.filter((label) => !known.get(name)!.has(label)).map((label) => `${name}{${label}}`);
  });
}

function isLabel(name: string): boolean {
  return [...prometheusSeries().values()].some((labels) => labels.has(name));
}
