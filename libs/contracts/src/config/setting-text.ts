import type { Setting } from './setting.js';

/** What a setting takes, as the end of a sentence: `a whole number from 64 to 10,485,760 tokens`. */
export function allowedText(setting: Setting<unknown>): string {
  switch (setting.kind) {
    case 'integer':
    case 'number': {
      const what = setting.kind === 'integer' ? 'a whole number' : 'a number';
      const unit = hasSayableUnit(setting) ? ` ${setting.unit}` : '';
      return `${what} from ${numberText(setting.min)} to ${numberText(setting.max)}${unit}`;
    }
    case 'boolean':
      return 'true or false';
    case 'choice':
      return `one of ${(setting.choices ?? []).join(', ')}`;
    case 'list':
      return 'texts with commas between, none of them empty';
    case 'text':
      return setting.takes ?? 'a text';
  }
}

function hasSayableUnit(setting: Setting<unknown>): boolean {
  return setting.unit !== undefined && !['none', 'port', 'probability'].includes(setting.unit);
}

function numberText(value: number | undefined): string {
  return value === undefined ? 'any' : value.toLocaleString('en-US', { maximumFractionDigits: 9 });
}

/** A value as a person would write it. */
export function valueText(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : value.map(valueText).join(',');
  if (typeof value === 'string') return value;
  return JSON.stringify(value) ?? String(value);
}
