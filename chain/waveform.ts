/** The bytes of a waveform record: regular samples at 2 bytes each (FORMAT §3; terms of FHIR SampledData). */
import { type CborInput, CborKeys, CborReader, CborTagged, type CborValue, encodeCbor } from "./cbor.ts"
import type { Waveform } from "./series.ts"

type Samples = Pick<Waveform, "periodMs" | "factor" | "origin" | "samples">

/** RFC 8746 §2.1: sint16, little endian. */
const tagInt16LittleEndian = 77

/** Exactly the four keys, encoded as loosely as the pack around it. Throws a FormatFault. */
export function decodeWaveform(bytes: Uint8Array): Samples {
  const reader = new CborReader(bytes, "senml")
  const pairs = reader.enterMap("a waveform")
  if (pairs !== 4) reader.fault("a waveform has data, factor, origin and period", 0)
  const members = new Map<string, CborValue>()
  const keys = new CborKeys(reader)
  for (let left = pairs; left > 0; left--) {
    const start = reader.offset
    const key = keys.next()
    if (key !== "data" && key !== "factor" && key !== "origin" && key !== "period") {
      reader.fault("a waveform has data, factor, origin and period", start)
    }
    members.set(key as string, reader.readValue())
  }
  reader.leave()
  reader.end()

  const number = (name: string): number => {
    const value = members.get(name)
    return typeof value === "number" && Number.isFinite(value)
      ? value
      : reader.fault(`${name} is a finite number`, 0)
  }
  const factor = number("factor")
  const origin = number("origin")
  const periodMs = number("period")
  // In seconds too, as which it is added to times: 5e-324 ms are 0 s.
  if (periodMs / 1000 <= 0) reader.fault("period is above 0", 0)
  const data = members.get("data")
  if (
    !(data instanceof CborTagged) ||
    data.tag !== tagInt16LittleEndian ||
    !(data.value instanceof Uint8Array)
  ) {
    return reader.fault("data is tag 77 with a byte string", 0)
  }
  if (data.value.length === 0 || data.value.length % 2 !== 0)
    reader.fault("data holds one or more samples of 2 bytes", 0)
  const samples = decodeSamples(data.value)
  // Largest magnitude first: if it is finite, all are. A reading that is not a number is no reading.
  const isFinite = [-32_768, 32_767].every((extreme) => Number.isFinite(extreme * factor + origin))
  if (!isFinite) reader.fault("samples times factor plus origin are finite", 0)
  return { periodMs, factor, origin, samples }
}

export function encodeWaveform({ periodMs, factor, origin, samples }: Samples): Uint8Array {
  const members = new Map<string, CborInput>([
    ["data", { tag: tagInt16LittleEndian, value: encodeSamples(samples) }],
    ["factor", factor],
    ["origin", origin],
    ["period", periodMs],
  ])
  return encodeCbor(members)
}

/** int16, little endian, as on the wire and in the database. */
export function encodeSamples(samples: Int16Array): Uint8Array {
  const bytes = new Uint8Array(2 * samples.length)
  const view = new DataView(bytes.buffer)
  for (const [index, sample] of samples.entries()) view.setInt16(2 * index, sample, true)
  return bytes
}

/** An even number of bytes. */
export function decodeSamples(bytes: Uint8Array): Int16Array {
  const samples = new Int16Array(bytes.length / 2)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let index = 0; index < samples.length; index++) samples[index] = view.getInt16(2 * index, true)
  return samples
}
