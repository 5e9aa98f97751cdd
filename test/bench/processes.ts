/** `processes`: one, two and four processes that take statements for one database, each for its share of the fleet. */
import type { BenchContext } from "./context.ts"
import { IngestStand } from "./ingest-stand.ts"
import type { BenchService } from "./service.ts"
import { sumOf } from "./stopwatch.ts"

const readings = 60
const counts = [1, 2, 4] as const

/** @param service stopped */
export async function runProcesses(service: BenchService, context: BenchContext): Promise<void> {
  const { samples, seed, nowS, isQuick, rounds, say } = context
  const stand = await IngestStand.open(service, { name: "shared", devices: 100, seed, nowS })
  const takers = await Promise.all(Array.from({ length: Math.max(...counts) }, () => service.startTaker()))
  try {
    const statements = isQuick ? 4_000 : 20_000
    const run = (count: number, size: number) =>
      stand.ingest(
        stand.prepare({ readings, statements: size }),
        { window: 20, perSecond: null },
        takers.slice(0, count),
      )
    await run(takers.length, 4_000 * takers.length)
    for (let round = 1; round <= rounds; round++) {
      samples.nextRound()
      for (const count of counts) {
        const { published, service: spent, postgres } = await run(count, statements)
        const seconds = sumOf(spent, postgres)
        const total = statements * readings
        const of = (respect: string): string | null => (count === 1 ? null : `processes.1.${respect}`)
        samples.add(`processes.${count}.rate`, total / published.wallSeconds, "readings/s", of("rate"))
        if (seconds !== null)
          samples.add(`processes.${count}.cpu`, (1e6 * seconds) / total, "CPU-s/M readings", of("cpu"))
        samples.add(`processes.${count}.puback-p99`, published.puback.p99, "ms")
        say(
          `round ${round} of ${rounds}, ${count} processes: ${Math.round(total / published.wallSeconds)} readings/s`,
        )
      }
    }
  } finally {
    await Promise.all(takers.map((taker) => taker.end()))
    await stand.close()
  }
}
