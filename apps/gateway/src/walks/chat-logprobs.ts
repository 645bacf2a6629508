import { type ChatTokenLogprob, LOGPROB_MIN, type TokenChance, type TokenLogprob } from '@millrace/contracts';
import { spellToken } from './spell-token.js';

type Chance = Omit<ChatTokenLogprob, 'top_logprobs'>;

/** One token's log-probabilities in the shape of chats. */
export function chatLogprob(logprob: TokenLogprob): ChatTokenLogprob {
  return { ...chatChance(logprob), top_logprobs: logprob.top.map(chatChance) };
}

function chatChance({ bytes, logprob }: TokenChance): Chance {
  // JSON knows no infinity, and would make null of it.
  return { token: spellToken(bytes).text, logprob: Math.max(LOGPROB_MIN, logprob), bytes: [...bytes] };
}
