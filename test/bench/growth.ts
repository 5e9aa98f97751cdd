/**
 * `growth`: does anything slow down as a log grows? Ingest, seal and a query with nothing, 10 and 100 million readings
 * stored. What is there already is written as rows, since to send it would take a day.
 */
import type { Pool } from "pg"
import { inTransaction } from "../../ingest/database/pool.ts"
import { watchTidemark } from "./command.ts"
import type { BenchContext } from "./context.ts"
import { Fleet } from "./fleet.ts"
import { daySeconds } from "./history.ts"
import { IngestStand } from "./ingest-stand.ts"
import { medianOf } from "./measure.ts"
import { timeTurns } from "./query.ts"
import { BenchService } from "./service.ts"
import { sumOf } from "./stopwatch.ts"

const readings = 60
const pace = { window: 20, perSecond: null } as const

/** Millions of readings. */
const levels = [0, 10, 100] as const
const levelsQuick = [0, 1, 2] as const

export async function runGrowth(context: BenchContext): Promise<void> {
  const { samples, seed, nowS, isQuick, rounds, say } = context
  const service = await BenchService.open({ isProfiled: false })
  try {
    const stand = await IngestStand.open(service, { name: "growing", devices: 100, seed, nowS })
    const day = await IngestStand.open(service, { name: "day", devices: 1, seed, nowS })
    const old = new Fleet("old", 100, seed, nowS - 60 * daySeconds)
    await service.enrol(old)
    const up = await service.start()
    const statements = isQuick ? 4_000 : 20_000
    const run = () => stand.ingest(stand.prepare({ readings, statements }), pace, [up])
    const seal = async (): Promise<number> => {
      const { stdout } = await watchTidemark(["seal", "--json", "--data", service.dataFolder])
      return (JSON.parse(stdout) as { tookMs: number }).tookMs / 1000
    }
    await day.ingest(day.prepare({ readings, statements: daySeconds / readings }), pace, [up])
    await run()
    samples.nextRound()
    let stored = 0
    for (const level of isQuick ? levelsQuick : levels) {
      say(`growing to ${level} million readings`)
      const wanted = Math.ceil((level * 1e6) / readings)
      await fillStored({
        pool: service.pool,
        devices: old.devices.map(({ id }) => id),
        startsAtS: old.startsAtS,
        from: stored,
        to: wanted,
      })
      stored = Math.max(stored, wanted)
      await seal()
      await service.pool.query("vacuum analyze")
      await run()
      await seal()
      const turns: { readonly perSecond: number; readonly perCpuSecond: number; readonly sealed: number }[] =
        []
      for (let round = 0; round < rounds; round++) {
        const { published, service: spent, postgres } = await run()
        const total = statements * readings
        const perCpuSecond = total / (sumOf(spent, postgres) ?? Number.NaN)
        turns.push({
          perSecond: total / published.wallSeconds,
          perCpuSecond,
          sealed: statements / (await seal()),
        })
      }
      const { ms } = await timeTurns(service.pool, sqlOfLastDay(stored === 0 ? day.fleet : old, stored))
      const add = (respect: string, value: number, unit: string): void =>
        samples.add(`growth.${level}.${respect}`, value, unit, level === 0 ? null : `growth.0.${respect}`)
      const median = (of: keyof (typeof turns)[number]): number => medianOf(turns.map((turn) => turn[of]))
      add("ingest", median("perCpuSecond"), "readings/CPU-s")
      add("ingest-rate", median("perSecond"), "readings/s")
      add("seal", median("sealed"), "statements/s")
      add("query", 1000 / ms, "device-days/s")
      say(
        `with ${level} million: ${Math.round(median("perSecond"))} readings/s, the day in ${ms.toFixed(0)} ms`,
      )
    }
    await Promise.all([stand.close(), day.close()])
  } finally {
    await service.close()
  }
}

/** The last day of a device: of one that has no other, or of one that has its share of all that is stored. */
function sqlOfLastDay(fleet: Fleet, stored: number): string {
  const { devices, startsAtS } = fleet
  const each = stored === 0 ? daySeconds / readings : Math.floor(stored / devices.length)
  const toS = startsAtS + each * readings
  return `select device, time, value from readings_in('${devices[0]!.id}', 'heart-rate',
    to_timestamp(${toS - daySeconds}), to_timestamp(${toS})) order by time`
}

interface Filling {
  readonly pool: Pool
  readonly devices: readonly string[]
  /** Unix seconds of each one's first reading. */
  readonly startsAtS: number
  /** Statements that are there, and that shall be. */
  readonly from: number
  readonly to: number
}

/** Rows per statement of SQL. */
const batchSize = 50_000

/**
 * Rows as ingest would have written them for statements of 60 readings, with bytes of chance in place of signed ones: as
 * large, and in the same tables and indexes.
 */
export async function fillStored({ pool, devices, startsAtS, from, to }: Filling): Promise<void> {
  for (let done = from; done < to; done += batchSize) {
    const last = Math.min(done + batchSize, to)
    await inTransaction(pool, async (client) => {
      await client.query(
        `with made as materialized (
           select nextval('statement_ids') as id, n, ($1::text[])[1 + n % cardinality($1)] as device,
                  n / cardinality($1) + 1 as seq, ($4::bigint + 60 * (n / cardinality($1)))::float8 as starts_at,
                  date_trunc('milliseconds', clock_timestamp()) as received_at
           from generate_series($2::bigint, $3::bigint) n order by n
         ), entered as (
           insert into entries (id, device_id, seq, entry, received_at, signed_digest, code, readings, starts_at, ends_at)
           select id, device, seq, sha256(int8send(n)), received_at, sha256(int8send(-n)), 1, 60, starts_at, starts_at + 59 from made
         ), stated as (
           insert into statements (id, received_at, bytes)
           select id, received_at, (select string_agg(sha256(int8send(n * 32 + part)), '') from generate_series(1, 22) part) from made
         )
         insert into series (statement_id, position, received_at, device_id, metric, name, unit, kind, starts_at, ends_at, times, numbers, ahead)
         select id, 0, received_at, device, 'heart-rate', 'heart-rate', 'beat/min', 'number', starts_at, starts_at + 59,
                (select array_agg(starts_at + second order by second) from generate_series(0, 59) second),
                (select array_agg((60 + (n + second) % 50)::float8 order by second) from generate_series(0, 59) second), false
         from made`,
        [devices, done, last - 1, startsAtS],
      )
    })
  }
  await pool.query(
    `update chain_heads h set seq = e.seq, entry = e.entry
     from (select distinct on (device_id) device_id, seq, entry from entries where device_id = any($1)
           order by device_id, seq desc) e
     where e.device_id = h.device_id`,
    [devices],
  )
}
