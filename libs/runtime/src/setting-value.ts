import type { Setting } from '@millrace/contracts';

export type Checked = { readonly ok: true; readonly value: unknown } | { readonly ok: false };

/**
 * A value as a flag, a variable or a YAML file gave it, made the setting's own type. Text is read as the setting's kind
 * wherever it comes from: charts and templates like to put numbers into quotes.
 */
export function checkSettingValue(setting: Setting<unknown>, given: unknown): Checked {
  const value = typeof given === 'string' ? fromText(setting, given) : given;
  if (value === undefined) return { ok: false };
  const parsed = setting.schema.safeParse(value);
  return parsed.success ? { ok: true, value: parsed.data } : { ok: false };
}

function fromText(setting: Setting<unknown>, text: string): unknown {
  const trimmed = text.trim();
  switch (setting.kind) {
    case 'integer':
      return /^[+-]?\d+$/.test(trimmed) ? Number(trimmed) : undefined;
    case 'number':
      return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed) ? Number(trimmed) : undefined;
    case 'boolean':
      return BOOLEAN_WORDS[trimmed.toLowerCase()];
    case 'list':
      return trimmed === '' ? [] : trimmed.split(',').map((item) => item.trim());
    case 'choice':
    case 'text':
      return text;
  }
}

const BOOLEAN_WORDS: Readonly<Record<string, boolean>> = Object.assign(Object.create(null), {
  true: true,
  yes: true,
  on: true,
  1: true,
  false: false,
  no: false,
  off: false,
  0: false,
});

/** What a setting takes, as the end of a sentence: `a whole number from 64 to 10,485,760 tokens`. */
export function allowedText(setting: Setting<unknown>): string {
  switch (setting.kind) {
    case 'integer':
    case 'number': {
      const what = setting.kind === 'integer' ? 'a whole number' : 'a number';
      const unit = hasSayableUnit(setting) ? ` ${setting.unit}` : '';
      return `${what} from ${numberText(setting, setting.min)} to ${numberText(setting, setting.max)}${unit}`;
    }
    case 'boolean':
      return 'true or false';
    case 'choice':
      return `one of ${(setting.choices ?? []).join(', ')}`;
    case 'list':
      return `a list of texts, none of them empty: with commas between, or as a YAML list`;
    case 'text':
      return 'a text that is not empty (in YAML, put numbers into quotes)';
  }
}

function hasSayableUnit(setting: Setting<unknown>): boolean {
  return setting.unit !== undefined && !['none', 'port', 'probability'].includes(setting.unit);
}

function numberText(setting: Setting<unknown>, value: number | undefined): string {
  if (value === undefined) return 'any';
  return setting.unit === 'port' ? String(value) : value.toLocaleString('en-US', { maximumFractionDigits: 9 });
}

/** A value as a person would write it. */
export function valueText(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : value.map(valueText).join(',');
  if (typeof value === 'string') return value;
  return shorten(JSON.stringify(value) ?? String(value));
}

/** A value that was given and refused, quoted where it is text, and never longer than a line. */
export function givenText(setting: Setting<unknown>, value: unknown): string {
  if (setting.secret === true) return '***';
  return shorten(JSON.stringify(value) ?? String(value));
}

function shorten(text: string): string {
  return text.length <= 100 ? text : `${text.slice(0, 100)}…`;
}
