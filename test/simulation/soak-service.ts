/** The service in a process of its own, so that its memory and its processor time are its own: what `SoakHost` starts. */
import { pino } from "pino"
import type { BrokerLimits } from "../../broker/limits.ts"
import { formatHex } from "../../chain/bytes.ts"
import type { PublicKey } from "../../chain/key.ts"
import { type Service, startService } from "../../cli/service.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import { Watchdog, hold } from "../watchdog.ts"

export interface SoakSettings {
  readonly dataFolder: string
  readonly limits: Partial<BrokerLimits>
}

export type SoakRequest =
  | {
      readonly kind: "enrol"
      readonly devices: readonly { readonly device: string; readonly key: PublicKey }[]
    }
  /** After a collection of garbage. */
  | { readonly kind: "memory" }
  /** The entries of these devices that are stored, in order of seq. */
  | { readonly kind: "stored"; readonly devices: readonly string[] }
  /** What the database itself counts. */
  | { readonly kind: "count" }
  | { readonly kind: "seal" }
  /** The longest stall of the event loop since the last such question. */
  | { readonly kind: "stall" }
  /** A loop, planted, so that a test sees that a stall is found. */
  | { readonly kind: "hold"; readonly ms: number }
  | { readonly kind: "stop" }

export interface SoakCount {
  /** Statements of devices. */
  readonly stored: number
  /** By code. */
  readonly refused: ReadonlyMap<number, number>
}

export interface SoakMemory {
  readonly rssBytes: number
  readonly heapBytes: number
}

// Nothing here handles a rejection or an exception that nobody else does: they end the process, and the host sees it.
const settings = JSON.parse(process.argv[2] ?? "{}") as SoakSettings
const service = await startService({
  dataFolder: settings.dataFolder,
  origin: "tidemark.invalid/soak",
  host: "127.0.0.1",
  mqtt: 0,
  http: 0,
  schedule: null,
  limits: settings.limits,
  log: pino({ level: "error" }, pino.destination({ dest: 2, sync: true })),
  say: () => {},
})
const watchdog = await Watchdog.open()
process.on("message", (message: { readonly id: number; readonly request: SoakRequest }) => {
  void answer(service, message.request).then((value) => process.send?.({ id: message.id, value }))
})
// Without its host nobody would end it.
let closing: Promise<void> | null = null
process.on("disconnect", () => void closeOnce())
process.send?.({
  id: 0,
  value: { mqtt: service.mqtt, http: service.http, logVkey: service.keys.binding.logVkey },
})

function closeOnce(): Promise<void> {
  return (closing ??= service.close())
}

async function answer({ database, keys }: Service, request: SoakRequest): Promise<unknown> {
  switch (request.kind) {
    case "enrol": {
      const results = await enrolDevices(database.pool, keys, request.devices)
      // An operator's command does this in a process of its own.
      watchdog.restart()
      return results.every(({ kind }) => kind === "enrolled")
    }
    case "memory": {
      globalThis.gc?.()
      const { rss, heapUsed } = process.memoryUsage()
      return { rssBytes: rss, heapBytes: heapUsed } satisfies SoakMemory
    }
    case "stored": {
      const { rows } = await database.pool.query<{ device_id: string; entry: Uint8Array }>(
        "select device_id, entry from entries where device_id = any($1) order by device_id, seq",
        [request.devices],
      )
      const stored = new Map(request.devices.map((device) => [device, [] as string[]]))
      for (const { device_id: device, entry } of rows) stored.get(device)?.push(formatHex(entry))
      return stored
    }
    case "count": {
      const { rows } = await database.pool.query<{ count: number }>(
        "select count(*) as count from entries where device_id <> $1",
        [keys.origin],
      )
      const { rows: refusals } = await database.pool.query<{ code: number; count: number }>(
        "select code, sum(count)::bigint as count from refusals group by code",
      )
      const refused = new Map(refusals.map(({ code, count }) => [code, count]))
      return { stored: rows[0]?.count ?? 0, refused } satisfies SoakCount
    }
    case "stall": {
      const stall = watchdog.longest()
      watchdog.restart()
      return stall
    }
    case "hold":
      hold(request.ms)
      return null
    case "seal":
      return (await service.seal()).kind
    case "stop":
      watchdog.close()
      await closeOnce()
      setImmediate(() => process.disconnect())
      return null
    default:
      throw new Error("no such request")
  }
}
