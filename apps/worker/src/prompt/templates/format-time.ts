const MONTHS = 'January February March April May June July August September October November December'.split(' ');
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');

/**
 * Python's `strftime`, as far as chat templates use it. In English whatever the machine's language is, since models were
 * trained on "26 Jul 2024"; in UTC, so that replicas in different places give the same prompt.
 */
export function formatTime(time: Date, format: string): string {
  return format.replace(/%([YymdbBaAHIMSpj%])/g, (_whole, letter: string) => FIELDS[letter]!(time));
}

const FIELDS: Readonly<Record<string, (time: Date) => string>> = {
  Y: (time) => String(time.getUTCFullYear()),
  y: (time) => twoDigits(time.getUTCFullYear() % 100),
  m: (time) => twoDigits(time.getUTCMonth() + 1),
  d: (time) => twoDigits(time.getUTCDate()),
  b: (time) => MONTHS[time.getUTCMonth()]!.slice(0, 3),
  B: (time) => MONTHS[time.getUTCMonth()]!,
  a: (time) => DAYS[time.getUTCDay()]!.slice(0, 3),
  A: (time) => DAYS[time.getUTCDay()]!,
  H: (time) => twoDigits(time.getUTCHours()),
  I: (time) => twoDigits(time.getUTCHours() % 12 || 12),
  M: (time) => twoDigits(time.getUTCMinutes()),
  S: (time) => twoDigits(time.getUTCSeconds()),
  p: (time) => (time.getUTCHours() < 12 ? 'AM' : 'PM'),
  j: (time) => String(dayOfYear(time)).padStart(3, '0'),
  '%': () => '%',
};

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}

function dayOfYear(time: Date): number {
  const dayMs = 86_400_000;
  return Math.floor((time.getTime() - Date.UTC(time.getUTCFullYear(), 0, 1)) / dayMs) + 1;
}
