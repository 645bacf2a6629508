/** Days (UTC) as `2026-11-21`, and the partitions of `request_records` that hold them. */

const DAY_MS = 86_400_000;

export const PARTITION_PREFIX = 'request_records_2';

export function dayOf(unixMs: number): string {
  return new Date(unixMs).toISOString().slice(0, 10);
}

/** `days` later; earlier if that is negative. */
export function dayAfter(day: string, days = 1): string {
  return dayOf(Date.parse(`${day}T00:00:00Z`) + days * DAY_MS);
}

/** Goes into SQL as it stands. @throws RangeError for what is no day. */
export function nameOfDay(day: string): string {
  if (!isDay(day)) throw new RangeError(`${JSON.stringify(day.slice(0, 40))} is no day such as 2026-11-21.`);
  return `request_records_${day.replaceAll('-', '')}`;
}

export function isDay(text: string): boolean {
  return /^2[01]\d\d-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text)) && dayOf(Date.parse(text)) === text;
}

/** The rows whose names are those of partitions, with their days. */
export function daysOfNames<Row extends { readonly name: string }>(rows: readonly Row[]): (Row & { day: string })[] {
  return rows.flatMap((row) => {
    const [, year, month, date] = /^request_records_(\d{4})(\d\d)(\d\d)$/.exec(row.name) ?? [];
    const day = `${year}-${month}-${date}`;
    return isDay(day) ? [{ ...row, day }] : [];
  });
}
