/** `floor`, `ingest` and `peer`, turn by turn: each round signs new statements, which all of them then work on. */
import { join } from "node:path"
import { profile } from "./profile.ts"
import type { IngestSpent, Load } from "./ingest-stand.ts"
import type { FloorSpent, LoadStand, PeerSpent } from "./load-stand.ts"
import type { Samples } from "./measure.ts"
import { type StoredBytes, readStoredBytes, subtractBytes } from "./stored-bytes.ts"
import { formatValue } from "./report.ts"
import { sumOf } from "./stopwatch.ts"
import { waveformReadings } from "./readings.ts"

export interface LoadOptions {
  readonly loads: readonly Load[]
  readonly rounds: number
  readonly isFloorRun: boolean
  readonly isPeerRun: boolean
  /** Readings that the peer is given in a slot: it takes a thousand times as long for one as ours. */
  readonly peerReadingsMax: number
  readonly say: (line: string) => void
}

/** One more turn of `ingest` for each load, which is not measured, under profilers. */
export async function profileLoads(
  stand: LoadStand,
  { loads, folder, say }: Pick<LoadOptions, "loads" | "say"> & { readonly folder: string },
): Promise<void> {
  const { up, pool } = stand.stand.service
  if (up.inspector === null) throw new Error("the service has no inspector")
  for (const load of loads) {
    const slot = stand.prepare(load, 0)
    const path = join(folder, `ingest-${load.readings}`)
    const summary = await profile({ inspector: up.inspector, pool, path }, () => stand.ingest(slot, null))
    say(`\ningest, ${load.readings} readings a statement: ${path}.cpuprofile\n${summary}\n`)
  }
}

/** Statements with which everything is run once before it is measured. */
const warmUpStatements = 4_000
/** Half of what full load has reached is sent for so long, but no more than a slot's statements. */
const halfSecondsMax = 4

export async function runLoads(stand: LoadStand, samples: Samples, options: LoadOptions): Promise<void> {
  const { loads, rounds, say } = options
  for (const { readings, statements } of loads) {
    say(`warming up with ${readings} readings a statement`)
    await runTurn(stand, { readings, statements: Math.min(statements, warmUpStatements) }, options)
  }
  await stand.analyze()
  for (let round = 1; round <= rounds; round++) {
    samples.nextRound()
    for (const load of loads) {
      const turn = await runTurn(stand, load, options)
      addTurn(samples, load, turn)
      say(`round ${round} of ${rounds}, ${load.readings} readings a statement: ${describeTurn(load, turn)}`)
    }
  }
}

interface Turn {
  readonly full: IngestSpent
  readonly stored: StoredBytes
  readonly half: IngestSpent
  readonly floor: FloorSpent | null
  readonly peer: PeerSpent | null
  readonly peerReadings: number
}

async function runTurn(stand: LoadStand, load: Load, options: LoadOptions): Promise<Turn> {
  const peerMessages = Math.min(load.statements, Math.ceil(options.peerReadingsMax / load.readings))
  const slot = stand.prepare(load, peerMessages)
  const { pool } = stand.stand.service
  const before = await readStoredBytes(pool)
  const full = await stand.ingest(slot, null)
  const stored = subtractBytes(await readStoredBytes(pool), before)
  const floor = options.isFloorRun ? await stand.floor(slot) : null
  const peer = options.isPeerRun ? await stand.peer(slot) : null
  const perSecond = load.statements / full.published.wallSeconds / 2
  const statements = Math.min(load.statements, Math.ceil(perSecond * halfSecondsMax))
  const half = await stand.ingest(stand.prepare({ ...load, statements }, 0), perSecond)
  return { full, stored, half, floor, peer, peerReadings: peerMessages * load.readings }
}

