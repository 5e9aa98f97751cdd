/** What a login is judged by, read for many devices at once. */
import type { Pool } from "pg"
import type { EnrolledKey } from "../chain/device.ts"
import type { DeviceStatus } from "../chain/link.ts"
import { readDevices } from "./registry.ts"
import { type StoredToken, isTokenGenuine } from "./token.ts"

export interface LoginRecord {
  readonly device: string
  readonly status: DeviceStatus
  readonly headSeq: number
  readonly keys: readonly EnrolledKey[]
  readonly tokens: readonly StoredToken[]
}

export interface LoginRecords {
  /** Null where the device is not enrolled. Waits while the database is away; rejects when `gone` is aborted. */
  read(device: string, gone: AbortSignal): Promise<LoginRecord | null>
}

/** Whether a key logs its device in, and if not, what ended it. */
export type KeyStanding = "stands" | "revoked" | "rotated"

/**
 * A key logs its device in while the next statement may be signed by it, or by a key that a rotation has already named
 * (FORMAT §7). A key that a revocation ended never does: it is the key that somebody else may have.
 */
export function standingOf({ lastSeq, endedBy }: EnrolledKey, headSeq: number): KeyStanding {
  if (lastSeq === null) return "stands"
  if (endedBy === "revocation") return "revoked"
  return headSeq + 1 <= lastSeq ? "stands" : "rotated"
}

interface Waiting {
  readonly device: string
  readonly gone: AbortSignal
  readonly resolve: (record: LoginRecord | null) => void
}

const batchMax = 500
const retryMsMin = 50
const retryMsMax = 1_000

/**
 * Reads by batches, one at a time: ten thousand devices that come back at once cost some twenty queries and one
 * connection, and statements keep the others.
 *
 * @param macKey `accessKeyOf` the log's keys
 * @param wait resolves after so many ms; a test passes its own
 */
export function makeLoginRecords(
  pool: Pool,
  macKey: Uint8Array,
  wait: (ms: number) => Promise<void> = (ms) => new Promise((done) => void setTimeout(done, ms)),
): LoginRecords {
  const queue: Waiting[] = []
  let isReading = false

  async function readAll(): Promise<void> {
    isReading = true
    let retryMs = retryMsMin
    while (queue.length > 0) {
      const batch = queue.splice(0, batchMax).filter(({ gone }) => !gone.aborted)
      if (batch.length === 0) continue
      try {
        const records = await readBatch(
          pool,
          macKey,
          batch.map(({ device }) => device),
        )
        for (const { device, resolve } of batch) resolve(records.get(device) ?? null)
        retryMs = retryMsMin
      } catch {
        // The database is away, as the intake says in its own place. Who still waits is asked for again.
        queue.unshift(...batch)
        await wait(retryMs)
        retryMs = Math.min(retryMsMax, retryMs * 2)
      }
    }
    isReading = false
  }

  return {
    read: (device, gone) =>
      new Promise((resolve, reject) => {
        if (gone.aborted) {
          reject(new Error("the connection is gone"))
          return
        }
        gone.addEventListener("abort", () => reject(new Error("the connection is gone")), { once: true })
        queue.push({ device, gone, resolve })
        if (!isReading) void readAll()
      }),
  }
}

async function readBatch(
  pool: Pool,
  macKey: Uint8Array,
  devices: readonly string[],
): Promise<Map<string, LoginRecord>> {
  const names = [...new Set(devices)]
  const registered = await readDevices(pool, names)
  const { rows } = await pool.query<{ device_id: string; seq: number; tokens: readonly TokenRow[] }>(
    `select h.device_id, h.seq, coalesce((select json_agg(json_build_object('id', t.token_id,
              'digest', encode(t.digest, 'hex'), 'expires', extract(epoch from t.expires_at), 'mac', encode(t.mac, 'hex')))
              from login_tokens t where t.device_id = h.device_id), '[]') as tokens
     from chain_heads h where h.device_id = any($1)`,
    [names],
  )
  const records = new Map<string, LoginRecord>()
  for (const { device_id: device, seq, tokens } of rows) {
    const record = registered.get(device)
    if (record === undefined) continue // enrolled between the two queries: the next connect will find it
    records.set(device, {
      device,
      status: record.status,
      headSeq: seq,
      keys: record.keys,
      tokens: tokens.map((token) => tokenOf(device, token, macKey)),
    })
  }
  return records
}

interface TokenRow {
  readonly id: string
  readonly digest: string
  readonly expires: number | null
  readonly mac: string | null
}

function tokenOf(device: string, { id, digest, expires, mac }: TokenRow, macKey: Uint8Array): StoredToken {
  const row = {
    device_id: device,
    token_id: id,
    digest: Uint8Array.from(Buffer.from(digest, "hex")),
    expiresMs: expires === null ? null : expires * 1000,
  }
  const given = mac === null ? null : Uint8Array.from(Buffer.from(mac, "hex"))
  return {
    id,
    digest: row.digest,
    expiresAt: expires,
    isGenuine: isTokenGenuine(macKey, row, given),
  }
}
