/** What was thrown, as a person is told. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
