import { ListValue, ObjectValue, TextValue, TruthValue, type Value } from './jinja-library.js';

/** A value as Python's `str()` writes it, which is what Jinja prints. */
export function pythonText(value: Value): string {
  return value instanceof TextValue ? value.value : represented(value);
}

/** As Python's `repr()` does. */
function represented(value: Value): string {
  if (value instanceof TextValue) return quoted(value.value);
  if (value instanceof TruthValue) return value.value ? 'True' : 'False';
  if (value.type === 'NullValue') return 'None';
  if (value.type === 'UndefinedValue') return '';
  if (value instanceof ListValue) return `[${value.value.map(represented).join(', ')}]`;
  if (value instanceof ObjectValue) {
    const entries = [...value.value];
    return `{${entries.map(([key, content]) => `${quoted(key)}: ${represented(content)}`).join(', ')}}`;
  }
  return value.toString();
}

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text
    .replaceAll('\\', '\\\\')
    .replaceAll(quote, `\\${quote}`)
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replaceAll('\t', '\\t');
  return quote + escaped + quote;
}
