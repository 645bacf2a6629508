/** Whose a response or a conversation is: the id of a key; undefined: whoever asks, while there are no keys. */
export type Owner = string | undefined;

export function keyOf(owner: Owner): string {
  return owner ?? '';
}
