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

/** A value that was given and refused, quoted where it is text, and never longer than a line. */
export function givenText(setting: Setting<unknown>, value: unknown): string {
  if (setting.secret === true) return '***';
  return shorten(JSON.stringify(value) ?? String(value));
}

function shorten(text: string): string {
  return text.length <= 100 ? text : `${text.slice(0, 100)}…`;
}
