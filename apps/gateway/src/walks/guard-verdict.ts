import type { ModerationCategory, TokenChance, TokenLogprob } from '@millrace/contracts';

/** What a model that judges texts has said of one. */
export interface GuardVerdict {
  readonly flagged: boolean;
  /** As the model names them. */
  readonly named: readonly string[];
  /** OpenAI's, as far as what was named means one of them. */
  readonly categories: ReadonlySet<ModerationCategory>;
  /** How likely it took the text for unsafe. */
  readonly score: number;
}

type Meanings = Readonly<Record<string, readonly ModerationCategory[]>>;

/**
 * Llama Guard 3 and 4, whose categories are those of MLCommons' hazards. What OpenAI has no category for (defamation of somebody is
 * harassment there; bad advice, privacy, copyright and elections are nothing) flags a text all the same.
 */
const LLAMA_GUARD: Meanings = {
  S1: ['violence', 'illicit/violent'],
  S2: ['illicit'],
  S3: ['sexual'],
  S4: ['sexual', 'sexual/minors'],
  S5: ['harassment'],
  S6: [],
  S7: [],
  S8: [],
  S9: ['violence', 'illicit/violent'],
  S10: ['hate'],
  S11: ['self-harm'],
  S12: ['sexual'],
  S13: [],
  S14: ['illicit'],
};

const QWEN_GUARD: Meanings = {
  Violent: ['violence'],
  'Non-violent Illegal Acts': ['illicit'],
  'Sexual Content or Sexual Acts': ['sexual'],
  PII: [],
  'Suicide & Self-Harm': ['self-harm'],
  'Unethical Acts': ['harassment'],
  'Politically Sensitive Topics': [],
  'Copyright Violation': [],
  Jailbreak: [],
};

/**
 * A first line of that word alone, or of it and the categories, which else are behind it, a line or parted by commas. Whoever goes on
 * otherwise (`Safe travels!`) talks and does not judge: every text would be safe.
 */
const LLAMA_GUARD_SAYS = /^\s*(safe|unsafe)(?=\W*(?:$|\n|S\d))([\s\S]*)$/i;
const QWEN_GUARD_SAYS = /^\s*Safety:\s*(Safe|Unsafe|Controversial)\b([\s\S]*)$/;

/** Undefined: that is no verdict, and the model none that gives any. */
export function guardVerdict(text: string, logprobs: readonly TokenLogprob[]): GuardVerdict | undefined {
  const qwen = QWEN_GUARD_SAYS.exec(text);
  const said = qwen ?? LLAMA_GUARD_SAYS.exec(text);
  if (said === null) return undefined;
  const [all, word, rest] = said as unknown as readonly [string, string, string];
  const meanings = qwen === null ? LLAMA_GUARD : QWEN_GUARD;
  const flagged = word.toLowerCase() === 'unsafe';
  const named = flagged ? namedIn(rest, meanings) : [];
  return {
    flagged,
    named,
    categories: new Set(named.flatMap((name) => meanings[name] ?? [])),
    score: chanceOfUnsafe(logprobs, all.length - rest.length - word.length) ?? Number(flagged),
  };
}

/** Also what has no meaning here: a newer model may have further ones. */
function namedIn(text: string, meanings: Meanings): string[] {
  const known = Object.keys(meanings).filter((name) => new RegExp(`(^|[\\s,:])${name}(?=$|[\\s,.])`, 'm').test(text));
  const further = (text.match(/\bS\d{1,2}\b/g) ?? []).filter((code) => !known.includes(code));
  return [...new Set([...known, ...further])];
}

/** As its makers advise: by the token with which the verdict begins. Undefined where nothing is told of it. */
function chanceOfUnsafe(logprobs: readonly TokenLogprob[], place: number): number | undefined {
  const verdict = tokenAt(logprobs, place);
  if (verdict === undefined) return undefined;
  const chances = verdict.top.length > 0 ? verdict.top : [verdict];
  const unsafe = sumOf(chances, 'unsafe');
  const all = unsafe + sumOf(chances, 'safe') + sumOf(chances, 'controversial');
  return all === 0 ? undefined : unsafe / all;
}

/** The token that has the character at `place` of the text that all of them make. */
function tokenAt(logprobs: readonly TokenLogprob[], place: number): TokenLogprob | undefined {
  let end = 0;
  return logprobs.find((one) => {
    end += textOf(one).length;
    return end > place;
  });
}

/** Of the tokens with which this word may begin. */
function sumOf(chances: readonly TokenChance[], word: string): number {
  return chances
    .filter((one) => {
      const text = textOf(one).trim().toLowerCase();
      return text !== '' && word.startsWith(text);
    })
    .reduce((sum, { logprob }) => sum + Math.exp(logprob), 0);
}

function textOf({ bytes }: TokenChance): string {
  return Buffer.from(bytes).toString();
}
