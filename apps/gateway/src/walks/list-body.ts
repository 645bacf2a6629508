/** A page of a list, as OpenAI writes it. */
export function listBody<Item extends { readonly id: string }>(data: Item[], hasMore: boolean) {
  const [first_id, last_id] = [data[0]?.id ?? null, data.at(-1)?.id ?? null];
  return { object: 'list', data, first_id, last_id, has_more: hasMore } as const;
}
