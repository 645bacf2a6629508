const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** `90s`, `15m`, `12h`, `30d`: in seconds; undefined: it is none of them. */
export function secondsOf(text: string): number | undefined {
  const [, amount, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  return amount === undefined ? undefined : Number(amount) * SECONDS[unit!]!;
}

/** A time to come, as Unix seconds: so long from now, or a day (its beginning, UTC), or a moment; undefined: none of these. */
export function momentOf(text: string, nowMs: number): number | undefined {
  const seconds = secondsOf(text);
  if (seconds !== undefined) return Math.floor(nowMs / 1_000) + seconds;
  if (!/^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2}))?$/.test(text)) return undefined;
  const ms = Date.parse(text);
  // Date.parse takes the 31st of April for the 1st of May.
  const isDay = !Number.isNaN(ms) && (text.includes('T') || new Date(ms).toISOString().startsWith(text));
  return isDay ? Math.floor(ms / 1_000) : undefined;
}
