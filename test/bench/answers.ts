/**
 * `answers`: what the research API costs beside the database that it asks. A device's day at one reading a second as JSON,
 * against the same columns by SQL; a day of buckets; and 10 million readings as Parquet, with the memory of the process
 * that gave them.
 */
import { request } from "node:http"
import type { BenchContext } from "./context.ts"
import { watchTidemark } from "./command.ts"
import { Fleet } from "./fleet.ts"
import { fillStored } from "./growth.ts"
import { daySeconds } from "./history.ts"
import { medianOf } from "./measure.ts"
import { readMemoryBytes, readProcessSeconds } from "./processor-time.ts"
import { timeTurns } from "./query.ts"
import { BenchService } from "./service.ts"

const readings = 60
const turns = 7
const devices = 100

export async function runAnswers(context: BenchContext): Promise<void> {
  const { samples, seed, nowS, isQuick, say } = context
  const service = await BenchService.open({ isProfiled: false })
  try {
    const fleet = new Fleet("fleet", devices, seed, nowS - 60 * daySeconds)
    await service.enrol(fleet)
    const total = isQuick ? 1_000_000 : 10_000_000
    say(`storing ${total} readings as rows, and sealing them`)
    const startsAtS = fleet.startsAtS
    const ids = fleet.devices.map(({ id }) => id)
    await fillStored({
      pool: service.pool,
      devices: ids,
      startsAtS,
      from: 0,
      to: Math.ceil(total / readings),
    })
    await watchTidemark(["seal", "--json", "--data", service.dataFolder])
    await service.pool.query("vacuum analyze")
    const up = await service.start()
    samples.nextRound()
    const span = Math.min(daySeconds, Math.floor(total / devices))
    const day = `device=${ids[0]}&from=${startsAtS}&to=${startsAtS + span}`

    const { ms: plainMs } = await timeTurns(service.pool, sqlOf(ids[0]!, startsAtS, startsAtS + span))
    const json = await timeAnswers(`${up.http}/v1/readings?${day}&limit=100000`)
    samples.add("answers.day.sql", plainMs, "ms")
    samples.add("answers.day", json.ms, "ms", "answers.day.sql")
    const buckets = await timeAnswers(`${up.http}/v1/readings?${day}&bucket=5m`)
    samples.add("answers.buckets", buckets.ms, "ms", "answers.day.sql")
    say(
      `${span} readings as JSON in ${json.ms.toFixed(0)} ms, by SQL in ${plainMs.toFixed(0)} ms; as buckets in ${buckets.ms.toFixed(0)} ms`,
    )

    const before = readProcessSeconds(up.pid) ?? 0
    const startedAtMs = performance.now()
    const bytes = await download(`${up.http}/v1/readings?format=parquet`)
    const seconds = (performance.now() - startedAtMs) / 1000
    const cpu = (readProcessSeconds(up.pid) ?? 0) - before
    const peak = (readMemoryBytes(up.pid)?.peak ?? Number.NaN) / 1e6
    samples.add("answers.parquet.time", seconds, "s")
    samples.add("answers.parquet.cpu", cpu, "CPU-s")
    samples.add("answers.parquet.memory", peak, "MB")
    say(
      `${total} readings as ${(bytes / 1e6).toFixed(0)} MB of Parquet in ${seconds.toFixed(1)} s, ${cpu.toFixed(1)} of the processor, ${peak.toFixed(0)} MB at most`,
    )
  } finally {
    await service.close()
  }
}

/** The columns of the API from the tables, in its order: what the database itself takes, as COPY gives it. */
function sqlOf(device: string, fromS: number, toS: number): string {
  return `select to_timestamp(p.time), s.device_id, s.metric, s.kind, p.value, s.unit, s.received_at,
      extract(epoch from s.received_at) - p.time, case when extract(epoch from s.received_at) - p.time <= 900 then 'live' else 'backfill' end,
      (select min(height) from blocks where manifest_id >= s.statement_id), encode(e.entry, 'hex')
    from series s join entries e on e.id = s.statement_id cross join lateral unnest(s.times, s.numbers) as p(time, value)
    where s.device_id = '${device}' and s.starts_at < ${toS} and s.ends_at >= ${fromS} and not s.ahead
      and p.time >= ${fromS} and p.time < ${toS}
    order by s.device_id, s.metric, p.time`
}

async function timeAnswers(url: string): Promise<{ readonly ms: number }> {
  const times: number[] = []
  for (let turn = 0; turn <= turns; turn++) {
    const startedAtMs = performance.now()
    await download(url)
    if (turn > 0) times.push(performance.now() - startedAtMs)
  }
  return { ms: medianOf(times) }
}

/** Bytes of the whole answer; rejects where it is not 200 or breaks off. */
function download(url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const asking = request(url, (response) => {
      let bytes = 0
      response.on("data", (chunk: Uint8Array) => (bytes += chunk.length))
      response.on("error", reject)
      response.on("end", () => {
        if (response.statusCode === 200 && response.complete) resolve(bytes)
        else reject(new Error(`${url} was answered with ${response.statusCode}`))
      })
    })
    asking.on("error", reject)
    asking.end()
  })
}
