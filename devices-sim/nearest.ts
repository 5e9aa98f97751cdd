/** The name that was probably meant: at most two letters away, and a third of it at most; null: none is near. */
export function nearestOf(name: string, known: readonly string[]): string | null {
  const [nearest] = known
    .map((one) => ({ one, away: distance(name, one) }))
    .toSorted((a, b) => a.away - b.away)
  return nearest !== undefined && nearest.away <= 2 && nearest.away < nearest.one.length ? nearest.one : null
}

/** A list that is read at a glance. */
const shortMax = 6

/** `is not known: did you mean clone?`, or the names that there are where none is near or they are few. */
export function unknownName(name: string, known: readonly string[]): string {
  const meant = known.length <= shortMax ? null : nearestOf(name, known)
  return meant === null ? `must be one of ${known.join(", ")}` : `is not known: did you mean ${meant}?`
}

/** Levenshtein's. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const changed = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(changed, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}
