/** Which metrics there are: those of the catalogue, and those that a device of this log has sent. */
import type { QueryResultRow } from "pg"
import { findMetric, metrics as catalogue } from "./metric.ts"
import { Problem } from "./problem.ts"
import type { Scope } from "./reader.ts"

/** Queries on one picture of the database: a snapshot, or any transaction. */
interface Queries {
  query<Columns extends QueryResultRow>(sql: string, values?: readonly unknown[]): Promise<Columns[]>
}

export interface MetricQuestion {
  /** Null: all, and nothing to check. */
  readonly metrics: readonly string[] | null
  /** That are asked about; null: all that the reader may see. */
  readonly devices: readonly string[] | null
  readonly scope: Scope
}

/** Devices that are looked through in one query, and how long all of them together may take. */
const devicesPerQuery = 1_000
const lookingMsMax = 10_000
/** Devices whose metrics are proposed where a name is wrong. */
const proposingDevicesMax = 20

export class KnownMetrics {
  /** That some device has sent. They stay: nothing is taken out of a log. */
  readonly #sent = new Set<string>()

  /**
   * Refuses a metric that is neither in the catalogue nor sent by any device that the reader may see: an empty answer would
   * say that there are no such readings, where there is no such metric.
   */
  async check(queries: Queries, { metrics, devices, scope }: MetricQuestion): Promise<void> {
    for (const metric of metrics ?? []) {
      if (findMetric(metric) !== null || (scope === null && this.#sent.has(metric))) continue
      const reach = scope === null ? null : [...scope]
      if (
        (devices !== null && (await isSentBy(queries, metric, devices))) ||
        (reach === null ? await isSentByAny(queries, metric) : await isSentBy(queries, metric, reach))
      ) {
        if (scope === null) this.#sent.add(metric)
        continue
      }
      throw unknownMetric(metric, await this.#nearest(queries, metric, devices ?? reach))
    }
  }

  async #nearest(queries: Queries, metric: string, devices: readonly string[] | null): Promise<string[]> {
    const sent = await readMetricsOf(queries, devices?.slice(0, proposingDevicesMax) ?? null)
    return nearestMetrics(metric, [...catalogue.map((one) => one.metric), ...sent])
  }
}

export function unknownMetric(metric: string, nearest: readonly string[]): Problem {
  const proposal = nearest.length === 0 ? "" : `; did you mean ${nearest.join(" or ")}?`
  return new Problem("unknown-metric", {
    detail: `metric ${metric} is not in the catalogue, and no device has sent it${proposal}`,
    parameter: "metric",
    rule: "must be one of /v1/metrics, or one that a device has sent",
  })
}

async function isSentBy(queries: Queries, metric: string, devices: readonly string[]): Promise<boolean> {
  const rows = await queries.query(
    `select from unnest($1::text[]) as device (id)
     cross join lateral (select from series where device_id = device.id and metric = $2 limit 1) as one limit 1`,
    [devices, metric],
  )
  return rows.length > 0
}

/** Device by device along the index, which begins with the device: as long as there are devices, and no longer than bearable. */
async function isSentByAny(queries: Queries, metric: string): Promise<boolean> {
  const startMs = performance.now()
  for (let after = "", looked = 0; ;) {
    const rows = await queries.query<{ device: string }>(
      `select device_id as device from devices where device_id > $1 order by device_id limit ${devicesPerQuery}`,
      [after],
    )
    const devices = rows.map(({ device }) => device)
    if (devices.length > 0 && (await isSentBy(queries, metric, devices))) return true
    if (devices.length < devicesPerQuery) return false
    after = devices.at(-1)!
    looked += devices.length
    if (performance.now() - startMs > lookingMsMax)
      throw new Problem("unknown-metric", {
        detail: `metric ${metric} is not in the catalogue, and none of the first ${looked} devices has sent it`,
        parameter: "metric",
        rule: "must be one of /v1/metrics, or be asked for together with a device that has sent it",
      })
  }
}

/** What these devices have sent; null: the first devices of the log. */
async function readMetricsOf(queries: Queries, devices: readonly string[] | null): Promise<string[]> {
  const rows = await queries.query<{ metric: string }>(
    `with recursive device (id) as materialized (
       select device_id from devices where $1::text[] is null or device_id = any($1)
       order by device_id limit ${proposingDevicesMax}
     ), names (device, metric) as (
       select id, (select metric from series where device_id = id order by metric limit 1) from device
       union all
       select device, (select metric from series where device_id = device and metric > names.metric order by metric limit 1)
       from names where metric is not null
     )
     select distinct metric from (select metric from names where metric is not null limit 1000) as first`,
    [devices],
  )
  return rows.map(({ metric }) => metric)
}

/** What people call it who do not know the catalogue. */
const shortNames: Readonly<Record<string, string>> = {
  hr: "heart-rate",
  bpm: "heart-rate",
  hrv: "heart-rate-variability",
  spo2: "oxygen-saturation",
  cgm: "glucose",
  temp: "body-temperature",
  ibi: "rr-interval",
  gsr: "eda",
  weight: "body-weight",
}

const nearestMax = 3

/** Up to three of the names, the nearest first; none where all are far. */
export function nearestMetrics(text: string, names: readonly string[]): string[] {
  const wanted = plain(text)
  const short = shortNames[wanted]
  if (short !== undefined) return [short]
  const ranked = [...new Set(names)]
    .map((name) => ({ name, distance: distanceOf(wanted, plain(name)) }))
    .filter(({ distance }) => distance < 1)
    .toSorted((one, other) => one.distance - other.distance || (one.name < other.name ? -1 : 1))
  const best = ranked[0]?.distance ?? 0
  return ranked
    .filter(({ distance }) => distance <= best + 0.1)
    .slice(0, nearestMax)
    .map(({ name }) => name)
}

/** A metric's name may have 255 characters; beyond the first so many two are not alike anyway. */
const comparedMax = 64

function plain(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]/gu, "")
    .slice(0, comparedMax)
}

/** 0 the same, 1 and more: not alike. */
function distanceOf(one: string, other: string): number {
  const isWithin = one.length >= 3 && other.length >= 3 && (one.includes(other) || other.includes(one))
  const edits = editDistance(one, other) / Math.max(1, Math.ceil(one.length / 3) + 0.5)
  return isWithin ? Math.min(edits, 0.8) : edits
}

/** Levenshtein's, where two neighbours that changed places are one edit. */
function editDistance(one: string, other: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: other.length + 1 }, (_, place) => place)
  for (let row = 1; row <= one.length; row++) {
    const next = [row]
    for (let place = 1; place <= other.length; place++) {
      const isSame = one[row - 1] === other[place - 1]
      let edits = Math.min(last[place]! + 1, next[place - 1]! + 1, last[place - 1]! + (isSame ? 0 : 1))
      if (row > 1 && place > 1 && one[row - 1] === other[place - 2] && one[row - 2] === other[place - 1])
        edits = Math.min(edits, beforeLast[place - 2]! + 1)
      next.push(edits)
    }
    beforeLast = last
    last = next
  }
  return last[other.length]!
}
