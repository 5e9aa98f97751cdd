/** What `/v1/devices/{id}` answers. */
import type { AsOf } from "./answer.ts"
import type { DeviceRow } from "./fleet.ts"
import type { StoredSeries } from "./series.ts"

export interface DeviceDetail extends DeviceRow {
  readonly asOf: AsOf | null
  readonly sealedHead: { readonly seq: number; readonly entry: string; readonly block: number } | null
  readonly keys: readonly DeviceKey[]
  readonly series: readonly StoredSeries[]
  readonly verdicts: Readonly<Record<string, number>>
  readonly refusals: readonly { readonly verdict: string; readonly count: number; readonly last: string }[]
  readonly unread: readonly { readonly rule: string; readonly statements: number }[]
  readonly forks: readonly number[]
}

interface DeviceKey {
  readonly kid: string
  readonly firstSeq: number
  readonly lastSeq: number | null
  readonly endedBy: string | null
  readonly introducedBy: string
  readonly possessionProven: boolean
}
