/** `ingest-many`: as many devices as a hospital has, each of which waits for its answer before it speaks again. */
import type { BenchContext } from "./context.ts"
import { IngestStand } from "./ingest-stand.ts"
import type { BenchService } from "./service.ts"
import { sumOf } from "./stopwatch.ts"

const readings = 60

/** @param service up */
export async function runMany(service: BenchService, context: BenchContext): Promise<void> {
  const { samples, seed, nowS, isQuick, rounds, say } = context
  const devices = isQuick ? 500 : 5_000
  say(`enrolling ${devices} devices`)
  const stand = await IngestStand.open(service, { name: "many", devices, seed, nowS })
  try {
    const statements = 4 * devices
    const run = async () =>
      stand.ingest(stand.prepare({ readings, statements }), { window: 1, perSecond: null }, [service.up])
    await run()
    for (let round = 1; round <= rounds; round++) {
      const { published, service: spent, postgres } = await run()
      const seconds = sumOf(spent, postgres)
      const total = statements * readings
      samples.nextRound()
      samples.add("ingest-many.rate", total / published.wallSeconds, "readings/s", `ingest.${readings}.rate`)
      if (seconds !== null)
        samples.add("ingest-many.cpu", (1e6 * seconds) / total, "CPU-s/M readings", `ingest.${readings}.cpu`)
      for (const percentile of ["p50", "p95", "p99"] as const)
        samples.add(`ingest-many.puback-${percentile}`, published.puback[percentile], "ms")
      say(
        `round ${round} of ${rounds}, ${devices} devices: ${Math.round(total / published.wallSeconds)} readings/s`,
      )
    }
  } finally {
    await stand.close()
  }
}
