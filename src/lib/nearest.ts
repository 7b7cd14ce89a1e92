// "Did you mean": the word of a list that a misspelt one was probably meant to be.

/** The nearest of `words` that differs in at most a third of its letters, or null. Case, `-` and `_` make no difference. */
export function nearestWord(word: string, words: Iterable<string>): string | null {
  const given = plain(word);
  let best: string | null = null;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of words) {
    const distance = editDistance(given, plain(candidate));
    if (distance >= bestDistance || distance > Math.max(1, Math.floor(candidate.length / 3))) continue;
    best = candidate;
    bestDistance = distance;
  }
  return best;
}

const plain = (word: string): string => word.slice(0, WORD_MAX).toLowerCase().replace(/[-_ ]/g, "");

/** Longer words are cut: nobody means them. */
const WORD_MAX = 64;

/** Letters to insert, delete or replace. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
