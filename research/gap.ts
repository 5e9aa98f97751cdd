/** The one rule for gaps: coverage, the page and everything else that breaks a line uses this. */

/** The longest time between two readings that is no gap, in seconds: 1.8 rhythms, and at least the rhythm and 5 s. */
export function gapAfter(rhythmSeconds: number): number {
  return Math.max(1.8 * rhythmSeconds, rhythmSeconds + 5)
}
