/** Text that the database takes: it refuses the character NUL and halves of a surrogate pair, and both can stand in what callers send. */
export function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\\0');
}

export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}
