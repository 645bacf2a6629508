import { InferenceError, type KeyBody, type KeyListBody, type NewKeyBody } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { isKeyId } from '../keys/api-key.js';
import type { KeyNews } from '../keys/key-news.js';
import { keyBody } from '../keys/key-rows.js';
import type { KeyStore, MadeKey } from '../keys/key-store.js';
import type { RequestLog } from '../request-log/request-log.js';
import { parseChangeKey, parseCreateKey, parseListKeys, parseRotateKey } from '../validation/parse-key-requests.js';
import type { Call } from '../vocabulary.js';
import { recordedAdmin } from './recorded-admin.js';

const IF_AWAY = 'What was asked may or may not have been done: look at `millrace keys list` once it is back.';

/** What accepts keys on this gateway. */
interface Ring {
  /** Reads what has changed. Never throws; bounded. */
  lookNow(): Promise<void>;
}

/** /admin/keys: who may ask, for what, and how much. */
export class ManageKeys {
  constructor(
    private readonly store: KeyStore,
    private readonly ring: Ring,
    private readonly news: KeyNews,
    private readonly requestLog: RequestLog,
    private readonly logger: Logger,
  ) {}

  create(body: unknown, call: Call): Promise<NewKeyBody> {
    return this.#recorded(call, async () => {
      const made = await this.store.create(parseCreateKey(body, Date.now()));
      await this.#tell('made', made.row.id, call);
      return newKeyBody(made);
    });
  }

  list(query: unknown, call: Call): Promise<KeyListBody> {
    return this.#recorded(call, async () => {
      const { after, limit, name } = parseListKeys(query);
      const { rows, hasMore } = await this.store.list({ after: after && existingId(after), limit, name });
      const data = rows.map((row) => keyBody(row, Date.now()));
      return { object: 'list', data, has_more: hasMore, last_id: data.at(-1)?.id ?? null };
    });
  }

  find(id: string, call: Call): Promise<KeyBody> {
    return this.#recorded(call, async () => keyBody(await this.store.find(existingId(id)), Date.now()));
  }

  change(id: string, body: unknown, call: Call): Promise<KeyBody> {
    return this.#recorded(call, async () => {
      const row = await this.store.change(existingId(id), parseChangeKey(body));
      await this.#tell('changed', id, call);
      return keyBody(row, Date.now());
    });
  }

  revoke(id: string, call: Call): Promise<KeyBody> {
    return this.#recorded(call, async () => {
      const row = await this.store.revoke(existingId(id));
      await this.#tell('revoked', id, call);
      return keyBody(row, Date.now());
    });
  }

  rotate(id: string, body: unknown, call: Call): Promise<NewKeyBody> {
    return this.#recorded(call, async () => {
      const { grace_seconds } = parseRotateKey(body);
      const made = await this.store.rotate(existingId(id), grace_seconds);
      await this.#tell('rotated', id, call);
      return newKeyBody(made);
    });
  }

  /** Whoever made a change finds it in force: here when it is answered, and elsewhere as soon as the others have heard. */
  async #tell(what: 'made' | 'changed' | 'revoked' | 'rotated', keyId: string, { requestId }: Call): Promise<void> {
    this.logger.info({ requestId, keyId }, `an API key was ${what}`);
    await Promise.all([this.news.tell(), this.ring.lookNow()]);
  }

  #recorded<T>(call: Call, work: () => Promise<T>): Promise<T> {
    return recordedAdmin(this.requestLog, call, IF_AWAY, work);
  }
}

function newKeyBody({ row, text }: MadeKey): NewKeyBody {
  return { ...keyBody(row, Date.now()), key: text };
}

/** What can be no id is none that there is; the database need not be asked. */
function existingId(id: string): string {
  if (isKeyId(id)) return id;
  throw new InferenceError(
    'key_not_found',
    `There is no key ${JSON.stringify(id.slice(0, 40))}: ids have 16 letters and digits, and stand in the key behind \`sk-mr-\`.`,
  );
}
