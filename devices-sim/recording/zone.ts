/** A time zone of the IANA database, as Node's own copy of it has it. */
export class Zone {
  readonly name: string
  private readonly format: Intl.DateTimeFormat
  /** Offsets by the quarter of an hour: no zone has changed in between since 1978. */
  private readonly offsets = new Map<number, number>()

  /** @throws RangeError if there is no zone of this name */
  constructor(name: string) {
    if (!isZoneName(name)) throw new RangeError(`${name} is not a time zone: ${zoneRule}`)
    this.name = name
    this.format = new Intl.DateTimeFormat("en", {
      timeZone: name,
      timeZoneName: "longOffset",
      year: "numeric",
    })
  }

  /** Seconds east of UTC at an instant, Unix seconds. */
  offsetAt(instant: number): number {
    const quarter = Math.floor(instant / 900)
    const known = this.offsets.get(quarter)
    if (known !== undefined) return known
    const text = this.format.format(new Date(quarter * 900_000))
    const [, sign, hours, minutes] = /GMT(?:([+-])(\d{2}):(\d{2}))?/.exec(text) ?? []
    const east = (Number(hours ?? 0) * 60 + Number(minutes ?? 0)) * 60 * (sign === "-" ? -1 : 1)
    this.offsets.set(quarter, east)
    return east
  }

  /**
   * The instants at which clocks of the zone show a local time, the earlier first: one; two in the hour that clocks
   * repeat when they are set back; none in the hour that they leave out.
   *
   * @param local the local time as if it were UTC, whole Unix seconds
   */
  instantsOf(local: number): readonly number[] {
    // A day before and after lie on both sides of any change, even across the date line.
    const offsets = new Set([this.offsetAt(local - 86_400), this.offsetAt(local + 86_400)])
    return [...offsets]
      .map((east) => local - east)
      .filter((instant) => this.offsetAt(instant) === local - instant)
      .toSorted((a, b) => a - b)
  }
}

export const zoneRule = "it must be a name of the IANA time zone database, such as Europe/Berlin, or UTC"

/** Whether `name` is a zone. Offsets such as `+01:00` are none: some releases of Node take them and others do not. */
export function isZoneName(name: string): boolean {
  if (!/^[A-Za-z][A-Za-z0-9_+/-]*$/.test(name)) return false
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== ""
  } catch {
    return false
  }
}
