import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { describe } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { type ChartTools, findChartTools, KUBERNETES_VERSIONS } from '../../tools/charts/chart-tools.js';

export const ROOT = resolve(import.meta.dirname, '../..');
export const CHART = join(ROOT, 'deploy/helm/millrace');
const EXAMPLES = join(CHART, 'values-examples');
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

const tools: ChartTools | undefined = findChartTools((path) => readFileSync(path, 'utf8'));
export const NEWEST_KUBERNETES = KUBERNETES_VERSIONS.at(-1)!;

/** What needs helm. Without it is skipped, and the title says why. */
export function describeWithHelm(title: string, tests: () => void): void {
  if (tools === undefined) console.warn(`Skipped: ${title}. There is no helm: \`make charts\` builds it where Go is.`);
  describe.skipIf(tools === undefined)(tools ? title : `${title} (helm is not built: \`make charts\`)`, tests);
}

/** Values as somebody may write them. */
export type Values = Readonly<Record<string, unknown>>;

// biome-ignore lint/suspicious/noExplicitAny: whatever Kubernetes has; kubeconform knows its shape, and a test says what it looks for.
export type Manifest = any;

export interface Rendered {
  readonly text: string;
  readonly manifests: readonly Manifest[];
  /** The only one of a kind whose name ends so. @throws Error where there is none, or several. */
  one(kind: string, ending?: string): Manifest;
  all(kind: string): readonly Manifest[];
}

export interface RenderOptions {
  readonly release?: string;
  readonly kubernetes?: string;
  /** Of a copy of the chart, for instance. */
  readonly chart?: string;
}

export function exampleNames(): readonly string[] {
  return readdirSync(EXAMPLES).sort();
}

export function exampleText(name: string): string {
  return readFileSync(join(EXAMPLES, name), 'utf8');
}

/** What `helm template` makes of the values: an object, or the text of a file. @throws Error with what helm says. */
export function render(values: Values | string = {}, options: RenderOptions = {}): Rendered {
  const { stdout, stderr, status } = template(values, options);
  if (status !== 0) throw new Error(stderr);
  return rendered(stdout);
}

/** What helm says against these values. */
export function refusalOf(values: Values): string {
  const { stdout, stderr, status } = template(values, {});
  if (status === 0) throw new Error(`helm takes it, and writes ${stdout.length} characters`);
  return stderr;
}

/** What `helm upgrade` would make, which looks into the cluster at this address. */
export async function renderAgainst(url: string): Promise<Rendered> {
  const args = ['template', 'millrace', CHART, '--namespace', 'llm', '--dry-run=server', '--kube-apiserver', url];
  // Not the cluster of whoever runs the tests.
  const env = { ...process.env, KUBECONFIG: '/dev/null' };
  const { stdout } = await promisify(execFile)(tools!.helm, args, { env, maxBuffer: OUTPUT_BYTES_MAX });
  return rendered(stdout);
}

function template(
  values: Values | string,
  { release = 'millrace', kubernetes = NEWEST_KUBERNETES, chart = CHART }: RenderOptions,
): { stdout: string; stderr: string; status: number | null } {
  const args = ['template', release, chart, '--namespace', 'llm', '--kube-version', kubernetes, '--values', '-'];
  const input = typeof values === 'string' ? values : JSON.stringify(values);
  return spawnSync(tools!.helm, args, { input, encoding: 'utf8', maxBuffer: OUTPUT_BYTES_MAX });
}

function rendered(text: string): Rendered {
  const manifests = parseAllDocuments(text)
    .map((document) => {
      const [error] = document.errors;
      if (error !== undefined) throw error;
      return document.toJS() as Manifest;
    })
    .filter((manifest) => manifest !== null);
  const all = (kind: string) => manifests.filter((manifest) => manifest.kind === kind);
  const one = (kind: string, ending = '') => {
    const found = all(kind).filter(({ metadata }) => metadata.name.endsWith(ending));
    if (found.length !== 1) throw new Error(`${found.length} of ${kind} …${ending}`);
    return found[0];
  };
  return { text, manifests, one, all };
}

/** What helm prints after an install. `helm template` leaves it out, and `helm install` wants a cluster, so that here it is put into a manifest. */
export function notesOf(values: Values | string): string {
  return withCopy((chart) => {
    const notes = readFileSync(join(chart, 'templates/NOTES.txt'), 'utf8');
    const manifest = `{{- define "notes" -}}\n${notes}\n{{- end -}}\nkind: Notes\nmetadata: { name: notes }\nnotes: {{ include "notes" . | toJson }}\n`;
    writeFileSync(join(chart, 'templates/notes.yaml'), manifest);
    return render(values, { chart }).one('Notes').notes as string;
  });
}

/** With a copy of the chart, which may be changed. */
export function withCopy<Result>(use: (chart: string) => Result): Result {
  const chart = mkdtempSync(join(tmpdir(), 'millrace-chart-'));
  try {
    cpSync(CHART, chart, { recursive: true });
    return use(chart);
  } finally {
    rmSync(chart, { recursive: true });
  }
}

export function lint(values: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-chart-'));
  try {
    const file = join(folder, 'values.yaml');
    writeFileSync(file, values);
    const args = ['lint', CHART, '--strict', '--kube-version', NEWEST_KUBERNETES, '--values', file];
    return execFileSync(tools!.helm, args, { encoding: 'utf8', stdio: 'pipe' });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What is wrong with manifests by Kubernetes' own schemas, and by those of KEDA, Prometheus' operator and the Gateway API; a key too many as well. */
export function faultsOf(manifests: string, kubernetes: string): readonly string[] {
  const { kubeconform, schemas } = tools!;
  const file = '{{ .ResourceKind }}{{ .KindSuffix }}.json';
  const locations = [join(schemas, '{{ .NormalizedKubernetesVersion }}', file), join(schemas, 'crds', file)];
  const said = spawnSync(
    kubeconform,
    [
      '-strict',
      ...['-kubernetes-version', kubernetes],
      ...['-output', 'json'],
      ...locations.flatMap((location) => ['-schema-location', location]),
    ],
    { input: manifests, encoding: 'utf8', maxBuffer: OUTPUT_BYTES_MAX },
  );
  const { resources = [] } = JSON.parse(said.stdout) as {
    resources?: { kind: string; name: string; status: string; msg: string }[];
  };
  return resources
    .filter(({ status }) => status === 'statusInvalid' || status === 'statusError')
    .map(({ kind, name, msg }) => `${kind} ${name}: ${msg}`);
}

/** Where pods are described: their template, and whose it is. */
export function podsIn({ manifests }: Rendered): readonly { readonly owner: string; readonly template: Manifest }[] {
  return manifests
    .filter(({ spec }) => spec?.template?.spec?.containers !== undefined)
    .map((manifest) => ({ owner: `${manifest.kind} ${manifest.metadata.name}`, template: manifest.spec.template }));
}

export function containersOf(template: Manifest): readonly Manifest[] {
  const { containers, initContainers = [] } = template.spec;
  return [...initContainers, ...containers];
}

/** A container's variables by name; one that comes from elsewhere is its key there, in brackets. */
export function environmentOf(container: Manifest): Record<string, string> {
  const entries = ((container.env ?? []) as Manifest[]).map(({ name, value, valueFrom }): [string, string] => [
    name,
    value ??
      (valueFrom.fieldRef
        ? `(of the pod: ${valueFrom.fieldRef.fieldPath})`
        : `(${valueFrom.secretKeyRef.name}/${valueFrom.secretKeyRef.key})`),
  ]);
  return Object.fromEntries(entries);
}
