/**
 * What takes about one token of most vocabularies, and seldom more: up to four letters of the plain alphabet, two of another that has letters,
 * two digits, or one character of anything else. Marks go with what they are on, and white space with what it follows.
 */
const TOKEN =
  /(?:[A-Za-z]{1,4}|[\p{sc=Latin}\p{sc=Cyrillic}\p{sc=Greek}\p{sc=Arabic}\p{sc=Hebrew}\p{sc=Armenian}\p{sc=Georgian}]{1,2}|\d{1,2}|.)[\p{M}\u200d]{0,4}\s{0,8}/gsu;

/** Where each token of a text may end, in characters: an estimate for where the model's own tokens can't be had. */
export function estimateTokens(text: string): number[] {
  const ends: number[] = [];
  for (const match of text.matchAll(TOKEN)) ends.push(match.index + match[0].length);
  return ends;
}
