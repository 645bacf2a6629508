/** `['messages', 0, 'content']` → `messages[0].content`, as OpenAI writes it. */
export function paramPath(path: readonly PropertyKey[]): string {
  return path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('')
    .replace(/^\./, '')
    .toWellFormed()
    .slice(0, 200);
}
