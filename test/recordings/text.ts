/** A text file of these lines. */
export function lines(rows: readonly string[], end = "\n"): string {
  return rows.map((row) => row + end).join("")
}
