import type { RecordRow } from './record-row.js';

/** Tokens of each key and day that the database doesn't know yet. */
export class UnwrittenTokens {
  readonly #byKey = new Map<string, Map<string, number>>();

  add(row: RecordRow): void {
    this.#change(row, tokensUsed(row));
  }

  remove(row: RecordRow): void {
    this.#change(row, -tokensUsed(row));
  }

  /** Of the days from `fromDay` on. */
  of(keyId: string, fromDay: string): number {
    let sum = 0;
    for (const [day, tokens] of this.#byKey.get(keyId) ?? []) if (day >= fromDay) sum += tokens;
    return Math.max(0, sum);
  }

  /** When nothing waits any more; so that what was lost on the way is not counted for ever. */
  clear(): void {
    this.#byKey.clear();
  }

  #change({ key_id: keyId, day }: RecordRow, tokens: number): void {
    if (keyId === null || tokens === 0) return;
    const days = this.#byKey.get(keyId) ?? new Map<string, number>();
    const left = (days.get(day) ?? 0) + tokens;
    // Under constant load something always waits, and nothing but this forgets a key.
    if (left === 0) days.delete(day);
    else days.set(day, left);
    if (days.size === 0) this.#byKey.delete(keyId);
    else this.#byKey.set(keyId, days);
  }
}

/** As the totals count them: a cached answer took none. */
function tokensUsed({ cached, prompt_tokens, completion_tokens }: RecordRow): number {
  return cached ? 0 : prompt_tokens + completion_tokens;
}
