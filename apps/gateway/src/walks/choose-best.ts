/** The `n` likeliest, the best first; all of them, in their order, if there are no more. Of equals the earlier one. */
export function chooseBest<C extends { readonly meanLogprob: number }>(
  candidates: readonly C[],
  n: number,
): readonly C[] {
  if (candidates.length <= n) return candidates;
  // The sort is stable. Two minus infinities differ by NaN, which would end any order.
  return candidates.toSorted((a, b) => b.meanLogprob - a.meanLogprob || 0).slice(0, n);
}
