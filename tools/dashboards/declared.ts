import { GATEWAY_METRICS } from '@millrace/gateway/metrics';
import { WORKER_METRICS } from '@millrace/worker/metrics';

const DECLARED = [...GATEWAY_METRICS, ...WORKER_METRICS];

/**
 * What the declarations say of these metrics, and what to do when they move: the description of a panel that shows them.
 *
 * @throws Error when nobody measures one of them.
 */
export function helpOf(...names: readonly string[]): string {
  return names
    .map((name) => {
      const found = DECLARED.find((metric) => metric.name === name);
      if (found === undefined) throw new Error(`Nobody measures ${name}: see docs/reference/metrics.md.`);
      return names.length === 1 ? found.help : `**${name}**: ${found.help}`;
    })
    .join('\n\n');
}
