import { createHash } from 'node:crypto';

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const MISTRAL_ID = /^[A-Za-z0-9]{9}$/;

/** Whether a template refuses ids of calls that have not nine characters, as Mistral's do. */
export function wantsNineCharacters(template: string): boolean {
  return /id\s*\|\s*length\s*!=\s*9/.test(template);
}

/** Nine letters and digits for any id: the same for the same, so that results still find their calls. */
export function nineCharacters(id: string): string {
  if (MISTRAL_ID.test(id)) return id;
  const digest = createHash('sha256').update(id).digest();
  return Array.from(digest.subarray(0, 9), (byte) => LETTERS[byte % LETTERS.length]).join('');
}
