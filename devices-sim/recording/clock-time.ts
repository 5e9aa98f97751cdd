/**
 * Times as vendors write them, to Unix seconds. Each parser gives null for what is not exactly its form or not in the
 * calendar: `Date.parse` would take 31 February, and local times in the reader's own zone.
 */

const isoDate = String.raw`(\d{4})-(\d{2})-(\d{2})`
const isoTime = String.raw`(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?`
const withOffset = new RegExp(`^${isoDate}T${isoTime}(?:Z|([+-])(\\d{2}):?(\\d{2}))$`)
const withoutOffset = new RegExp(`^${isoDate}[T ]${isoTime}$`)

/** `2019-10-16T12:08:58.041+02:00` (RFC 3339). */
export function parseInstant(text: string): number | null {
  const match = withOffset.exec(text)
  if (match === null) return null
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number)
  const hours = Number(match[9] ?? 0)
  const minutes = Number(match[10] ?? 0)
  if (hours > 23 || minutes > 59) return null
  const offset = (hours * 60 + minutes) * 60 * (match[8] === "-" ? -1 : 1)
  return instantOf([year, month, day, hour, minute, second], match[7], offset)
}

/** `2016-11-24 13:58:58.081000` or with a T, local time without an offset: read as if it were UTC. */
export function parseLocal(text: string): number | null {
  const match = withoutOffset.exec(text)
  if (match === null) return null
  return instantOf(match.slice(1, 7).map(Number), match[7], 0)
}

const american = /^(\d{1,2})([/-])(\d{1,2})\2(\d{2}|\d{4}) (\d{1,2}):(\d{2})(?: ([AP]M))?$/i

/**
 * `6/2/20 8:02`, `06/02/2020 8:02 AM` or `06-02-2020 08:02 AM`: month, day, year, local and read as if it were UTC.
 * With dashes only if AM or PM says that it is American: LibreView writes `02-06-2020 08:02` for 2 June elsewhere.
 */
export function parseAmericanLocal(text: string): number | null {
  const match = american.exec(text)
  if (match === null) return null
  const half = match[7]?.toUpperCase()
  if (match[2] === "-" && half === undefined) return null
  const year = Number(match[4]) + (match[4]?.length === 2 ? 2000 : 0)
  const hour = hourOf(Number(match[5]), half)
  if (hour === null) return null
  return instantOf([year, Number(match[1]), Number(match[3]), hour, Number(match[6]), 0], undefined, 0)
}

function hourOf(hour: number, half: string | undefined): number | null {
  if (half === undefined) return hour
  if (hour < 1 || hour > 12) return null
  return (hour % 12) + (half === "PM" ? 12 : 0)
}

function instantOf(
  parts: readonly (number | undefined)[],
  fraction: string | undefined,
  offset: number,
): number | null {
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts
  if (hour > 23 || minute > 59 || second > 59) return null
  const date = new Date(Date.UTC(year, month - 1, day, hour, minute, second))
  if (date.getUTCFullYear() !== year || date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day)
    return null
  const seconds = date.getTime() / 1000 - offset
  if (fraction === undefined || seconds < 0) return seconds
  // Read as one decimal number: adding the fraction could miss the nearest double by one.
  return Number(`${seconds}.${fraction}`)
}
