import { createHmac, timingSafeEqual } from 'node:crypto';

/** What is written otherwise one day begins otherwise. */
const MARK = 'millrace-thought-1.';
/** Of the text as JSON. */
const THOUGHT_BYTES_MAX = 3 * 1024 * 1024;
const CODE_BYTES = 16;

/**
 * Thoughts as `encrypted_content`, for clients that keep no thought in any other form and send it back so. Nothing is hidden by it: whoever is
 * given it is told the thought as well. A code says that a gateway of this installation wrote it, so that what was cut or altered on the way is
 * noticed, and none of it is read.
 */
export class ThoughtSeal {
  readonly #key: Buffer;

  /** @param secret of the installation: gateways that have the same read each other's. */
  constructor(secret: string) {
    this.#key = createHmac('sha256', secret).update('thoughts of responses').digest();
  }

  /** Null: it is too long to be sent back and forth. */
  seal(thought: string): string | null {
    // As JSON, halves of surrogate pairs come through too.
    const text = Buffer.from(JSON.stringify(thought));
    if (text.length > THOUGHT_BYTES_MAX) return null;
    return MARK + Buffer.concat([this.#codeOf(text), text]).toString('base64url');
  }

  /** Undefined: it was not sealed with the secret of this installation, or is not whole. */
  open(sealed: string): string | undefined {
    if (!isSealed(sealed)) return undefined;
    const bytes = Buffer.from(sealed.slice(MARK.length), 'base64url');
    const code = bytes.subarray(0, CODE_BYTES);
    const text = bytes.subarray(CODE_BYTES);
    if (code.length < CODE_BYTES || !timingSafeEqual(code, this.#codeOf(text))) return undefined;
    return JSON.parse(text.toString()) as string;
  }

  #codeOf(text: Buffer): Buffer {
    return createHmac('sha256', this.#key).update(MARK).update(text).digest().subarray(0, CODE_BYTES);
  }
}

/** Some gateway of ours made it, be it of this installation or not; what others made is theirs to read. */
export function isSealed(text: string): boolean {
  return text.startsWith(MARK);
}
