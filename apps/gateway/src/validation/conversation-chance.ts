import { hash } from 'node:crypto';
import type { Chance, Prompt } from '@millrace/contracts';

/** Of each part of a beginning. Enough to tell conversations apart; with all of it, a long prompt would be read once more. */
const BEGINNING_CHARS_MAX = 2_048;
const BEGINNING_TOKENS_MAX = 512;
const OF_32_BITS = 2 ** 32;

/**
 * Chooses among the targets of an alias by what a conversation begins with: up to the first thing its user said, which all later requests
 * of it have in common. So a conversation stays with one model, whose worker has read its beginning already, and the same request is
 * answered from the cache; all gateways choose alike. Over many conversations the choice is as good as drawn.
 */
export function conversationChance(prompt: Prompt): Chance {
  let beginning: string | undefined;
  return (alias, target) => {
    beginning ??= beginningOf(prompt);
    const digest = hash('sha1', `${beginning}\0${alias}\0${target}`, 'hex');
    return (Number.parseInt(digest.slice(0, 8), 16) + 0.5) / OF_32_BITS;
  };
}

function beginningOf(prompt: Prompt): string {
  if (prompt.kind === 'text') return prompt.text.slice(0, BEGINNING_CHARS_MAX);
  if (prompt.kind === 'tokens') return prompt.tokens.slice(0, BEGINNING_TOKENS_MAX).join(',');
  const messages = prompt.messages as readonly { readonly role?: unknown; readonly content?: unknown }[];
  const first = messages.findIndex(({ role }) => role === 'user');
  // Each part is cut by itself: a long system prompt is the same for all, and says nothing of whose conversation it is.
  return (first < 0 ? messages : messages.slice(0, first + 1)).map(textOf).join('\0');
}

function textOf({ role, content }: { readonly role?: unknown; readonly content?: unknown }): string {
  const text = typeof content === 'string' ? content : JSON.stringify(content ?? '');
  return `${String(role)} ${text.slice(0, BEGINNING_CHARS_MAX)}`;
}
