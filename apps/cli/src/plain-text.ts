/**
 * A text from elsewhere, as it can be shown: what would move the cursor, colour the screen or turn the direction of writing around
 * is a `�`, so that no name says to a terminal what it likes.
 */
export function plainText(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu, '�');
}

/** So many characters of it at most, the last of them a `…` if some are missing. */
export function cutText(text: string, lengthMax: number): string {
  const characters = [...text];
  return characters.length <= lengthMax ? text : `${characters.slice(0, Math.max(0, lengthMax - 1)).join('')}…`;
}
