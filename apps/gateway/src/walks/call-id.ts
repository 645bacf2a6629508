import { randomBytes } from 'node:crypto';

const CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const LENGTH = 24;
/** The largest multiple of their number that a byte can reach: larger bytes would favour the first of them. */
const BYTES_BELOW = 256 - (256 % CHARACTERS.length);

/** A new id of a tool call, in OpenAI's form, or Anthropic's. Made here and nowhere else, so that no two engines give the same. */
export function newCallId(prefix: 'call' | 'toolu' = 'call'): string {
  let id = '';
  while (id.length < LENGTH) {
    const fair = randomBytes(LENGTH * 2).filter((byte) => byte < BYTES_BELOW);
    id += Array.from(fair, (byte) => CHARACTERS[byte % CHARACTERS.length]).join('');
  }
  return `${prefix}_${id.slice(0, LENGTH)}`;
}
