import { ANYONE, type Caller } from '../vocabulary.js';

/** Who sent a request: the only thing that a stage after it knows of keys. */
export interface Authenticator {
  /**
   * The caller that a key belongs to. Answers in the same turn for a key that is known, so that no request waits for a database.
   *
   * @param presented what came in `Authorization: Bearer` or `x-api-key`; undefined: neither did.
   * @throws InferenceError `invalid_api_key`, or `store_unavailable` when keys could never be read.
   */
  authenticate(presented: string | undefined): Caller | Promise<Caller>;
  /** Whether it is the key of the admin API, which is no API key. Its time tells nothing. */
  isAdmin(presented: string | undefined): boolean;
}

/** Before there are keys. */
export const EVERYBODY: Authenticator = { authenticate: () => ANYONE, isAdmin: () => false };
