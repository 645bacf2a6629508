import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { GATEWAY_METRICS } from '@millrace/gateway/metrics';
import { WORKER_METRICS } from '@millrace/worker/metrics';
import { VALUES_SCHEMA, valuesSchema } from '../charts/values-schema.ts';
import { monitoringFiles } from '../dashboards/files.ts';
import { referencePages } from './pages.ts';
import { ENGINES_PAGE, withPresetTable } from './preset-table.ts';

/** `make docs`: writes every page that is made from the code, and says which of them changed. */
const root = resolve(import.meta.dirname, '../..');

const engines = { path: ENGINES_PAGE, text: withPresetTable(readFileSync(join(root, ENGINES_PAGE), 'utf8')) };
const values = { path: VALUES_SCHEMA, text: valuesSchema() };
const pages = referencePages({ gateway: GATEWAY_METRICS, worker: WORKER_METRICS });

for (const { path, text } of [...pages, engines, values, ...monitoringFiles()]) {
  const file = join(root, path);
  if (before(file) === text) continue;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  console.log(`wrote ${path}`);
}

function before(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
