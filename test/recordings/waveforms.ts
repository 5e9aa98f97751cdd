import type { Random } from "../../devices-sim/random.ts"
import { ecg, ecgSamples } from "../../devices-sim/signal/electrocardiogram.ts"
import { noiseAt, waveAt } from "../../devices-sim/signal/noise.ts"
import { drawPerson } from "../../devices-sim/signal/person.ts"
import { lines } from "./text.ts"

/** `timer,hr`: milliseconds at 117.3 Hz with as many digits as a double prints. */
export function ppgTimer(random: Random): string {
  const rows = Array.from({ length: 1200 }, (_, i) => {
    const ms = Number(((i * 1000) / 117.3).toPrecision(12))
    return `${Number.isInteger(ms) ? `${ms}.0` : ms},${ppgAt(random, ms / 1000)}`
  })
  return lines(["timer,hr", ...rows])
}

/** The same where the reader fell behind twice: no longer regular. */
export function ppgTimerWithHoles(random: Random): string {
  const rows = Array.from({ length: 400 }, (_, i) => {
    const ms = i * 10 + (i > 150 ? 730 : 0) + (i > 300 ? 55 : 0)
    return `${ms}.0,${ppgAt(random, ms / 1000)}`
  })
  return lines(["timer,hr", ...rows])
}

/** `datetime,hr`: 100 Hz by a clock that ticks every 15.6 ms, so that neighbours share a time; whole seconds are bare. */
export function ppgDatetime(random: Random): string {
  const start = 1_772_440_000
  const rows = Array.from({ length: 1500 }, (_, i) => {
    const ms = Math.floor(Math.floor((i * 10) / 15.625) * 15.625)
    const iso = new Date(start * 1000 + ms).toISOString().slice(0, 23).replace("T", " ")
    return `${ms % 1000 === 0 ? iso.slice(0, 19) : `${iso}000`},${ppgAt(random, i / 100)}`
  })
  return lines(["datetime,hr", ...rows])
}

/** One column, no times, and the ring off the finger twice. */
export function ppgColumn(random: Random): string {
  const rows = Array.from({ length: 1500 }, (_, i) => {
    const isOff = (i > 300 && i < 340) || (i > 1100 && i < 1103)
    return isOff ? '""' : `${15_800 + ppgAt(random, i / 100)}.0`
  })
  return lines(rows)
}

function ppgAt(random: Random, seconds: number): number {
  const beat = 90 * waveAt(seconds * 1.1) + 30 * waveAt(seconds * 2.2 + 0.3)
  return Math.round(512 + beat + 20 * noiseAt(random, seconds, 2))
}

/** `t_ms,lead_mv,...` at 360 Hz: a period of 2.778 ms that is not one, in steps of 5 microvolts. */
export function ecgLeads(random: Random): string {
  const [first, second] = [leadOf(random, "ii"), leadOf(random, "v5")]
  const rows = Array.from({ length: 1800 }, (_, i) => {
    const millivolts = [first[i] ?? 0, second[i] ?? 0].map((sample) => (sample * ecg.factor).toFixed(3))
    return `${((i * 1000) / 360).toFixed(3)},${millivolts.join(",")}`
  })
  return lines(["t_ms,ii_mv,v5_mv", ...rows])
}

/** One lead with a second missing. */
export function ecgWithHole(random: Random): string {
  const samples = leadOf(random, "i")
  const rows = Array.from({ length: 300 }, (_, i) => {
    return `${i * 4 + (i >= 200 ? 1000 : 0)},${((samples[i] ?? 0) * ecg.factor).toFixed(3)}`
  })
  return lines(["t_ms,i_mv", ...rows])
}

/** A WFDB record of two leads in format 212, and one in format 16 that says when it was made. */
export function wfdbFiles(random: Random): Record<string, string | Uint8Array> {
  const leads = [leadOf(random, "mlii"), leadOf(random, "v1")].map((lead) =>
    // 200 converter units a millivolt and 1024 in the middle: 11 bits, as in the 1970s.
    lead.subarray(0, 2001).map((sample) => 1024 + sample),
  )
  const [first = new Int16Array(), second = new Int16Array()] = leads
  const third = leadOf(random, "v6").subarray(0, 1000)
  return {
    "w212.hea": lines([
      "# an invented recording",
      "w212 2 360 2001",
      `w212.dat 212 200 11 1024 ${first[0]} ${checksumOf(first)} 0 MLII`,
      `w212.dat 212 200 11 1024 ${second[0]} ${checksumOf(second)} 0 V1`,
      "# 99 X invented",
    ]),
    "w212.dat": encode212(Array.from({ length: 4002 }, (_, i) => leads[i % 2]?.[i >> 1] ?? 0)),
    "w16.hea": lines(
      [
        "w16 1 250/250(0) 1000 14:05:30 02/03/2026",
        `w16.dat 16 200(-12)/mV 16 0 ${third[0]} ${checksumOf(third)} 0 Lead V6`,
      ],
      "\r\n",
    ),
    "w16.dat": encode16(third),
  }
}

function leadOf(random: Random, name: string): Int16Array {
  return ecgSamples(random.fork(name), drawPerson(random.fork("person")), 1_772_440_000, 2001)
}

function checksumOf(samples: Int16Array): number {
  return (samples.reduce((sum, sample) => sum + sample, 0) << 16) >> 16
}

function encode212(samples: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(samples.length / 2) * 3)
  for (let i = 0; i < samples.length; i += 2) {
    const [even = 0, odd = 0] = [samples[i], samples[i + 1]]
    bytes.set([even & 0xff, ((even >> 8) & 0x0f) | ((odd >> 4) & 0xf0), odd & 0xff], (i / 2) * 3)
  }
  return bytes
}

function encode16(samples: Int16Array): Uint8Array {
  const bytes = new Uint8Array(samples.length * 2)
  const view = new DataView(bytes.buffer)
  for (const [i, sample] of samples.entries()) view.setInt16(i * 2, sample, true)
  return bytes
}
