import * as z from 'zod';

/** Which process reads a setting. `serve` starts the others and hands every setting on. */
export type SettingReader = 'gateway' | 'worker' | 'serve' | 'cli';

export type SettingGroup =
  | 'models'
  | 'generation'
  | 'http'
  | 'keys'
  | 'limits'
  | 'admission'
  | 'cache'
  | 'routing'
  | 'workers'
  | 'queue'
  | 'engine'
  | 'stores'
  | 'files'
  | 'batches'
  | 'storedChats'
  | 'moderation'
  | 'responses'
  | 'vectorStores'
  | 'tls'
  | 'records'
  | 'logging'
  | 'process';

/** One setting, declared once: the parser, the start-up errors, the flags and the reference page come from it. */
export interface Setting<T> {
  readonly kind: 'integer' | 'number' | 'boolean' | 'text' | 'choice' | 'list';
  /** Checks and types a value that is already of the right JSON type. */
  readonly schema: z.ZodType<T>;
  /** Absent: the setting is optional, and `undefined` has a meaning that `why` explains. */
  readonly default: T;
  readonly unit?: string | undefined;
  readonly min?: number | undefined;
  readonly max?: number | undefined;
  readonly choices?: readonly string[] | undefined;
  /** What a text must be like where not any will do, as the end of a sentence. */
  readonly takes?: string | undefined;
  readonly group: SettingGroup;
  readonly readBy: readonly SettingReader[];
  /** What it is, why one would change it, and what that costs. */
  readonly why: string;
  /** Shown as `***` in logs and by `millrace check`. */
  readonly secret?: boolean | undefined;
}

interface Common {
  group: SettingGroup;
  readBy: readonly SettingReader[];
  why: string;
  secret?: boolean;
}

interface Bounded extends Common {
  min: number;
  max: number;
  unit: string;
}

export function integer(s: Bounded & { default: number }): Setting<number> {
  return { ...s, kind: 'integer', schema: z.int().min(s.min).max(s.max) };
}

export function optionalInteger(s: Bounded): Setting<number | undefined> {
  return { ...s, kind: 'integer', schema: z.int().min(s.min).max(s.max).optional(), default: undefined };
}

export function decimal(s: Bounded & { default: number }): Setting<number> {
  return { ...s, kind: 'number', schema: z.number().min(s.min).max(s.max) };
}

export function optionalDecimal(s: Bounded): Setting<number | undefined> {
  return { ...s, kind: 'number', schema: z.number().min(s.min).max(s.max).optional(), default: undefined };
}

export function boolean(s: Common & { default: boolean }): Setting<boolean> {
  return { ...s, kind: 'boolean', schema: z.boolean() };
}

export function text(s: Common & { default: string; unit?: string }): Setting<string> {
  return { ...s, kind: 'text', schema: z.string().min(1) };
}

export function optionalText(s: Common & { unit?: string }): Setting<string | undefined> {
  return { ...s, kind: 'text', schema: z.string().min(1).optional(), default: undefined };
}

/** A text of which `takes` says what `schema` demands. */
export function optionalTextLike(
  s: Common & { schema: z.ZodType<string>; takes: string },
): Setting<string | undefined> {
  return { ...s, kind: 'text', schema: s.schema.optional(), default: undefined };
}

export function choice<const C extends readonly [string, ...string[]]>(
  s: Common & { choices: C; default: C[number] },
): Setting<C[number]> {
  return { ...s, kind: 'choice', schema: z.enum(s.choices) as unknown as z.ZodType<C[number]> };
}

/** Given as a YAML list, or as one text with commas between. */
export function list(s: Common & { default: readonly string[]; unit?: string }): Setting<readonly string[]> {
  return { ...s, kind: 'list', schema: z.array(z.string().min(1)) };
}

/** A table of settings by name. A dot in a name is a level in the YAML file and a dash or underscore elsewhere. */
// biome-ignore lint/suspicious/noExplicitAny: each entry keeps its own type; only the table as a whole cannot name it.
export type SettingTable = Readonly<Record<string, Setting<any>>>;

export type ValuesOf<T extends SettingTable> = { readonly [K in keyof T]: T[K] extends Setting<infer V> ? V : never };

/** `maxBatchSize` → `--max-batch-size`; `tls.certFile` → `--tls-cert-file`. */
export function flagOf(name: string): string {
  return `--${words(name).join('-')}`;
}

/** `maxBatchSize` → `MILLRACE_MAX_BATCH_SIZE`. */
export function environmentNameOf(name: string): string {
  return `MILLRACE_${words(name).join('_').toUpperCase()}`;
}

function words(name: string): string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1.$2')
    .toLowerCase()
    .split('.');
}
