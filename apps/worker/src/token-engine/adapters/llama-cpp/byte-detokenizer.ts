import type { Detokenizer } from '../../token-engine.js';
import type { TokenBytes } from './token-bytes.js';

/** The decoder holds back the bytes of a character until its last one is there: at most three, so never for long. */
export class ByteDetokenizer implements Detokenizer {
  // `ignoreBOM`: a decoder would otherwise swallow a U+FEFF at the start of an answer.
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(private readonly bytes: TokenBytes) {}

  push(token: number): string {
    return this.#decoder.decode(this.bytes.of(token), { stream: true });
  }

  end(): string {
    return this.#decoder.decode();
  }
}
