/** Which stretches of a device's time its verified statements speak of, per metric. */
import { metricOf, timesOf } from "../../chain/series.ts"
import type { EvidencedStatement } from "../evidence-result.ts"
import type { Span } from "./message.ts"

/** More stretches than a chart has pixels say nothing: joined beyond that. */
const spansMax = 2_000

export class Coverage {
  private readonly found = new Map<string, Span[]>()

  add({ payload }: EvidencedStatement): void {
    if (payload.kind !== "readings") return
    for (const series of payload.series) {
      const metric = metricOf(series.name)
      const { startsAt, endsAt } = timesOf(series)
      const spans = this.found.get(metric)
      if (spans === undefined) this.found.set(metric, [{ from: startsAt, to: endsAt }])
      else spans.push({ from: startsAt, to: endsAt })
    }
  }

  /** In order of time; those that touch are one. */
  spans(): Map<string, Span[]> {
    const joined = new Map<string, Span[]>()
    for (const [metric, spans] of this.found) joined.set(metric, join(spans))
    return joined
  }
}

function join(spans: readonly Span[]): Span[] {
  const sorted = spans.toSorted((a, b) => a.from - b.from)
  // Statements follow each other with the step of their readings between them: of stretches, twice the usual distance.
  const distances = sorted.slice(1).map((span, index) => span.from - sorted[index]!.to)
  const usual = distances.toSorted((a, b) => a - b)[Math.floor(distances.length / 2)] ?? 0
  let within = Math.max(0, usual * 2)
  for (;;) {
    const joined: Span[] = []
    for (const span of sorted) {
      const last = joined.at(-1)
      if (last !== undefined && span.from - last.to <= within)
        joined[joined.length - 1] = { from: last.from, to: Math.max(last.to, span.to) }
      else joined.push(span)
    }
    if (joined.length <= spansMax) return joined
    within = within * 4 + 1
  }
}