function addTurn(
  samples: Samples,
  load: Load,
  { full, stored, half, floor, peer, peerReadings }: Turn,
): void {
  const { readings } = load
  const total = load.statements * readings
  const unit = readings >= waveformReadings ? "samples/s" : "readings/s"
  const perMillion = (seconds: number | null, of = total): number | null =>
    seconds === null ? null : (1e6 * seconds) / of
  const cpu = "CPU-s/M readings"
  if (floor !== null) {
    for (const by of ["ingest", "node"] as const) {
      const name = `${by === "ingest" ? "floor" : "floor-node"}.${readings}.cpu`
      samples.add(name, perMillion(sumOf(floor.verify[by], floor.hash, floor.copy, floor.postgres)), cpu)
    }
    samples.add(`floor.${readings}.verify`, perMillion(floor.verify.ingest), cpu)
    samples.add(`floor-node.${readings}.verify`, perMillion(floor.verify.node), cpu)
    samples.add(`floor.${readings}.copy`, perMillion(sumOf(floor.copy, floor.postgres)), cpu)
  }
  const ours = sumOf(full.service, full.postgres)
  samples.add(`ingest.${readings}.rate`, total / full.published.wallSeconds, unit, `peer.${readings}.rate`)
  samples.add(`ingest.${readings}.cpu`, perMillion(ours), cpu, `floor.${readings}.cpu`)
  samples.add(`ingest.${readings}.cpu-beside-peer`, perMillion(ours), cpu, `peer.${readings}.cpu`)
  samples.add(`ingest.${readings}.cpu-service`, perMillion(full.service), cpu)
  samples.add(`ingest.${readings}.cpu-postgres`, perMillion(full.postgres), cpu)
  samples.add(`ingest.${readings}.cpu-generator`, perMillion(full.generator), cpu)
  for (const [name, { published }] of [
    ["full", full],
    ["half", half],
  ] as const) {
    for (const percentile of ["p50", "p95", "p99"] as const)
      samples.add(`ingest.${readings}.${name}.puback-${percentile}`, published.puback[percentile], "ms")
  }
  const perReading = (bytes: number): number => bytes / total
  samples.add(`storage.${readings}.bytes`, perReading(stored.statements + stored.series), "bytes/reading")
  samples.add(`storage.${readings}.bytes-statements`, perReading(stored.statements), "bytes/reading")
  samples.add(`storage.${readings}.bytes-series`, perReading(stored.series), "bytes/reading")
  samples.add(`storage.${readings}.bytes-entries`, perReading(stored.entries), "bytes/reading")
  if (peer === null) return
  samples.add(`peer.${readings}.rate`, peerReadings / peer.wallSeconds, unit)
  samples.add(
    `peer.${readings}.cpu`,
    perMillion(sumOf(peer.broker, peer.consumer, peer.postgres), peerReadings),
    cpu,
  )
  samples.add(`peer.${readings}.cpu-broker`, perMillion(peer.broker, peerReadings), cpu)
  samples.add(`peer.${readings}.cpu-consumer`, perMillion(peer.consumer, peerReadings), cpu)
  samples.add(`peer.${readings}.cpu-postgres`, perMillion(peer.postgres, peerReadings), cpu)
}

function formatCpu(seconds: number | null, readings: number): string {
  return seconds === null ? "no /proc" : `${formatValue((1e6 * seconds) / readings)} CPU-s/M`
}

function describeTurn(load: Load, { full, half, floor, peer, peerReadings }: Turn): string {
  const total = load.statements * load.readings
  const parts = [
    `ours ${formatValue(total / full.published.wallSeconds)}/s, ${formatCpu(sumOf(full.service, full.postgres), total)}`,
    `p99 ${formatValue(full.published.puback.p99)} ms, at half load ${formatValue(half.published.puback.p99)} ms`,
  ]
  if (floor !== null)
    parts.push(
      `floor ${formatCpu(sumOf(floor.verify.ingest, floor.hash, floor.copy, floor.postgres), total)}`,
    )
  if (peer !== null)
    parts.push(
      `peer ${formatValue(peerReadings / peer.wallSeconds)}/s, ${formatCpu(sumOf(peer.broker, peer.consumer, peer.postgres), peerReadings)}`,
    )
  return parts.join("; ")
}
