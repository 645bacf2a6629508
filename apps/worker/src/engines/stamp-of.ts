import { stat } from 'node:fs/promises';

/** What files look like from outside: another text once one of them is another. */
export async function stampOf(paths: readonly string[]): Promise<string> {
  const stamps = paths.map(async (path) => {
    try {
      const { size, mtimeMs, ino } = await stat(path);
      return `${path} ${size} ${mtimeMs} ${ino}`;
    } catch (error) {
      return `${path} ${(error as NodeJS.ErrnoException).code}`;
    }
  });
  return (await Promise.all(stamps)).join('\n');
}
