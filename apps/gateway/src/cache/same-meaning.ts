import {
  AFTER_IS,
  ANOTHER_WITH_CAPITAL,
  BEFORE_IS,
  beginsQuestion,
  beginsSentence,
  CONTRACTIONS,
  FAREWELLS,
  FRAMES,
  GREETINGS,
  OPENINGS,
  QUANTITIES,
  SPELLINGS,
  STATES,
} from './harmless-wording.js';

/**
 * What is left of a question when wording is taken away that does not matter. Two questions mean the same only if this is equal; whether
 * the wording mattered after all, as it now and then does, is then for their vectors to tell. Both have to agree.
 *
 * What changes a meaning can not be listed: negations and antonyms could be, in a few languages, but not that grapes are good for other
 * animals than acorns. So it is what changes none that is listed (`harmless-wording.ts`), and everything else must be equal, word for
 * word, sign for sign and in the same order: numbers, units, operators, names, code, quotations, negations in any language. In doubt two
 * questions are different; the price is that most paraphrases are too (docs/concepts/cache.md has the figures).
 */
export interface Gist {
  readonly text: string;
  /** The same without capitals, where these only mark a name. */
  readonly folded: string;
  /** Nobody who types like this marks names. */
  readonly hasNoCapitals: boolean;
}

/** A longer text is more than a question; nothing is left out there, and so nothing is compared. */
export const QUESTION_CHARACTERS_MAX = 1_000;

/** Undefined where words can not be told from what is to be taken as it stands: several lines, or very long. */
export function gistOf(question: string): Gist | undefined {
  // First of all: marks upon marks are brought into order in a time that grows with the square of how many there are.
  if (question.length > QUESTION_CHARACTERS_MAX) return undefined;
  const line = question.normalize('NFC').trim();
  if (line === '' || line.length > QUESTION_CHARACTERS_MAX || /[\n\r\v\f\u0085\u2028\u2029\0]/.test(line))
    return undefined;
  const { parts, mood } = withoutEnd(partsOf(line));
  const plain = reworded(withPlainWords(parts));
  if (plain.length === 0) return undefined;
  const tokens = beginsQuestion(plain[0]) ? plain : [...plain, mood];
  return {
    text: tokens.join(BETWEEN),
    folded: (plain.length < FOLDED_PARTS_MIN ? tokens : tokens.map(withoutCapital)).join(BETWEEN),
    hasNoCapitals: line === line.toLowerCase(),
  };
}

/** "What is slack" and "What is Slack": in so short a question nothing else tells a name from a word. */
const FOLDED_PARTS_MIN = 5;

/** Not to be had in a part: a line with it has no gist. */
const BETWEEN = '\n';

/** Whether everything is equal that must be. */
export function sameGist(one: Gist, other: Gist): boolean {
  if (one.text === other.text) return true;
  // A capital that is missing where there are none at all is no other word; where there are some it may be.
  return (one.hasNoCapitals || other.hasNoCapitals) && one.folded === other.folded;
}

export function sameMeaning(one: string, other: string): boolean {
  if (one === other) return true;
  const [a, b] = [gistOf(one), gistOf(other)];
  return a !== undefined && b !== undefined && sameGist(a, b);
}

