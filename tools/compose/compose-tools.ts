import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** What Compose's files are tried with, from Go's module registry. `make compose-check` builds both, once. */
export const COLLECTOR_VERSION = '0.158.0';
/** What configs/collector names. */
export const COLLECTOR_PARTS = {
  receivers: ['receiver/otlpreceiver'],
  processors: ['processor/memorylimiterprocessor'],
  exporters: ['exporter/otlpexporter'],
} as const;

export const COMPOSE_TOOLS_FOLDER = resolve(import.meta.dirname, '../../.millrace/cache/compose');
export const LOADER_SOURCE = join(import.meta.dirname, 'loader');
export const COMPOSE_LOADER = join(COMPOSE_TOOLS_FOLDER, 'compose-loader');
export const COLLECTOR = join(COMPOSE_TOOLS_FOLDER, 'otelcol');

/** Of what each was built from: with other versions, or another source, it is built anew. */
export function stampOf(tool: string): string {
  if (tool === COLLECTOR) return JSON.stringify([COLLECTOR_VERSION, COLLECTOR_PARTS]);
  return ['main.go', 'go.mod', 'go.sum'].map((name) => readFileSync(join(LOADER_SOURCE, name), 'utf8')).join('');
}

export const stampFileOf = (tool: string) => `${tool}.stamp`;

export function isBuilt(tool: string): boolean {
  const file = stampFileOf(tool);
  return existsSync(tool) && existsSync(file) && readFileSync(file, 'utf8') === stampOf(tool);
}
