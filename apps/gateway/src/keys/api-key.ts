import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** `sk-mr-<id>-<secret>`: the id is public, the secret is told once. */
export interface ApiKey {
  readonly id: string;
  /** All of it, as its owner sends it. */
  readonly text: string;
}

const PREFIX = 'sk-mr-';
/** Digits and letters without those that look alike (0 and O, I and l): somebody may have to read one aloud. */
const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
/** 93 bits: no two keys ever share an id, and nobody finds one by trying. */
const ID_LENGTH = 16;
/** 257 bits, as much as 32 random bytes. */
const SECRET_LENGTH = 44;
const KEY_LENGTH = PREFIX.length + ID_LENGTH + 1 + SECRET_LENGTH;
const KEY_SHAPE = new RegExp(`^${PREFIX}([${ALPHABET}]{${ID_LENGTH}})-[${ALPHABET}]{${SECRET_LENGTH}}$`);
const ID_SHAPE = new RegExp(`^[${ALPHABET}]{${ID_LENGTH}}$`);

/** A new key, for an id that there is or for a new one. */
export function makeApiKey(id: string = randomText(ID_LENGTH)): ApiKey {
  return { id, text: `${PREFIX}${id}-${randomText(SECRET_LENGTH)}` };
}

/** Undefined: it is none of ours. What is longer or shorter than a key is not even read. */
export function parseApiKey(presented: string): ApiKey | undefined {
  if (presented.length !== KEY_LENGTH) return undefined;
  const id = KEY_SHAPE.exec(presented)?.[1];
  return id === undefined ? undefined : { id, text: presented };
}

export function isKeyId(text: string): boolean {
  return text.length === ID_LENGTH && ID_SHAPE.test(text);
}

/**
 * What is stored of a key. A fast digest is enough, since nobody tries 2^257 secrets; it is keyed, so that who reads or writes the
 * database alone can make no key that is accepted.
 */
export function digestOf(key: string, keySecret: string): Buffer {
  return createHmac('sha256', keySecret).update(key).digest();
}

/** Tells nothing by its time, whatever is compared: both sides become digests of one length first. */
export function sameText(one: string, other: string): boolean {
  const salt = randomBytes(32);
  const [first, second] = [one, other].map((text) => createHmac('sha256', salt).update(text).digest());
  return timingSafeEqual(first!, second!);
}

/** Each character is as likely as any other: bytes that would favour some are thrown away. */
export function randomText(length: number): string {
  const byteMax = 256 - (256 % ALPHABET.length);
  let text = '';
  while (text.length < length) {
    for (const byte of randomBytes(length * 2)) {
      if (byte < byteMax && text.length < length) text += ALPHABET[byte % ALPHABET.length];
    }
  }
  return text;
}
