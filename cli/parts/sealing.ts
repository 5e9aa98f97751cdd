/** The part that seals: by the schedule, what was missed, and when somebody asks. */
import { compressSealed } from "../../ingest/database/migration.ts"
import type { SealKeys } from "../../ingest/log-keys.ts"
import { claimPublication, publishLast } from "../../ingest/publication.ts"
import { type Schedule, findMissedSlot, startSchedule } from "../../ingest/schedule.ts"
import { type SealOptions, type SealResult, type SealedBlock, seal } from "../../ingest/seal.ts"
import type { Database } from "../data-folder.ts"
import { makeSealMetrics } from "../metrics.ts"
import type { Base } from "./base.ts"

export interface SealingOptions {
  /** Cron in UTC; null: sealed only when somebody asks. */
  readonly schedule: string | null
  /** A block stands and is published: whoever takes it further does so beside the next seal. */
  readonly onSealed?: () => void
}

export interface SealingPart {
  seal(options?: Partial<SealOptions>): Promise<SealResult>
  /** Waits for a seal of the schedule that is under way. */
  close(): Promise<void>
}

/** Publishes the last block, seals a slot that was missed, then waits for the next one. */
export async function startSealing(
  base: Base<SealKeys>,
  { schedule, onSealed = () => {} }: SealingOptions,
): Promise<SealingPart> {
  const { database, keys, dataFolder, registry, readiness, log } = base
  await claimPublication(database.pool, dataFolder)
  // A crash after a block's commit may have left it unpublished.
  await publishLast(database.pool, dataFolder)
  const metrics = makeSealMetrics(registry)
  readiness.add("seal")

  const sealNow = async (options: Partial<SealOptions> = {}): Promise<SealResult> => {
    try {
      const result = await seal({ pool: database.pool, keys, dataFolder, ...options })
      readiness.mend("seal")
      if (result.kind === "sealed") {
        report(result.block)
        onSealed()
        await compress()
      }
      return result
    } catch (error) {
      metrics.sealFailed()
      readiness.fail("seal", `the last seal failed: ${(error as Error).message}`)
      throw error
    }
  }
  const report = ({ manifest, summary, tookMs }: SealedBlock): void => {
    const { height, toMs, size } = manifest
    metrics.sealed({ height, statements: summary.statements, tookMs, toMs })
    log.info(
      {
        height,
        statements: summary.statements,
        readings: summary.readings,
        treeSize: size + 1,
        ms: Math.round(tookMs),
      },
      "sealed",
    )
  }

  // The block stands: a chunk that cannot be compressed now is compressed after the next one.
  const compress = async (): Promise<void> => {
    try {
      const chunks = await compressSealed(database.pool)
      if (chunks > 0) log.info({ chunks }, "compressed")
    } catch (error) {
      log.warn(
        { error: (error as Error).message },
        "chunks could not be compressed; the next seal tries again",
      )
    }
  }

  let task: Schedule | null = null
  if (schedule !== null) {
    await catchUp(database, schedule, sealNow)
    task = startSchedule({
      expression: schedule,
      run: async (slotMs) => {
        await sealNow({ slotMs, isEmptyAllowed: true })
      },
      onError: (error) => log.error({ error: error.message }, "sealing failed; the next slot tries again"),
    })
  }
  return {
    seal: sealNow,
    close: async () => {
      await task?.stop()
    },
  }
}

/** One block spans a downtime, and is not waited for until the next slot. */
async function catchUp(
  database: Database,
  schedule: string,
  sealNow: (options: Partial<SealOptions>) => Promise<SealResult>,
): Promise<void> {
  const { rows } = await database.pool.query<{ to_ms: number; now_ms: number }>(
    `select coalesce((select max(to_ms) from blocks), (select (extract(epoch from min(received_at)) * 1000)::bigint from entries)) as to_ms,
            (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms`,
  )
  const slotMs = findMissedSlot(schedule, rows[0]!.to_ms, rows[0]!.now_ms)
  if (slotMs !== null) await sealNow({ slotMs, isEmptyAllowed: true })
}
