/** One line of `millrace check`. */
export interface Finding {
  readonly about: string;
  readonly ok: boolean;
  /** What was found. */
  readonly detail: string;
  /** Only with what is not ok: what to do. */
  readonly remedy?: string;
}

export function fine(about: string, detail: string): Finding {
  return { about, ok: true, detail };
}

export function wrong(about: string, detail: string, remedy: string): Finding {
  return { about, ok: false, detail, remedy };
}
