import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder that holds configs/ and models/: three above this file, in `src` as in `dist`. */
export function millraceFolder(): string {
  return join(dirname(fileURLToPath(import.meta.url)), '../../..');
}
