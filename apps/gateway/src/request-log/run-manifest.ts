import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SETTINGS, type Settings, type SettingTable, VERSION } from '@millrace/contracts';

/** What a run was made with: enough to make the same again, and nothing secret. */
export interface RunManifest {
  readonly run_id: string;
  /** RFC 3339, UTC. */
  readonly started_at: string;
  readonly version: string;
  /** Of the checkout that the gateway runs from; null where it is none. */
  readonly git_sha: string | null;
  readonly node: string;
  readonly platform: string;
  /** What the workspace's packages depend on, by name. */
  readonly dependencies: Readonly<Record<string, string>>;
  /** SHA-256 of `config`, in hexadecimal: two runs with the same behave alike. */
  readonly config_digest: string;
  readonly config: Readonly<Record<string, unknown>>;
}

/** The same from the sources and from what is built of them. */
const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));

/** Where it listens, and where it writes what: two runs that differ in these answer alike. */
const NO_BEHAVIOUR: ReadonlySet<string> = new Set([
  'host',
  'port',
  // `millrace serve` gives its worker another port each time.
  'workers',
  'dataFolder',
  'runsFolder',
  'runBytesMax',
  'runsMax',
  'logLevel',
  'logFormat',
]);

export function runManifest(runId: string, startedAt: Date, settings: Settings, root = ROOT): RunManifest {
  const config = { ...behaviourOf(settings), modelsFileSha256: sha256Of(textOf(settings.modelsFile) ?? '') };
  return {
    run_id: runId,
    started_at: startedAt.toISOString(),
    version: VERSION,
    git_sha: gitSha(root),
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    dependencies: dependenciesOf(root),
    config_digest: sha256Of(JSON.stringify(config)),
    config,
  };
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** By name, in order. Of a secret only whether there is one. */
function behaviourOf(settings: Settings): Readonly<Record<string, unknown>> {
  const table: SettingTable = SETTINGS;
  const entries = Object.entries(settings)
    .filter(([name, value]) => !NO_BEHAVIOUR.has(name) && value !== undefined)
    .map(([name, value]) => [name, table[name]?.secret ? '***' : value] as const);
  return Object.fromEntries(entries.sort(([one], [other]) => (one < other ? -1 : 1)));
}

/** From the files of git itself, which need not be installed. */
export function gitSha(root: string): string | null {
  try {
    const folder = gitFolder(root);
    const head = readFileSync(join(folder, 'HEAD'), 'utf8').trim();
    const [, ref] = /^ref: (.+)$/.exec(head) ?? [];
    const sha = ref === undefined ? head : shaOfRef(folder, ref);
    return sha !== undefined && /^[0-9a-f]{40,64}$/.test(sha) ? sha : null;
  } catch {
    return null;
  }
}

/** `.git` is a folder, or in a second work tree a file that names one. */
function gitFolder(root: string): string {
  const path = join(root, '.git');
  try {
    const [, named] = /^gitdir: (.+)$/m.exec(readFileSync(path, 'utf8')) ?? [];
    return resolve(root, named!);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EISDIR') return path;
    throw error;
  }
}

/** A file of its own, or a line of `packed-refs`; of a second work tree both lie in the first's folder. */
function shaOfRef(folder: string, ref: string): string | undefined {
  const shared = textOf(join(folder, 'commondir'));
  const folders = shared === undefined ? [folder] : [folder, resolve(folder, shared.trim())];
  for (const one of folders) {
    const own = textOf(join(one, ref))?.trim();
    if (own !== undefined) return own;
    const packed = textOf(join(one, 'packed-refs')) ?? '';
    const line = packed.split('\n').find((text) => text.endsWith(` ${ref}`));
    if (line !== undefined) return line.split(' ', 1)[0];
  }
  return undefined;
}

function dependenciesOf(root: string): Readonly<Record<string, string>> {
  const folders = ['apps', 'libs'].flatMap((parent) => namesIn(join(root, parent)).map((name) => join(parent, name)));
  const found = ['', ...folders].flatMap((folder) => {
    const text = textOf(join(root, folder, 'package.json'));
    const { dependencies = {} } = text === undefined ? {} : (JSON.parse(text) as { dependencies?: object });
    return Object.entries(dependencies as Readonly<Record<string, string>>);
  });
  const foreign = found.filter(([, version]) => !version.startsWith('workspace:'));
  return Object.fromEntries(foreign.sort(([one], [other]) => (one < other ? -1 : 1)));
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
