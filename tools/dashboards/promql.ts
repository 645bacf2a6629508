/** Parts of queries that many panels have in common. Variables of Grafana stand in them as `$name`. */

/** At least four scrapes, as Grafana counts it. */
const RANGE = '[$__rate_interval]';

/** A series as a gateway has it, of the gateways that are chosen. */
export function ofGateways(metric: string, ...matchers: readonly string[]): string {
  return `${metric}{${[...matchers, 'instance=~"$instance"'].join(', ')}}`;
}

/** A series as a worker has it, of the pools and workers that are chosen. */
export function ofWorkers(metric: string, ...matchers: readonly string[]): string {
  return `${metric}{${[...matchers, 'pool=~"$pool"', 'instance=~"$instance"'].join(', ')}}`;
}

export const OF_MODEL = 'model=~"$model"';
/** Neither refused nor failed. */
export const ANSWERED = 'error_type=""';
/** As OpenTelemetry calls it. */
export const OF_GEN_AI_MODEL = 'gen_ai_request_model=~"$model"';

export function rate(series: string): string {
  return `rate(${series}${RANGE})`;
}

export function sumBy(labels: readonly string[], of: string): string {
  return labels.length === 0 ? `sum(${of})` : `sum by (${labels.join(', ')}) (${of})`;
}

/** While nothing comes there is no line, where it would be NaN, and with it the mean of all. @param series with `_bucket`. @param labels by which it is told apart. */
export function quantile(share: number, series: string, labels: readonly string[] = []): string {
  return `histogram_quantile(${share}, ${sumBy(['le', ...labels], rate(series))}) >= 0`;
}

/** While there is nothing to have a share of, there is no line, where it would be NaN. */
export function ratio(part: string, whole: string): string {
  return `${part} / (${whole} > 0)`;
}

/** Three lines: what half of them see, and what one in twenty and one in a hundred see. */
export function percentiles(series: string, labels: readonly string[] = []) {
  const suffix = labels.map((label) => ` {{${label}}}`).join('');
  return [0.5, 0.95, 0.99].map((share) => ({
    expr: quantile(share, series, labels),
    legend: `P${share * 100}${suffix}`,
  }));
}
