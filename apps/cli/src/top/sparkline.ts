const LEVELS = '▁▂▃▄▅▆▇█';

/** The last so many values as a row of bars, from 0 to the greatest; a dot where there was no value. */
export function sparkline(values: readonly (number | undefined)[], width: number): string {
  const shown = values.slice(-width);
  const most = Math.max(...shown.filter((value) => value !== undefined), 0);
  return shown
    .map((value) => {
      if (value === undefined) return '·';
      if (most === 0) return LEVELS[0];
      return LEVELS[Math.min(LEVELS.length - 1, Math.floor((value / most) * LEVELS.length))];
    })
    .join('');
}
