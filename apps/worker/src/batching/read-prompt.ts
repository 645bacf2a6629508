import { contextExceeded, InferenceError, type Prompt } from '@millrace/contracts';
import { checkTokens } from '../token-engine/check-tokens.js';
import type { TokenEngine } from '../token-engine/token-engine.js';

/** Characters per token of the densest ordinary text; a text that is longer still is counted before it is tokenised. */
const CHARACTERS_PER_TOKEN_USUALLY = 8;
const PIECE_CHARACTERS = 65_536;
/** The most tokens that cutting a text in two can add: more than the bytes of any token that a vocabulary has. */
const TOKENS_PER_CUT_MAX = 256;

/** A prompt as the engine takes it. */
export interface ReadPrompt {
  readonly tokens: readonly number[];
  /** How many tokens were put before what the caller sent: a beginning of text. */
  readonly added: number;
  /** What the caller sent, if it was text. */
  readonly text: string | undefined;
}

/** A prompt whose chat, if it is one, has been rendered. */
export type RenderedPrompt = Exclude<Prompt, { kind: 'chat' }> | { readonly kind: 'rendered'; readonly text: string };

/**
 * The tokens of a prompt.
 *
 * The text, rendered or sent as it is, is tokenised as a whole and control
 * tokens with it, as llama.cpp's server does: a template's own markers can't be told from the same text in a message.
 * Whoever must not be able to write `<|im_start|>system` has to keep it out of what is sent.
 *
 * @param room tokens of an answer for which there must be room, at least: 1, or 0 when only the prompt is asked about.
 * @throws InferenceError when the prompt is empty or leaves no room for an answer.
 */
export function readPrompt(prompt: RenderedPrompt, engine: TokenEngine, room: 0 | 1): ReadPrompt {
  const param = prompt.kind === 'rendered' ? 'messages' : 'prompt';
  const read = tokensOf(prompt, engine, param);
  const { tokens } = read;
  if (tokens.length === 0) {
    throw new InferenceError('invalid_request', 'The prompt is empty. Send at least one token of text.', { param });
  }
  const { contextLength } = engine.model;
  if (tokens.length + room > contextLength) throw tooLong(numberText(tokens.length), contextLength, param);
  return read;
}

function tokensOf(prompt: RenderedPrompt, engine: TokenEngine, param: string): ReadPrompt {
  if (prompt.kind === 'tokens') {
    checkTokens(prompt.tokens, engine.model, param);
    return { tokens: prompt.tokens, added: 0, text: undefined };
  }
  if (prompt.kind === 'text' && prompt.suffix !== undefined) return infill(prompt.text, prompt.suffix, engine);
  return tokensOfText(prompt.text, engine, param);
}

/** @throws InferenceError when there are far too many; a few too many are not counted here. */
function tokensOfText(text: string, engine: TokenEngine, param: string): ReadPrompt {
  checkLength(text, engine, param);
  return allTokensOf(text, engine);
}

/** The tokens of a text that is sent as it is, or of a rendered chat, be there room for them or not. */
export function allTokensOf(text: string, engine: TokenEngine): ReadPrompt {
  // Most templates write the beginning token themselves; twice would be a prompt that the model never saw.
  const { beginningText } = engine.model;
  const beginning = beginningText === '' || !text.startsWith(beginningText);
  const tokens = engine.tokenize(text, { special: true, beginning });
  const bare = beginning ? engine.tokenize('', { special: true, beginning }).length : 0;
  return { tokens, added: bare, text };
}

/** A text with a gap, in the order that models with such control tokens were trained on: prefix, suffix, then the gap. */
function infill(before: string, after: string, engine: TokenEngine): ReadPrompt {
  const { infill } = engine.model;
  if (infill === undefined) {
    throw new InferenceError(
      'infill_not_supported',
      'This model has no control tokens for filling gaps. Leave `suffix` out, or choose a model that was made for it.',
      { param: 'suffix' },
    );
  }
  const plain = (text: string, param: string) => {
    checkLength(text, engine, param);
    // Not `special`: what stands around the gap is somebody's text, such as source code, and never a template.
    return engine.tokenize(text, { special: false, beginning: false });
  };
  const beginning = engine.tokenize('', { special: false, beginning: true });
  return {
    tokens: [
      ...beginning,
      infill.prefix,
      ...plain(before, 'prompt'),
      infill.suffix,
      ...plain(after, 'suffix'),
      infill.middle,
    ],
    added: beginning.length,
    text: before,
  };
}

/**
 * Refuses a text that is certainly too long without tokenising all of it: that takes about a second per 5 MB, in which
 * nothing else happens in this process. Pieces are counted until there are too many tokens even if every cut between
 * two pieces had added some.
 */
function checkLength(text: string, engine: TokenEngine, param: string): void {
  const { contextLength } = engine.model;
  if (text.length <= contextLength * CHARACTERS_PER_TOKEN_USUALLY) return;
  let tokensAtLeast = 0;
  for (let at = 0; at < text.length; at += PIECE_CHARACTERS) {
    const piece = text.slice(at, at + PIECE_CHARACTERS);
    tokensAtLeast += engine.tokenize(piece, { special: true, beginning: false }).length - TOKENS_PER_CUT_MAX;
    if (tokensAtLeast >= contextLength) throw tooLong(`more than ${numberText(tokensAtLeast)}`, contextLength, param);
  }
}

function tooLong(count: string, contextLength: number, param: string): InferenceError {
  const included = ', an answer of at least one token included';
  return contextExceeded(contextLength, `The prompt has ${count} tokens`, { param, included });
}

function numberText(count: number): string {
  return count.toLocaleString('en-US');
}
