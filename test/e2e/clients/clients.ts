import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const SUITES: Readonly<Record<string, string>> = {
  'compatcanary.test.ts': 'compatcanary',
  'langchain.test.ts': '@langchain/openai',
  'llamaindex.test.ts': '@llamaindex/openai',
  'openapi.test.ts': '@readme/openapi-parser',
  'vercel-ai.test.ts': 'ai',
};

export interface Client {
  readonly suite: string;
  readonly name: string;
  /** Undefined where it is not installed. */
  readonly version: string | undefined;
}

/** The clients of other people that have a suite here, and whether they are there. */
export function clients(): Client[] {
  return Object.entries(SUITES).map(([suite, name]) => {
    const manifest = join(import.meta.dirname, 'node_modules', name, 'package.json');
    const version = existsSync(manifest)
      ? (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version
      : undefined;
    return { suite, name, version };
  });
}
