import type { Random } from "../../devices-sim/random.ts"
import { noiseAt, waveAt } from "../../devices-sim/signal/noise.ts"
import { activityAt, drawPerson } from "../../devices-sim/signal/person.ts"
import { vitals } from "../../devices-sim/signal/vital.ts"
import { lines } from "./text.ts"

// 2026-03-02T07:10:00Z, a morning.
const morning = 1_772_435_400

/** `time;METRIC;value`: a walk, a hole of 40 hours, a quarter of an hour; sentinels, and a stretch that was sent twice. */
export function garminEvents(random: Random): string {
  const person = drawPerson(random.fork("person"))
  const rows: string[] = []
  const beats = random.fork("beats")
  let calories = 612
  let steps = 1040
  for (const [from, seconds] of [
    [morning, 900],
    [morning + 40 * 3600 + 17, 300],
  ] as const) {
    let time = from + 0.041
    const slow = { stress: from, steps: from, calories: from + 3 }
    while (time < from + seconds) {
      const rate = vitals["heart-rate"].valueAt(random.fork("heart"), person, time)
      const interval = Math.round(60_000 / rate + beats.normal(0, 22))
      time = Math.round(time * 1000 + interval) / 1000
      rows.push(event(time, "HEART_RATE_VARIABILITY", interval))
      if (beats.float() < 0.6) rows.push(event(time + 0.004, "HEART_RATE", beats.float() < 0.003 ? -1 : rate))
      if (time > slow.stress + 4) {
        slow.stress = time
        // -1: not measured yet; -2: moved too much.
        const luck = beats.float()
        rows.push(event(time + 0.02, "STRESS", luck < 0.03 ? -1 : luck < 0.12 ? -2 : beats.int(5, 70)))
      }
      if (time > slow.steps + 60) {
        slow.steps = time
        steps += Math.round(60 * activityAt(person, time)) + beats.int(0, 12)
        rows.push(event(time + 0.1, "STEPS", steps))
        rows.push(event(time + 0.12, "ASCENT", beats.int(0, 2)))
        rows.push(event(time + 0.13, "INTENSITY_MINUTES", beats.int(0, 1)))
      }
      if (time > slow.calories + 20) {
        slow.calories = time
        calories += beats.int(0, 2)
        rows.push(event(time + 0.2, "CALORIES", calories))
      }
    }
  }
  // A sync that sent 20 rows again: the same bytes, and the time goes back.
  rows.splice(400, 0, ...rows.slice(380, 400))
  return lines(rows)
}

function event(time: number, metric: string, value: number): string {
  return `${withOffset(time)};${metric};${value}.0`
}

/** `time;x;y;z` in milli-g at 25 Hz, where now and then a sample is missing. */
export function garminAcceleration(random: Random): string {
  const rows: string[] = []
  for (let i = 0; i < 1000; i++) {
    if (random.at(i) < 0.02) continue
    const time = morning + 3.702 + i * 0.04
    rows.push(`${withOffset(time)};${acceleration(random, time, 4).join(";")}`)
  }
  return lines(rows)
}

/** The members of an E4 folder by name: each begins with its start and its rate. */
export function empaticaMembers(random: Random): Record<string, string> {
  const person = drawPerson(random.fork("person"))
  const at = (seconds: number): string => `${morning + seconds}.000000`
  const sampled = (seconds: number, rateHz: number, from: number, value: (time: number) => string): string => {
    const values = Array.from({ length: seconds * rateHz }, (_, i) => value(morning + from + i / rateHz))
    return lines([at(from), `${rateHz}.000000`, ...values])
  }
  const beats = random.fork("beats")
  const intervals: string[] = [`${at(0)}, IBI`]
  for (let offset = 8.5; offset < 290;) {
    const interval = Math.round(beats.normal(0.86, 0.05) * 64) / 64
    offset += interval
    // The wrist moved, and the beats between are not in the file.
    if (beats.float() < 0.04) offset += beats.int(5, 40)
    else intervals.push(`${offset.toFixed(6)},${interval.toFixed(6)}`)
  }
  const moved = Array.from({ length: 40 * 32 }, (_, i) => acceleration(random, morning + i / 32, 1 / 16).join(","))
  return {
    "ACC.csv": lines([Array(3).fill(at(0)).join(", "), Array(3).fill("32.000000").join(", "), ...moved]),
    "BVP.csv": sampled(40, 64, 0, (time) => pulse(random, time).toFixed(2)),
    "EDA.csv": sampled(120, 4, 0, (time) => (0.06 + 0.04 * (1 + noiseAt(random, time, 20))).toFixed(6)),
    "TEMP.csv": sampled(120, 4, 0, (time) =>
      vitals["skin-temperature"].valueAt(random.fork("skin"), person, time).toFixed(2),
    ),
    // HR is an average over the ten seconds before, and so begins ten seconds later.
    "HR.csv": sampled(180, 1, 10, (time) => (74 + 6 * noiseAt(random.fork("heart"), time, 15)).toFixed(2)),
    "IBI.csv": lines(intervals),
    "tags.csv": lines([`${morning + 61}.37`, `${morning + 244}.91`]),
  }
}

/** A night on the charger: members that are empty, that end after their head, or that are not there. */
export function empaticaPartialMembers(random: Random): Record<string, string> {
  const { "TEMP.csv": temperature = "" } = empaticaMembers(random)
  return {
    "EDA.csv": "",
    "HR.csv": lines([`${morning + 10}.000000`, "1.000000"]),
    "IBI.csv": lines([`${morning}.000000, IBI`]),
    "TEMP.csv": temperature,
  }
}

function pulse(random: Random, time: number): number {
  const beat = 40 * waveAt(time * 1.15) + 12 * waveAt(time * 2.3 + 0.2)
  // One knock against a table: more than int16 hundredths can hold together with the rest.
  const knock = time - morning > 20 && time - morning < 20.5 ? 620 * waveAt((time - morning) * 8) : 0
  return beat + knock + 4 * noiseAt(random, time, 0.3)
}

function acceleration(random: Random, time: number, scale: number): number[] {
  return [-120, 480, 830].map((rest, axis) =>
    Math.round((rest + 60 * noiseAt(random.fork(`axis ${axis}`), time, 0.8)) * scale * 0.25),
  )
}

function withOffset(time: number): string {
  return new Date(Math.round((time + 7200) * 1000)).toISOString().replace("Z", "+02:00")
}
