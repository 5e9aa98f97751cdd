/** The registry: which keys stand for which device. Every change is a statement of the operator's chain first. */
import type { Pool, PoolClient } from "pg"
import { formatHex } from "../chain/bytes.ts"
import { type AppliedRegistry, type DeviceRecord, type EnrolledKey, applyRegistry } from "../chain/device.ts"
import { type Hash, parseHash, zeroHash } from "../chain/hash.ts"
import { type PublicKey, decodeCoseKey, encodeCoseKey, findKeyFault } from "../chain/key.ts"
import type { DeviceStatus } from "../chain/link.ts"
import { type Registry, encodeRegistry } from "../chain/registry.ts"
import { contentRegistry, devicePattern } from "../chain/statement.ts"
import { inTransaction } from "./database/pool.ts"
import type { LogKeys } from "./log-keys.ts"
import { verifyNative } from "./native.ts"
import { appendOperator, lockOperator, lockSealShared } from "./operator.ts"
import { readClock, takeIds } from "./storage.ts"

export interface Enrolment {
  readonly device: string
  readonly key: PublicKey
  /** Proof of possession (PROTOCOL §7), 64 bytes; without it the device is shown as enrolled without possession. */
  readonly proof?: Uint8Array
  /** make, model, firmware */
  readonly attributes?: ReadonlyMap<string, string>
}

export type EnrolmentResult =
  | { readonly kind: "enrolled"; readonly device: string; readonly entry: Hash }
  | { readonly kind: "refused"; readonly device: string; readonly rule: string }

/**
 * Enrols devices, each by a registry statement, in one transaction. A device that may not be enrolled is refused with
 * the rule, and the others go in.
 */
export async function enrolDevices(
  pool: Pool,
  keys: LogKeys,
  enrolments: readonly Enrolment[],
): Promise<EnrolmentResult[]> {
  return inTransaction(pool, async (client) => {
    await lockSealShared(client)
    const head = await lockOperator(client, keys.origin)
    const known = await readDevices(
      client,
      enrolments.map(({ device }) => device),
    )
    const receivedAtMs = await readClock(client)
    const results: EnrolmentResult[] = []
    const fresh: { enrolment: Enrolment; registry: Registry }[] = []
    const seen = new Set<string>()
    for (const enrolment of enrolments) {
      const registry = registryOf(enrolment)
      const refusal = findRefusal(
        enrolment,
        registry,
        seen.has(enrolment.device) || known.has(enrolment.device),
        keys.origin,
      )
      seen.add(enrolment.device)
      if (refusal !== null) results.push({ kind: "refused", device: enrolment.device, rule: refusal })
      else fresh.push({ enrolment, registry })
    }
    const ids = await takeIds(client, fresh.length)
    const statements = fresh.map(({ registry }, index) => ({
      id: ids[index]!,
      sub: registry.device,
      content: contentRegistry,
      payload: encodeRegistry(registry),
      receivedAtMs,
    }))
    const entries = fresh.length === 0 ? [] : await appendOperator(client, keys, head, statements)
    for (const [index, { registry }] of fresh.entries()) {
      const entry = entries[index]!
      const place = { origin: keys.origin, entry, headSeq: 0, verify: verifyNative }
      await insertDevice(client, requireApplied(applyRegistry(null, registry, place)))
      results.push({ kind: "enrolled", device: registry.device, entry })
    }
    return results
  })
}

function registryOf({ device, key, proof, attributes }: Enrolment): Registry {
  return {
    action: "enrol",
    device,
    previous: zeroHash,
    key,
    firstSeq: 1,
    ...(proof === undefined ? {} : { proofOfNew: proof }),
    ...(attributes === undefined || attributes.size === 0 ? {} : { attributes }),
  }
}

/** Everything is asked before anything is signed: the same rules as the audit's. */
function findRefusal(
  enrolment: Enrolment,
  registry: Registry,
  isKnown: boolean,
  origin: string,
): string | null {
  if (!devicePattern.test(enrolment.device)) return `a device id must match ${devicePattern.source}`
  if (isKnown) return `device ${enrolment.device} is enrolled already`
  const fault = findKeyFault(enrolment.key)
  if (fault !== null) return fault
  const outcome = applyRegistry(null, registry, { origin, entry: zeroHash, headSeq: 0, verify: verifyNative })
  return outcome.kind === "refused" ? outcome.rule : null
}

function requireApplied(outcome: AppliedRegistry): DeviceRecord {
  if (outcome.kind === "applied") return outcome.record
  throw new Error(`a registry statement was signed against the rules: ${outcome.rule}`)
}

async function insertDevice(client: PoolClient, record: DeviceRecord): Promise<void> {
  await client.query("insert into chain_heads (device_id, seq, entry) values ($1, 0, $2)", [
    record.device,
    zeroHash,
  ])
  await client.query(
    "insert into devices (device_id, status, registry, attributes) values ($1, $2, $3, $4)",
    [record.device, record.status, record.registry, Object.fromEntries(record.attributes)],
  )
  for (const key of record.keys) {
    await client.query(
      `insert into device_keys (device_id, kid, cose_key, first_seq, last_seq, ended_by, possession_proven)
       values ($1, $2, $3, $4, $5, $6, $7)`,
      [
        record.device,
        key.kid,
        encodeCoseKey(key.key),
        key.firstSeq,
        key.lastSeq,
        key.endedBy,
        key.isPossessionProven,
      ],
    )
  }
}

interface DeviceRow {
  readonly device_id: string
  readonly status: DeviceStatus
  readonly registry: Uint8Array
  readonly attributes: Record<string, string>
  readonly keys: readonly {
    readonly kid: string
    readonly cose_key: string
    readonly first_seq: number
    readonly last_seq: number | null
    readonly ended_by: "rotation" | "revocation" | null
    readonly possession_proven: boolean
  }[]
}

/** The records of these devices, by id; those that are not enrolled are missing. */
export async function readDevices(
  client: Pool | PoolClient,
  devices: readonly string[] | null,
): Promise<Map<string, DeviceRecord>> {
  const { rows } = await client.query<DeviceRow>(
    `select d.device_id, d.status, d.registry, d.attributes,
            coalesce((select json_agg(json_build_object('kid', encode(k.kid, 'hex'), 'cose_key', encode(k.cose_key, 'hex'),
              'first_seq', k.first_seq, 'last_seq', k.last_seq, 'ended_by', k.ended_by,
              'possession_proven', k.possession_proven) order by k.first_seq)
              from device_keys k where k.device_id = d.device_id), '[]') as keys
     from devices d where $1::text[] is null or d.device_id = any($1) order by d.device_id`,
    [devices],
  )
  return new Map(rows.map((row) => [row.device_id, recordOf(row)]))
}

function recordOf(row: DeviceRow): DeviceRecord {
  const keys = row.keys.map((key): EnrolledKey => ({
    kid: Uint8Array.from(Buffer.from(key.kid, "hex")),
    key: decodeCoseKey(Uint8Array.from(Buffer.from(key.cose_key, "hex"))),
    firstSeq: key.first_seq,
    lastSeq: key.last_seq,
    endedBy: key.ended_by,
    isPossessionProven: key.possession_proven,
  }))
  const { device_id: device, status } = row
  return {
    device,
    status,
    keys,
    registry: parseHash(row.registry),
    attributes: new Map(Object.entries(row.attributes)),
  }
}

/** Two records of one device, compared by the last registry statement that made them. */
export function isSameRegistry(record: DeviceRecord | null, registry: Uint8Array | null): boolean {
  if (record === null || registry === null) return record === null && registry === null
  return formatHex(record.registry) === formatHex(registry)
}
