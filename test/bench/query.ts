/**
 * `query`: a device's day at one reading a second and a fleet's hour, against plain SQL on a table with a row per reading,
 * narrow, with the index that such a table has. Both answer as COPY does, so that no client's parsing is measured.
 */
import type { Pool } from "pg"
import { to as copyTo } from "pg-copy-streams"
import type { BenchContext } from "./context.ts"
import { type History, daySeconds, hourSeconds } from "./history.ts"
import { medianOf } from "./measure.ts"

/** A question, to both. */
interface Question {
  readonly name: "day" | "hour"
  readonly ours: string
  readonly plain: string
}

export async function runQueries(history: History, context: BenchContext): Promise<void> {
  const { service } = history
  const { samples, say } = context
  const { pool } = service
  await makePlain(pool)
  for (const { name, ours, plain } of questionsOf(history)) {
    samples.nextRound()
    const [own, other] = [await timeTurns(pool, ours), await timeTurns(pool, plain)]
    if (own.bytes !== other.bytes || own.rows !== other.rows)
      throw new Error(`the answers about the ${name} differ`)
    samples.add(`query.${name}.plain`, other.ms, "ms")
    samples.add(`query.${name}`, own.ms, "ms", `query.${name}.plain`)
    say(`${own.rows} readings of the ${name}: ${own.ms.toFixed(0)} ms, plain SQL ${other.ms.toFixed(0)} ms`)
  }
}

/** The same readings, as a pipeline without signatures would have stored them. */
async function makePlain(pool: Pool): Promise<void> {
  await pool.query(`
    create schema plain;
    create table plain.devices as select row_number() over (order by device_id)::integer as id, device_id from devices;
    create table plain.readings (time timestamptz not null, device_id integer not null, metric_id smallint not null, value float8 not null);
    insert into plain.readings
      select r.time, d.id, 1, r.value from readings r join plain.devices d on d.device_id = r.device order by r.arrived, r.statement, r.time;
    create index on plain.readings (device_id, metric_id, time);`)
  await pool.query("vacuum analyze")
}

/** The bounds of a stretch of time. */
function between(fromS: number, seconds: number): readonly [string, string] {
  return [`to_timestamp(${fromS})`, `to_timestamp(${fromS + seconds})`]
}

function questionsOf({ dayDevice, dayFromS, hourDevices, hourFromS }: History): Question[] {
  const [dayFrom, dayTo] = between(dayFromS, daySeconds)
  const [hourFrom, hourTo] = between(hourFromS, hourSeconds)
  const list = hourDevices.map((device) => `'${device}'`).join(", ")
  return [
    {
      name: "day",
      ours: `select device, time, value from readings_in('${dayDevice}', 'heart-rate', ${dayFrom}, ${dayTo}) order by time`,
      plain: `select '${dayDevice}', time, value from plain.readings
              where device_id = (select id from plain.devices where device_id = '${dayDevice}')
                and metric_id = 1 and time >= ${dayFrom} and time < ${dayTo} order by time`,
    },
    {
      name: "hour",
      ours: `select r.device, r.time, r.value from unnest(array[${list}]) as d(device)
             cross join lateral readings_in(d.device, 'heart-rate', ${hourFrom}, ${hourTo}) r order by r.device, r.time`,
      plain: `select d.device_id, r.time, r.value from plain.readings r join plain.devices d on d.id = r.device_id
              where d.device_id in (${list}) and r.metric_id = 1 and r.time >= ${hourFrom} and r.time < ${hourTo}
              order by d.device_id, r.time`,
    },
  ]
}

const turns = 7

interface Answered {
  readonly ms: number
  readonly rows: number
  readonly bytes: number
}

/** The median of some turns, after one that is not counted. */
export async function timeTurns(pool: Pool, sql: string): Promise<Answered> {
  const client = await pool.connect()
  try {
    const times: number[] = []
    let [rows, bytes] = [0, 0]
    for (let turn = 0; turn <= turns; turn++) {
      const startedAtMs = performance.now()
      const stream = client.query(copyTo(`copy (${sql}) to stdout`))
      bytes = 0
      for await (const chunk of stream as AsyncIterable<Uint8Array>) bytes += chunk.length
      rows = stream.rowCount
      if (turn > 0) times.push(performance.now() - startedAtMs)
    }
    return { ms: medianOf(times), rows, bytes }
  } finally {
    client.release()
  }
}
