/** A number that JSON text writes with a fraction of zero, such as `1.0`, which JavaScript can't tell from 1. */
export class WrittenNumber {
  constructor(readonly value: number) {}

  /** As JSON it is what it is worth. */
  toJSON(): number {
    return this.value;
  }
}

type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown;

/** `JSON.parse`, with a `WrittenNumber` for each whole number that is not written as one. */
export function parseWritten(text: string): unknown {
  const revive: Reviver = (_key, value, { source = '' }) =>
    typeof value === 'number' && Number.isInteger(value) && /[.eE]/.test(source) ? new WrittenNumber(value) : value;
  return JSON.parse(text, revive as Parameters<typeof JSON.parse>[1]);
}
