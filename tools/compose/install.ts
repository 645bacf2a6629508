import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { programAnswers } from '../program-answers.ts';
import {
  COLLECTOR,
  COLLECTOR_PARTS,
  COLLECTOR_VERSION,
  COMPOSE_LOADER,
  COMPOSE_TOOLS_FOLDER,
  isBuilt,
  LOADER_SOURCE,
  stampFileOf,
  stampOf,
} from './compose-tools.ts';

/**
 * Called by `make compose-check`: builds a loader of Compose's own library and OpenTelemetry's collector, from Go's module registry. Some
 * minutes, once. Where there is no Go, or no registry, it says so and ends well: what needs them is then skipped, aloud.
 */
const BUILD_TIMEOUT_MS = 900_000;
const MODULES = 'go.opentelemetry.io/collector';

const go = ['go', '/usr/local/go/bin/go'].find(programAnswers);
if (go === undefined) {
  console.error(
    'SKIPPED: the loader of Compose and the collector; there is no Go on this machine (https://go.dev/dl).',
  );
} else {
  mkdirSync(COMPOSE_TOOLS_FOLDER, { recursive: true });
  install(COMPOSE_LOADER, () => call(go, LOADER_SOURCE, 'build', '-o', COMPOSE_LOADER, '.'));
  install(COLLECTOR, () => buildCollector(go));
}

function install(tool: string, build: () => void): void {
  if (isBuilt(tool)) return;
  console.log(`Building ${tool}, some minutes, once.`);
  try {
    build();
    // Last: what was interrupted is done again.
    writeFileSync(stampFileOf(tool), stampOf(tool));
  } catch (error) {
    const { message, stderr } = error as Error & { stderr?: Buffer };
    console.error(
      `SKIPPED: ${tool} could not be built: ${String(stderr ?? message)
        .trim()
        .split('\n')
        .at(-1)}`,
    );
  }
}

/** By the collector's own builder: the parts that our configuration names, and no others. */
function buildCollector(program: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-collector-'));
  try {
    const parts = Object.entries(COLLECTOR_PARTS).flatMap(([kind, modules]) => [
      `${kind}:`,
      ...modules.map((module) => `  - gomod: ${MODULES}/${module} v${COLLECTOR_VERSION}`),
    ]);
    const dist = { name: 'otelcol', module: 'millrace.dev/otelcol', output_path: join(folder, 'build'), go: program };
    writeFileSync(join(folder, 'builder.yaml'), `dist: ${JSON.stringify(dist)}\n${parts.join('\n')}\n`);
    call(program, folder, 'install', `${MODULES}/cmd/builder@v${COLLECTOR_VERSION}`);
    execFileSync(join(COMPOSE_TOOLS_FOLDER, 'builder'), ['--config', 'builder.yaml'], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: BUILD_TIMEOUT_MS,
    });
    execFileSync('cp', [join(folder, 'build/otelcol'), COLLECTOR]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function call(program: string, cwd: string, ...args: string[]): void {
  execFileSync(program, args, {
    cwd,
    env: { ...process.env, GOBIN: COMPOSE_TOOLS_FOLDER },
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: BUILD_TIMEOUT_MS,
  });
}
