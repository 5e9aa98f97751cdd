/** Live rates, from the counters of `/metrics`: what a person watching wants, without asking the database. */
import { svg } from "./element.ts"

export interface Counters {
  readonly received: number
  readonly accepted: number
  readonly refused: number
  readonly readings: number
  readonly connections: number
}

const acceptedVerdicts = new Set(["accepted", "accepted-unread", "accepted-ahead"])

/** Of Prometheus's text format; null where this process takes no statements (`tidemark research`). */
export function parseCounters(text: string): Counters | null {
  const values = { received: 0, accepted: 0, refused: 0, readings: 0, connections: 0 }
  let isSeen = false
  for (const line of text.split("\n")) {
    const match = /^tidemark_([a-z_]+)(?:\{verdict="([a-z-]+)"\})? (\S+)$/.exec(line)
    if (match === null) continue
    const [, name, verdict, number] = match
    const value = Number(number)
    if (name === "statements_received_total") {
      values.received = value
      isSeen = true
    } else if (name === "readings_stored_total") values.readings = value
    else if (name === "mqtt_connections") values.connections = value
    else if (name === "verdicts_total" && verdict !== undefined) {
      if (acceptedVerdicts.has(verdict)) values.accepted += value
      else if (verdict !== "duplicate") values.refused += value
    }
  }
  return isSeen ? values : null
}

const samplesMax = 90

/** A counter's rate over the last minutes. */
export class Rate {
  private readonly samples: { readonly atMs: number; readonly value: number }[] = []

  add(atMs: number, value: number): void {
    // A counter that went back is one of a process that was started anew.
    if (value < (this.samples.at(-1)?.value ?? 0)) this.samples.length = 0
    this.samples.push({ atMs, value })
    if (this.samples.length > samplesMax) this.samples.shift()
  }

  /** Per second over the last three samples; null before there are two. */
  get now(): number | null {
    const last = this.samples.at(-1)
    const before = this.samples.at(-4) ?? this.samples[0]
    if (last === undefined || before === undefined || last === before) return null
    return ((last.value - before.value) * 1000) / (last.atMs - before.atMs)
  }

  history(): number[] {
    return this.samples.slice(1).map((sample, index) => {
      const before = this.samples[index]!
      return ((sample.value - before.value) * 1000) / (sample.atMs - before.atMs)
    })
  }
}

/** A small line, newest at the right; decoration beside the number that says it. */
export function sparkline(values: readonly number[]): SVGElement {
  const highest = Math.max(1e-9, ...values)
  const points = values.map((value, index) => {
    const x = 240 - (values.length - 1 - index) * (240 / (samplesMax - 1))
    return `${x.toFixed(1)},${(25 - (value / highest) * 22).toFixed(1)}`
  })
  return svg(
    "svg",
    { class: "spark", viewBox: "0 0 240 27", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", {
      d: "M0 26H240",
      stroke: "var(--line)",
      "stroke-width": 1,
      "vector-effect": "non-scaling-stroke",
    }),
    points.length > 1 &&
      svg("polyline", {
        points: points.join(" "),
        fill: "none",
        stroke: "currentColor",
        "stroke-width": 1.6,
        "vector-effect": "non-scaling-stroke",
      }),
  )
}
