/** Durations as people write them: `30s`, `1h30m`, `7d`, `250ms`. */

const unitsMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

/** The rule, for a message. */
export const durationRule = "must be a duration such as 250ms, 30s, 1h30m or 7d"

/** In ms; null where it is none. 0 may stand without a unit. */
export function parseDuration(text: string): number | null {
  if (text === "0") return 0
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d|w)/g)]
  if (parts.length === 0 || parts.map(([whole]) => whole).join("") !== text) return null
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * unitsMs[unit!]!, 0)
}

/** In its two largest units: `1 h 30 m`. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 1_000) return `${Math.round(durationMs)} ms`
  if (durationMs < 60_000) return `${(durationMs / 1_000).toFixed(durationMs < 10_000 ? 1 : 0)} s`
  const units: readonly (readonly [string, number])[] = [
    ["d", unitsMs["d"]!],
    ["h", unitsMs["h"]!],
    ["m", unitsMs["m"]!],
    ["s", unitsMs["s"]!],
  ]
  const at = units.findIndex(([, ms]) => durationMs >= ms)
  const parts: string[] = []
  let leftMs = durationMs
  for (const [unit, ms] of units.slice(at, at + 2)) {
    const count = Math.floor(leftMs / ms)
    leftMs -= count * ms
    if (count > 0) parts.push(`${count} ${unit}`)
  }
  return parts.join(" ")
}
