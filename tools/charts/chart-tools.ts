import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** What charts are tried with, from Go's module registry. `make charts` builds and fetches all of it, once. */
export const CHART_TOOLS = {
  helm: 'helm.sh/helm/v3/cmd/helm@v3.22.0',
  kubeconform: 'github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0',
} as const;

/** The oldest Kubernetes that the chart is for, and the newest that it was tried with. */
export const KUBERNETES_VERSIONS = ['1.30.14', '1.37.0'] as const;

/** Modules that hold the schemas of what is not Kubernetes' own, and where. */
export const CRD_MODULES = {
  'github.com/kedacore/keda/v2@v2.21.0': 'config/crd/bases',
  'github.com/prometheus-operator/prometheus-operator@v0.85.0': 'example/prometheus-operator-crd',
  'sigs.k8s.io/gateway-api@v1.4.1': 'config/crd/standard',
} as const;

const VERSIONS = [...Object.values(CHART_TOOLS), ...KUBERNETES_VERSIONS, ...Object.keys(CRD_MODULES)];
/** Of this layout; raise it when the files are written in another way. */
const LAYOUT = 1;

export const CHART_TOOLS_FOLDER = resolve(import.meta.dirname, '../../.millrace/cache/charts');
const STAMP = join(CHART_TOOLS_FOLDER, 'whole');
export const STAMP_TEXT = `${[LAYOUT, ...VERSIONS].join('\n')}\n`;

export interface ChartTools {
  readonly helm: string;
  readonly kubeconform: string;
  /** Of JSON schemas: `<version of Kubernetes>/<kind>-<group>-<version>.json`, and `crds` beside them. */
  readonly schemas: string;
  readonly stamp: string;
}

export const CHART_TOOL_PATHS: ChartTools = {
  helm: join(CHART_TOOLS_FOLDER, 'helm'),
  kubeconform: join(CHART_TOOLS_FOLDER, 'kubeconform'),
  schemas: join(CHART_TOOLS_FOLDER, 'schemas'),
  stamp: STAMP,
};

/** Undefined where `make charts` has not brought them, or other versions of them. */
export function findChartTools(read: (path: string) => string): ChartTools | undefined {
  return existsSync(STAMP) && read(STAMP) === STAMP_TEXT ? CHART_TOOL_PATHS : undefined;
}
