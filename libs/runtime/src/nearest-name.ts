/** The name that was probably meant by a misspelt one, or undefined when none is near. */
export function nearestName(misspelt: string, names: Iterable<string>): string | undefined {
  // A third of the letters: "prot" finds "port", while a word of its own finds nothing.
  const distanceMax = Math.max(2, Math.floor(misspelt.length / 3));
  let best: { name: string; distance: number } | undefined;
  for (const name of names) {
    if (Math.abs(name.length - misspelt.length) > distanceMax) continue;
    const distance = editDistance(misspelt.toLowerCase(), name.toLowerCase());
    if (distance <= distanceMax && distance < name.length && (best === undefined || distance < best.distance)) {
      best = { name, distance };
    }
  }
  return best?.name;
}

/** "Did you mean …?" with a space before it, or nothing. */
export function didYouMean(misspelt: string, names: Iterable<string>): string {
  const nearest = nearestName(misspelt, names);
  return nearest === undefined ? '' : ` Did you mean ${nearest}?`;
}

/** Levenshtein's distance, one row of the table at a time. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}