const WORD = /^\p{L}[\p{L}\p{M}]*(?:['-][\p{L}\p{M}]+)*$/u;
const isWord = (part: string | undefined): part is string => part !== undefined && WORD.test(part);
const isPlainWord = (part: string | undefined): part is string => isWord(part) && part === part.toLowerCase();

/** Quoted passages and code stay whole, with their blanks and quotation marks. */
const QUOTED = /"[^"]*"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|`[^`]*`|(?<=^|\s)'[^']*'(?=$|[\s.,;:?!])/gu;

/** Words, marks between them, and everything else as it was written. */
function partsOf(line: string): string[] {
  const parts: string[] = [];
  let behind = 0;
  for (const { 0: quoted, index } of line.matchAll(QUOTED)) {
    parts.push(...unquotedParts(line.slice(behind, index)), quoted);
    behind = index + quoted.length;
  }
  parts.push(...unquotedParts(line.slice(behind)));
  return parts;
}

/** A sum is the same with and without blanks. A minus is not: it may be a hyphen, or belong to its number. */
const BETWEEN_NUMBERS = /(?<=\d) ?(<=|>=|==|!=|[+*×÷=<>]) ?(?=\d)/g;

function unquotedParts(text: string): string[] {
  return text
    .replaceAll('’', "'")
    .replace(BETWEEN_NUMBERS, ' $1 ')
    .split(/\s+/u)
    .filter((chunk) => chunk !== '')
    .flatMap(partsOfChunk);
}

const CHUNK = /^([¿¡([{]*)(.*?)([.,;:?!…)\]}]*)$/u;

/** Marks at both ends are taken off a word; off anything else only those that end a sentence: `5!`, `i++` and `f(x)` have theirs. */
function partsOfChunk(chunk: string): string[] {
  const [, before = '', middle = '', behind = ''] = CHUNK.exec(chunk) ?? [];
  if (isWord(middle) || middle === '') return [...before, middle, ...behind].filter((part) => part !== '');
  const ending = /^(.*[\p{L}\p{N}%°€$£"'`)\]])([.,;:?]+)$/u.exec(chunk);
  return ending === null ? [chunk] : [ending[1]!, ...ending[2]!];
}

/** Said of what does not begin like a question. */
type Mood = '(asked)' | '(said)';

function withoutEnd(parts: readonly string[]): { parts: string[]; mood: Mood } {
  let end = parts.length;
  while (end > 0 && /^[.?!…]$/u.test(parts[end - 1]!)) end--;
  const mood = parts.slice(end).includes('?') ? '(asked)' : '(said)';
  const begin = parts.findIndex((part) => part !== '¿' && part !== '¡');
  return { parts: parts.slice(Math.max(0, begin), end), mood };
}

/** First words in lower case, contractions as two words, one spelling for all. */
function withPlainWords(parts: readonly string[]): string[] {
  const lower = parts.map((part, index) => (isFirst(parts, index) ? uncapitalised(part) : part));
  const plain = lower.flatMap((part, index) => expanded(part, lower[index + 1], index + 1 === lower.length - 1));
  return plain.map((part, index) => (isPronoun(plain, index) ? 'i' : (SPELLINGS.get(part) ?? part)));
}

function isFirst(parts: readonly string[], index: number): boolean {
  return index === 0 || /^[.?!]$/.test(parts[index - 1]!);
}

/** "DNA" and "McDonald" stay as they are. */
function uncapitalised(part: string): string {
  const lower = part.toLowerCase();
  return isWord(part) && part.slice(1) === lower.slice(1) ? lower : part;
}

function expanded(part: string, next: string | undefined, nextIsLast: boolean): string[] {
  const lower = part.startsWith("I'") ? part.toLowerCase() : part;
  const known = CONTRACTIONS.get(lower);
  if (known !== undefined) return known.split(' ');
  if (lower === "i'd" && next === 'like') return ['i', 'would'];
  const short = /^(.*)'s$/.exec(lower)?.[1];
  return short !== undefined && BEFORE_IS.has(short) && isIs(next, nextIsLast) ? [short, 'is'] : [part];
}

/** "What's changed" is "what has"; what can't be a participle follows "is". */
function isIs(next: string | undefined, nextIsLast: boolean): boolean {
  if (next === undefined) return false;
  return (
    AFTER_IS.has(next) || /^\d/.test(next) || (nextIsLast && isWord(next) && !/(ed|en|wn|ne|t|de|un|me)$/.test(next))
  );
}

/** "i" elsewhere is a variable, a number or a current, and another one with a capital. */
const BESIDE_I = /^(do|did|can|could|should|shall|may|must|will|would|am|have|had|was|want|need|like|know|use)$/;

function isPronoun(parts: readonly string[], index: number): boolean {
  const part = parts[index];
  return (
    (part === 'I' || part === 'i') && [parts[index - 1], parts[index + 1]].some((near) => BESIDE_I.test(near ?? ''))
  );
}

/** More of them than this in one question is not how people ask. */
const REWORDINGS_MAX = 8;

function reworded(parts: readonly string[]): string[] {
  let now = withoutFarewell(withoutGreeting(parts));
  for (let times = 0; times < REWORDINGS_MAX; times++) {
    const next = withOtherOpening(now);
    if (next === undefined) break;
    now = next;
  }
  return ofManyRatherThanOne(withOtherFrame(now));
}

function withoutGreeting(parts: readonly string[]): string[] {
  const [greeting = '', mark = '', next = ''] = parts;
  const isGreeting = GREETINGS.has(greeting) && /^[,!.]$/.test(mark) && beginsSentence(uncapitalised(next));
  return isGreeting ? [uncapitalised(next), ...parts.slice(3)] : [...parts];
}

function withoutFarewell(parts: readonly string[]): string[] {
  for (const farewell of FAREWELLS) {
    const end = [',', ...farewell.split(' ')];
    if (parts.length > end.length + 1 && end.every((part, at) => parts.at(at - end.length) === part)) {
      return parts.slice(0, -end.length);
    }
  }
  return [...parts];
}

function withOtherOpening(parts: readonly string[]): string[] | undefined {
  for (const { from, to, before } of OPENINGS) {
    const opening = from.split(' ');
    const next = parts[opening.length];
    if (next === undefined || !begins(parts, opening)) continue;
    if (before === undefined ? isPlainWord(next) && !STATES.has(next) : before.has(next)) {
      return [...to.split(' ').filter((part) => part !== ''), ...parts.slice(opening.length)];
    }
  }
  return undefined;
}

function begins(parts: readonly string[], beginning: readonly string[]): boolean {
  return beginning.every((part, index) => parts[index] === part);
}

function withOtherFrame(parts: readonly string[]): string[] {
  for (const { begin, end, to } of FRAMES) {
    const [first, last] = [begin.split(' '), end.split(' ')];
    const isFramed =
      parts.length > first.length + last.length &&
      begins(parts, first) &&
      last.every((part, at) => parts.at(at - last.length) === part);
    if (!isFramed) continue;
    const between = parts.slice(first.length, parts.length - last.length);
    return [...to[0].split(' '), ...between, ...to[1].split(' ').filter((part) => part !== '')];
  }
  return [...parts];
}

/** "How long does a cat live" asks of all cats. Only right behind "does": "write a poem" asks for one. */
function ofManyRatherThanOne(parts: readonly string[]): string[] {
  const at = parts.indexOf('does');
  const [article = '', noun] = parts.slice(at + 1, at + 3);
  if (at < 1 || !beginsQuestion(parts[0]) || !/^an?$/.test(article)) return [...parts];
  // What ends otherwise has a plural of its own.
  if (
    !isPlainWord(noun) ||
    !isPlainWord(parts[at + 3]) ||
    !/[bdgklmnprtw]$|[^s]e$/.test(noun) ||
    QUANTITIES.has(noun)
  ) {
    return [...parts];
  }
  return [...parts.slice(0, at), 'do', `${noun}s`, ...parts.slice(at + 3)];
}

function withoutCapital(part: string): string {
  const lower = part.toLowerCase();
  const isName =
    isWord(part) && part.length > 2 && part.slice(1) === lower.slice(1) && !ANOTHER_WITH_CAPITAL.has(lower);
  return isName ? lower : part;
}
