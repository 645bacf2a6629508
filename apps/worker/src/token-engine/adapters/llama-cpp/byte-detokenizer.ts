import type { Detokenizer } from '../../token-engine.js';

/** The decoder holds back the bytes of a character until its last one is there: at most three, so never for long. */
export class ByteDetokenizer implements Detokenizer {
  // `ignoreBOM`: a decoder would otherwise swallow a U+FEFF at the start of an answer.
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  /** @param shown what the answer shows of a token. */
  constructor(private readonly shown: (token: number) => Uint8Array) {}

  push(token: number): string {
    return this.#decoder.decode(this.shown(token), { stream: true });
  }

  end(): string {
    return this.#decoder.decode();
  }
}
