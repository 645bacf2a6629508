import { randomFillSync } from 'node:crypto';

/** Random bytes are fetched so many at a time: asking for twelve costs nearly as much as asking for all of them. */
const POOL_BYTES = 8_192;
const pool = Buffer.allocUnsafe(POOL_BYTES);
let used = POOL_BYTES;

/** Unguessable text of twice as many lower-case hexadecimal digits. @param bytes 1 to 64. */
export function randomHex(bytes: number): string {
  if (used + bytes > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  used += bytes;
  return pool.toString('hex', used - bytes, used);
}
