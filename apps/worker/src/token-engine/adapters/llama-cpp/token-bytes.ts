import type { AddonModel } from './addon.js';

/** llama.cpp's `llama_vocab_type`: how the file spells its tokens. */
const VocabularyKind = { sentencePiece: 1, bytePair: 2, wordPiece: 3, unigram: 4 } as const;

/** llama.cpp's `llama_token_attr`, the bits that matter here. */
const TokenAttribute = { normal: 1 << 2, control: 1 << 3, userDefined: 1 << 4, byte: 1 << 5 } as const;

const TEXT = TokenAttribute.normal | TokenAttribute.userDefined | TokenAttribute.byte;

/** What stands for a space in SentencePiece's spelling. */
const SPACE_MARK = '▁';

/**
 * The bytes that each token stands for, as llama.cpp's own `token_to_piece` has them.
 *
 * Not through the addon's `detokenize`. That returns a string, in which a half character is already lost; and for many
 * byte-pair vocabularies, Llama 3's among them, it "cleans" spaces: `a ? b` comes back as `a? b`.
 */
export class TokenBytes {
  readonly #known = new Map<number, Uint8Array>();
  readonly #bytesOfText: (text: string) => Uint8Array;

  constructor(private readonly model: AddonModel) {
    this.#bytesOfText = speller(model);
  }

  /** Empty for control tokens. */
  of(token: number): Uint8Array {
    const known = this.#known.get(token);
    if (known !== undefined) return known;
    const bytes = this.spell(token);
    this.#known.set(token, bytes);
    return bytes;
  }

  /** Whether the token has a text of its own: control tokens and unused ones have none. */
  isText(token: number): boolean {
    return (this.model.getTokenAttributes(token) & TEXT) !== 0;
  }

  isControl(token: number): boolean {
    return (this.model.getTokenAttributes(token) & TokenAttribute.control) !== 0;
  }

  /** As `of`, and forgotten again: for a walk over the whole vocabulary. */
  spell(token: number): Uint8Array {
    const text = this.model.getTokenString(token) ?? '';
    const attributes = this.model.getTokenAttributes(token);
    if (attributes & TokenAttribute.userDefined) return utf8(text);
    if (attributes & TokenAttribute.normal) return this.#bytesOfText(text);
    if (attributes & TokenAttribute.byte) return Uint8Array.of(Number.parseInt(text.slice(3, 5), 16)); // <0x0A>
    return new Uint8Array();
  }
}

/** @throws Error for the kinds of vocabulary whose spelling we do not know. */
function speller(model: AddonModel): (text: string) => Uint8Array {
  const kind = model.getVocabularyType();
  switch (kind) {
    case VocabularyKind.sentencePiece:
    case VocabularyKind.wordPiece:
    case VocabularyKind.unigram:
      return withSpaces;
    case VocabularyKind.bytePair:
      return marksSpaces(model) ? withSpaces : fromByteAlphabet;
    default:
      throw new Error(
        `The model's vocabulary is of llama.cpp's kind ${kind}, which is not supported; ` +
          'byte-pair, SentencePiece, WordPiece and Unigram are. Choose another model.',
      );
  }
}

/** A few byte-pair vocabularies, Gemma 4's for one, spell as SentencePiece does; the file does not say so. */
function marksSpaces(model: AddonModel): boolean {
  return [...model.tokenize('a a', false)].some((token) => model.getTokenString(token)?.includes(SPACE_MARK));
}

function withSpaces(text: string): Uint8Array {
  return utf8(text.replaceAll(SPACE_MARK, ' '));
}

function fromByteAlphabet(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of text) {
    const byte = BYTE_ALPHABET.get(character);
    if (byte === undefined) bytes.push(...utf8(character));
    else bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

/** GPT-2's alphabet: visible Latin-1 characters stand for themselves, the other bytes for U+0100 and on. */
const BYTE_ALPHABET: ReadonlyMap<string, number> = byteAlphabet();

function byteAlphabet(): Map<string, number> {
  const alphabet = new Map<string, number>();
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const visible = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    alphabet.set(String.fromCodePoint(visible ? byte : next++), byte);
  }
  return alphabet;
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
