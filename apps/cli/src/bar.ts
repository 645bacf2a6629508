const CELLS = 24;

/** `part`, from 0 to 1, as `[######..................]`. */
export function barOf(part: number, cells = CELLS): string {
  const filled = Math.floor(Math.min(1, Math.max(0, part)) * cells);
  return `[${'#'.repeat(filled)}${'.'.repeat(cells - filled)}]`;
}
