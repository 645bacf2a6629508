import type { Detokenizer, TokenModel } from '../../token-engine.js';

/** One token is one byte of UTF-8, so every character beyond ASCII spans tokens. Control tokens follow the bytes. */
export const BEGIN_TOKEN = 256;
export const END_TOKEN = 257;
export const BEGIN_TEXT = '<|im_start|>';
export const END_TEXT = '<|im_end|>';
const CONTROL_TEXTS: readonly string[] = [
  BEGIN_TEXT,
  END_TEXT,
  '<|fim_prefix|>',
  '<|fim_suffix|>',
  '<|fim_middle|>',
  // Marks of answers, as some models have them. The last one ends an answer, too.
  '[TOOL_CALLS]',
  '<|python_tag|>',
  '<|eom_id|>',
];
export const VOCABULARY_SIZE = 256 + CONTROL_TEXTS.length;
export const END_TOKENS: readonly number[] = [END_TOKEN, VOCABULARY_SIZE - 1];
export const INFILL: TokenModel['infill'] = { prefix: 258, suffix: 259, middle: 260 };

const CONTROL_TOKENS = new Map(CONTROL_TEXTS.map((text, index) => [text, 256 + index]));
const CONTROL_PATTERN = new RegExp(`(${CONTROL_TEXTS.map((text) => text.replaceAll(/[|[\]]/g, '\\$&')).join('|')})`);

/** ChatML, as the demo model has it, without tools. */
export const CHAT_TEMPLATE =
  "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}" +
  '{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}';

/** The control token of that name. */
export function controlToken(name: string): number | undefined {
  return CONTROL_TOKENS.get(name);
}

export function tokensOf(text: string, special: boolean): number[] {
  if (!special) return [...Buffer.from(text, 'utf8')];
  return text.split(CONTROL_PATTERN).flatMap((part) => {
    const control = CONTROL_TOKENS.get(part);
    return control === undefined ? [...Buffer.from(part, 'utf8')] : [control];
  });
}

/** The text of `tokens`, control tokens included. */
export function textOf(tokens: readonly number[]): string {
  return Buffer.concat(tokens.map(bytesOf)).toString('utf8');
}

export function bytesOf(token: number): Uint8Array {
  return token < 256 ? Uint8Array.of(token) : Buffer.from(CONTROL_TEXTS[token - 256]!);
}

/** What an answer shows of a token: control tokens only if they are in `spelled`. */
export function shownBytesOf(token: number, spelled: ReadonlySet<number>): Uint8Array {
  return token < 256 || spelled.has(token) ? bytesOf(token) : new Uint8Array();
}

export class ByteDetokenizer implements Detokenizer {
  // `ignoreBOM`: a decoder would otherwise swallow a U+FEFF at the start of an answer.
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(private readonly spelled: ReadonlySet<number>) {}

  push(token: number): string {
    return this.#decoder.decode(shownBytesOf(token, this.spelled), { stream: true });
  }

  end(): string {
    return this.#decoder.decode();
  }
}
