import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { programAnswers } from '../program-answers.ts';
import {
  CHART_TOOL_PATHS,
  CHART_TOOLS,
  CHART_TOOLS_FOLDER,
  CRD_MODULES,
  findChartTools,
  KUBERNETES_VERSIONS,
  STAMP_TEXT,
} from './chart-tools.ts';
import { writeCrdSchemas, writeKubernetesSchemas } from './kubernetes-schemas.ts';

/**
 * Called by `make charts`: builds helm and kubeconform from Go's module registry, and makes schemas of what Kubernetes, KEDA, Prometheus'
 * operator and the Gateway API ship in their own modules. Some minutes, once; what was built stays in .millrace/cache/charts.
 *
 * Where there is no Go, or no registry, it says so and ends well: what needs them is then skipped, aloud.
 */
/** Of one tool, on two slow cores. */
const BUILD_TIMEOUT_MS = 900_000;
const DOWNLOAD_TIMEOUT_MS = 600_000;
/** As helm's own Makefile does it: else it takes a cluster that it does not ask for one of version 1.20. */
const [MAJOR, MINOR] = KUBERNETES_VERSIONS.at(-1)!.split('.');
const CAPABILITIES = 'helm.sh/helm/v3/pkg/chartutil';
const LINKED = ['-ldflags', `-X ${CAPABILITIES}.k8sVersionMajor=${MAJOR} -X ${CAPABILITIES}.k8sVersionMinor=${MINOR}`];

const go = ['go', '/usr/local/go/bin/go'].find(programAnswers);
if (findChartTools((path) => readFileSync(path, 'utf8')) === undefined) {
  if (go === undefined) skip('there is no Go on this machine (https://go.dev/dl)');
  else install(go);
}

function install(program: string): void {
  rmSync(CHART_TOOL_PATHS.stamp, { force: true });
  mkdirSync(CHART_TOOLS_FOLDER, { recursive: true });
  try {
    for (const module of Object.values(CHART_TOOLS)) build(program, module);
    for (const version of KUBERNETES_VERSIONS) {
      const folder = download(program, `k8s.io/kubernetes@v${version}`);
      writeKubernetesSchemas(
        join(folder, 'api/openapi-spec/swagger.json'),
        join(CHART_TOOL_PATHS.schemas, `v${version}`),
      );
    }
    for (const [module, folder] of Object.entries(CRD_MODULES)) {
      writeCrdSchemas(join(download(program, module), folder), join(CHART_TOOL_PATHS.schemas, 'crds'));
    }
  } catch (error) {
    const { message, stdout } = error as Error & { stdout?: string | Buffer | null };
    // `go mod download -json` says on standard output what is wrong.
    const said = /"Error": "(.*)"/.exec(String(stdout ?? ''))?.[1] ?? message.trim().split('\n').at(-1);
    skip(`they could not be built: ${said}`);
    return;
  }
  // Last: what was interrupted is done again.
  writeFileSync(CHART_TOOL_PATHS.stamp, STAMP_TEXT);
}

function build(program: string, module: string): void {
  console.log(`Building for the tests of the chart, some minutes, once: go install ${module}`);
  execFileSync(program, ['install', ...LINKED, module], {
    env: { ...process.env, GOBIN: CHART_TOOLS_FOLDER, GOFLAGS: '-mod=mod' },
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: BUILD_TIMEOUT_MS,
  });
}

/** @returns where the module's files are. */
function download(program: string, module: string): string {
  console.log(`Fetching schemas for the tests of the chart, once: go mod download ${module}`);
  // Outside of any module.
  const folder = mkdtempSync(join(tmpdir(), 'millrace-charts-'));
  try {
    const said = execFileSync(program, ['mod', 'download', '-json', module], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: DOWNLOAD_TIMEOUT_MS,
      encoding: 'utf8',
    });
    return (JSON.parse(said) as { Dir: string }).Dir;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function skip(why: string): void {
  console.error(`SKIPPED: the tests of the chart that need helm and kubeconform; ${why}.`);
}
