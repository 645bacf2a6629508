import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';

export const ROOT = resolve(import.meta.dirname, '../..');
export const OBJECT_STORES = ['minio', 'seaweedfs'] as const;
export const PROFILES = ['gpu', 'max', 'llama-server', 'openvino', 'observe'] as const;

export interface Service {
  readonly image: string;
  readonly profiles?: readonly string[];
  readonly build?: { readonly target: string };
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly read_only?: boolean;
  readonly tmpfs?: readonly string[];
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly scale?: string;
  readonly stop_grace_period?: string;
  readonly depends_on?: Readonly<Record<string, unknown>> | readonly string[];
}

export interface ComposeFile {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

export const COMPOSE_TEXT = readFileSync(join(ROOT, 'docker-compose.yaml'), 'utf8');
export const storeText = (store: string) => readFileSync(join(ROOT, `deploy/compose/${store}.yaml`), 'utf8');

/** With what it includes for one of the object stores; variables stand as they are written. */
export function composeFile(store: (typeof OBJECT_STORES)[number] = 'minio'): ComposeFile {
  const own = parse(COMPOSE_TEXT, { merge: true }) as ComposeFile;
  const included = parse(storeText(store), { merge: true }) as ComposeFile;
  return {
    services: { ...own.services, ...included.services },
    volumes: { ...own.volumes, ...included.volumes },
  };
}

/** As Compose fills it in: `${NAME}`, `${NAME:-default}`, `${NAME:?sentence}`, `$$`. */
export function filledIn(text: string, variables: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\{(\w+)(?::([-?])([^}]*))?\}/g, (whole, name: string, kind: string, rest: string) => {
    if (whole === '$$') return '$';
    const value = variables[name];
    if (value !== undefined && value !== '') return value;
    if (kind === '?') throw new Error(`${name}: ${rest}`);
    return rest ?? '';
  });
}
