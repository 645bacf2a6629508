/** Which part of a list: what is behind `after` and before `before`, in this order, at most so many. */
export interface PageAsk {
  readonly limit: number;
  readonly order: 'asc' | 'desc';
  readonly after?: string | undefined;
  readonly before?: string | undefined;
}

export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly hasMore: boolean;
}

/** Of a list that goes by `column`, whose values are ordered as they were made. */
export class PageSql {
  readonly #descending: boolean;

  /** @param firstPlace of four parameters in a row: these `values`. */
  constructor(
    private readonly ask: PageAsk,
    private readonly column: string,
    private readonly firstPlace: number,
  ) {
    // A page that ends before something is read backwards from there, or it would be the first of the list.
    this.#descending = (ask.order === 'desc') !== this.#isBackwards;
  }

  get #isBackwards(): boolean {
    return this.ask.before !== undefined && this.ask.after === undefined;
  }

  get values(): readonly unknown[] {
    const { after, before, order, limit } = this.ask;
    return order === 'asc' ? [after, before, limit + 1] : [before, after, limit + 1];
  }

  get where(): string {
    const place = (at: number) => `$${this.firstPlace + at}`;
    return `(${place(0)}::text is null or ${this.column} > ${place(0)}) and (${place(1)}::text is null or ${this.column} < ${place(1)})`;
  }

  get orderAndLimit(): string {
    return `order by ${this.column} ${this.#descending ? 'desc' : 'asc'} limit $${this.firstPlace + 2}::integer`;
  }

  pageOf<Row>(rows: readonly Row[]): Page<Row> {
    const kept = rows.slice(0, this.ask.limit);
    return { rows: this.#isBackwards ? kept.reverse() : kept, hasMore: rows.length > this.ask.limit };
  }
}
