import { InferenceError } from '@millrace/contracts';
import { ANYONE, type Caller } from '../vocabulary.js';

/** Who sent a request: the only thing that a stage after it knows of keys. `presented` came as `Authorization: Bearer`, `x-api-key` or `api-key`. */
export interface Authenticator {
  /**
   * The caller that a key belongs to. Answers in the same turn for a key that is known, so that no request waits for a database.
   *
   * @throws InferenceError `invalid_api_key`, or `store_unavailable` when it can not be told.
   */
  authenticate(presented: string | undefined): Caller | Promise<Caller>;
  /**
   * Who a key belongs to that nobody presents, since work goes on in its name. Undefined: it is valid no more.
   *
   * @throws InferenceError `store_unavailable` when it can not be told.
   */
  callerOfKey(keyId: string): Promise<Caller | undefined>;
  /** Whether it is the key of the admin API, which is no API key. Its time tells nothing. */
  isAdmin(presented: string | undefined): boolean;
  /** @throws InferenceError `invalid_api_key` when it is not. */
  admitAdmin(presented: string | undefined): void;
}

export function notTheAdminKey(presented: string | undefined): InferenceError {
  const given =
    presented === undefined ? 'No key came with the request' : 'What came with the request is not the admin key';
  return new InferenceError(
    'invalid_api_key',
    `${given}. This path wants the key of the admin API as \`Authorization: Bearer <key>\`; API keys do not open it. It is MILLRACE_ADMIN_KEY, or in the file admin-key of the gateway's dataFolder.`,
  );
}

/** Before there are keys. */
export const EVERYBODY: Authenticator = {
  authenticate: () => ANYONE,
  callerOfKey: async (keyId) => ({ ...ANYONE, keyId }),
  isAdmin: () => false,
  admitAdmin: (presented) => {
    throw notTheAdminKey(presented);
  },
};
