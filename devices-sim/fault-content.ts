/** Faults of what a device measures and of its clock: they are in the statement before it is signed. */
import { readPayload } from "../chain/payload.ts"
import { absoluteTimeMin, encodePack } from "../chain/senml.ts"
import { type Series, spanOf } from "../chain/series.ts"
import { contentSenml } from "../chain/statement.ts"
import type { Random } from "./random.ts"

/** `[{n: "x", v: 1, t: 5}]`: five seconds from now (RFC 8428 §4.5.3), which a signed statement cannot say. */
const relativePack = Uint8Array.of(0x81, 0xa3, 0x00, 0x61, 0x78, 0x02, 0x01, 0x06, 0x05)
/** `{n: "x"}`: a record without the array around it. */
const barePack = Uint8Array.of(0xa1, 0x00, 0x61, 0x78)

/** The payload of a pack that a device's encoder got wrong, in one of the ways in which encoders do. */
export function spoilPack(series: readonly Series[], random: Random): Uint8Array {
  const whole = encodePack(series)
  const spoiled = random.pick([
    whole.slice(0, random.int(1, whole.length - 1)),
    Uint8Array.of(...whole, 0x00),
    relativePack,
    barePack,
    random.bytes(random.int(1, 40)),
  ])
  // Chance may have written a pack.
  return readPayload({ content: contentSenml, payload: spoiled }).kind === "unread" ? spoiled : barePack
}

/** The same readings by a clock that is wrong by so many seconds; not before 1978, where SenML's absolute times begin. */
export function shiftSeries(series: readonly Series[], offsetSeconds: number): Series[] {
  const startsAt = spanOf(series)?.startsAt ?? absoluteTimeMin
  const offset = Math.max(offsetSeconds, absoluteTimeMin - startsAt)
  return series.map((one) =>
    one.kind === "waveform"
      ? { ...one, startsAt: one.startsAt + offset }
      : { ...one, times: one.times.map((time) => time + offset) },
  )
}
