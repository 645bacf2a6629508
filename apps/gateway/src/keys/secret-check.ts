import { digestOf } from './api-key.js';

/** The row of `installation` that tells whether a gateway has the secret that keys were made with. */
export const SECRET_CHECK = 'key_secret_check';

/** Says nothing of the secret itself. */
export function secretCheckOf(keySecret: string): string {
  return digestOf('the check value of this secret', keySecret).toString('hex').slice(0, 32);
}
