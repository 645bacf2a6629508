import { stringify } from 'yaml';
import { COST_AND_KEYS } from './cost-and-keys.ts';
import { dashboard } from './dashboard.ts';
import { MODELS } from './models.ts';
import { OVERVIEW } from './overview.ts';
import { QUEUE_AND_BATCH_JOBS } from './queue-and-batch-jobs.ts';
import { RULE_FILES, type RuleFile } from './rules.ts';
import { WORKERS } from './workers.ts';

/** Helm reads nothing above its chart; compose mounts the same folders. There is no other copy. */
const HOME = 'deploy/helm/millrace/files';
export const DASHBOARDS_FOLDER = `${HOME}/dashboards`;
export const RULES_FOLDER = `${HOME}/rules`;

export const DASHBOARDS = [OVERVIEW, WORKERS, MODELS, COST_AND_KEYS, QUEUE_AND_BATCH_JOBS].map((plan) => ({
  path: `${DASHBOARDS_FOLDER}/${plan.name}.json`,
  dashboard: dashboard(plan),
}));

/** What Grafana and Prometheus read. `make docs` writes them; test/tidy/dashboards.test.ts compares them. */
export function monitoringFiles(): { readonly path: string; readonly text: string }[] {
  return [
    ...DASHBOARDS.map(({ path, dashboard: made }) => ({ path, text: `${JSON.stringify(made, null, 2)}\n` })),
    ...RULE_FILES.map((file) => ({ path: `${RULES_FOLDER}/${file.name}.yaml`, text: yamlOf(file) })),
  ];
}

function yamlOf({ about, groups }: RuleFile): string {
  const head = `# ${about}\n# Written by \`make docs\` from tools/dashboards/rules.ts: change that, not this file.\n`;
  return `${head}${stringify({ groups }, { lineWidth: 0, aliasDuplicateObjects: false })}`;
}
