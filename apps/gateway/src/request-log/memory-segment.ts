/** Lines that no disk took. */
export class MemorySegment {
  bytes = 0;
  records = 0;
  readonly isInherited = false;
  readonly #lines: string[] = [];

  add(lines: readonly string[]): void {
    this.#lines.push(...lines);
  }

  async lines(): Promise<readonly string[]> {
    return this.#lines;
  }
}
