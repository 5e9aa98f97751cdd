/** API keys: made by the operator, shown once, kept as a hash, scoped to devices and to what they may be used for. */
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto"
import type { Pool } from "pg"
import { formatBase64url, formatHex } from "../chain/bytes.ts"
import { devicePattern } from "../chain/statement.ts"
import { Problem, type ProblemFacts } from "./problem.ts"
import { type Reader, localReader } from "./reader.ts"

export const keyNamePattern = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/
/** `tmk_`, the id, and 256 bits of chance. */
const keyPattern = /^tmk_([0-9a-f]{8})_[A-Za-z0-9_-]{43}$/

export type KeyScope = "read" | "export"

/** Which devices a key reaches: these, or those that have all of these attributes; both null: all, also new ones. */
export interface KeyReach {
  readonly devices: readonly string[] | null
  readonly attributes: Readonly<Record<string, string>> | null
}

export interface NewKey extends KeyReach {
  readonly name: string
  readonly scope: KeyScope
  /** Unix ms; null: never. */
  readonly expiresMs: number | null
}

export interface ListedKey extends NewKey {
  readonly id: string
  readonly createdMs: number
  readonly revokedMs: number | null
}

export type KeyCreation =
  /** `key` is shown once, and nowhere else. */
  | { readonly kind: "created"; readonly id: string; readonly key: string }
  | { readonly kind: "name-taken" }
  | { readonly kind: "unknown-device"; readonly device: string }

/** @param macKey by which rows are known to be the operator's; a secret that the database does not have */
export async function createKey(
  pool: Pool,
  macKey: Uint8Array,
  { name, scope, devices, attributes, expiresMs }: NewKey,
  random: (size: number) => Uint8Array = randomBytes,
): Promise<KeyCreation> {
  if (!keyNamePattern.test(name)) throw new RangeError(`a key's name must match ${keyNamePattern.source}`)
  const fault = devices?.find((device) => !devicePattern.test(device))
  if (fault !== undefined) throw new RangeError(`a device id must match ${devicePattern.source}`)
  if (devices !== null) {
    const { rows } = await pool.query<{ device_id: string }>(
      "select device_id from devices where device_id = any($1)",
      [devices],
    )
    const unknown = devices.find((device) => !rows.some((row) => row.device_id === device))
    if (unknown !== undefined) return { kind: "unknown-device", device: unknown }
  }
  const id = formatHex(random(4))
  const key = `tmk_${id}_${formatBase64url(random(32))}`
  const digest = digestOf(key)
  const mac = macOfKeyRow(macKey, {
    key_id: id,
    name,
    digest,
    scope,
    devices,
    attributes,
    expires_ms: expiresMs,
    revoked_ms: null,
  })
  const { rowCount } = await pool.query(
    `insert into api_keys (key_id, name, digest, scope, devices, attributes, expires_at, mac)
     values ($1, $2, $3, $4, $5, $6, to_timestamp($7::float8 / 1000), $8) on conflict (name) do nothing`,
    [
      id,
      name,
      digest,
      scope,
      devices,
      attributes === null ? null : JSON.stringify(attributes),
      expiresMs,
      mac,
    ],
  )
  return rowCount === 1 ? { kind: "created", id, key } : { kind: "name-taken" }
}

/** What the MAC of a key's row is over: all that gives or takes access. */
export interface KeyRow {
  readonly key_id: string
  readonly name: string
  readonly digest: Uint8Array
  readonly scope: KeyScope
  readonly devices: readonly string[] | null
  readonly attributes: Readonly<Record<string, string>> | null
  readonly expires_ms: number | null
  readonly revoked_ms: number | null
}

interface KeyColumns extends KeyRow {
  readonly created_ms: number
  readonly mac: Uint8Array | null
}

/** Of a row by `keyColumns`. Of a revocation only that it is there: an owner who moves its time gives nobody access. */
export function macOfKeyRow(macKey: Uint8Array, row: KeyRow): Uint8Array {
  const attributes =
    row.attributes === null ? null : Object.entries(row.attributes).toSorted(([a], [b]) => (a < b ? -1 : 1))
  const expires = row.expires_ms === null ? null : Math.round(row.expires_ms)
  const digest = Buffer.from(row.digest).toString("hex")
  const said = [
    row.key_id,
    row.name,
    digest,
    row.scope,
    row.devices,
    attributes,
    expires,
    row.revoked_ms !== null,
  ]
  return createHmac("sha256", macKey)
    .update(JSON.stringify(["tidemark/api-key", ...said]))
    .digest()
}

function isGenuine(macKey: Uint8Array, row: KeyColumns): boolean {
  return row.mac?.length === 32 && timingSafeEqual(row.mac, macOfKeyRow(macKey, row))
}

/** Names of keys whose rows were not written by the operator's commands, or were changed. */
export async function listForgedKeys(pool: Pool, macKey: Uint8Array): Promise<readonly string[]> {
  const { rows } = await pool.query<KeyColumns>(`select ${keyColumns} from api_keys order by key_id`)
  return rows.filter((row) => !isGenuine(macKey, row)).map(({ key_id }) => key_id)
}

export const keyColumns = `key_id, name, digest, scope, devices, attributes, mac, (extract(epoch from created_at) * 1000)::float8 as created_ms,
  (extract(epoch from expires_at) * 1000)::float8 as expires_ms, (extract(epoch from revoked_at) * 1000)::float8 as revoked_ms`

/** All that ever were, without what they are. */
export async function listKeys(pool: Pool): Promise<ListedKey[]> {
  const { rows } = await pool.query<KeyColumns>(
    `select ${keyColumns} from api_keys order by created_at, key_id`,
  )
  return rows.map((row) => ({
    id: row.key_id,
    name: row.name,
    scope: row.scope,
    devices: row.devices,
    attributes: row.attributes,
    createdMs: Math.floor(row.created_ms),
    expiresMs: row.expires_ms === null ? null : Math.floor(row.expires_ms),
    revokedMs: row.revoked_ms === null ? null : Math.floor(row.revoked_ms),
  }))
}

/** By name or id; false where none of it stands. Answers that are under way go on. */
export async function revokeKey(pool: Pool, macKey: Uint8Array, nameOrId: string): Promise<boolean> {
  const { rows } = await pool.query<KeyColumns>(
    `select ${keyColumns} from api_keys where (name = $1 or key_id = $1) and revoked_at is null`,
    [nameOrId],
  )
  const row = rows[0]
  if (row === undefined) return false
  // A row that was changed stays one that is not the operator's.
  const mac = isGenuine(macKey, row) ? macOfKeyRow(macKey, { ...row, revoked_ms: 0 }) : row.mac
  const { rowCount } = await pool.query(
    "update api_keys set revoked_at = now(), mac = $2 where key_id = $1 and revoked_at is null",
    [row.key_id, mac],
  )
  return rowCount === 1
}

export interface FindReaderOptions {
  /** From a loopback address, and by a name of this machine. */
  readonly isFromHere: boolean
  readonly nowMs: number
  /** By which the rows of keys are known to be the operator's. */
  readonly macKey: Uint8Array
  /** The digest of a key by its id, without a query for each; null where there is none. */
  readonly findDigest?: (id: string) => Promise<Uint8Array | null>
}

/**
 * Who asks: the holder of a key, or somebody on this machine while there is no key at all. A problem for anybody else.
 *
 * A key that is none costs no query of its own where `findDigest` knows. Revocation is read from the row each time.
 */
export async function findReader(
  pool: Pool,
  authorization: string | undefined,
  { isFromHere, nowMs, macKey, findDigest }: FindReaderOptions,
): Promise<Reader> {
  if (authorization === undefined) {
    if (isFromHere && !(await hasKeys(pool))) return localReader
    throw new Problem("key-needed", {
      detail: "send one as Authorization: Bearer tmk_…; the operator makes it by tidemark key create",
      parameter: "Authorization",
      rule: "must be Bearer and a key",
    })
  }
  const [, key = ""] = authorization.split(" ")
  const id = keyIdOf(authorization)
  if (id === null)
    throw refusal("what was sent is no key", "must be Bearer, a space, and a key that begins with tmk_", {
      reason: "key-malformed",
    })
  const unknown = () => refusal("there is no such key", "must be a key that tidemark key list shows")
  if (findDigest !== undefined) {
    const digest = await findDigest(id)
    // An id that nobody has and a secret that is not its own are one answer.
    if (!timingSafeEqual(digestOf(key), digest ?? new Uint8Array(32))) throw unknown()
  }
  const { rows } = await pool.query<KeyColumns>(`select ${keyColumns} from api_keys where key_id = $1`, [id])
  const row = rows[0]
  // An id that nobody has and a secret that is not its own are one answer, in one time.
  const isKnown = timingSafeEqual(digestOf(key), row?.digest ?? new Uint8Array(32))
  if (row === undefined || !isKnown) throw unknown()
  if (!isGenuine(macKey, row))
    throw refusal(
      `the row of key ${row.key_id} was written or changed past tidemark key create`,
      "must be as the operator made it: tidemark verify names such keys",
      { reason: "key-forged", keyId: row.key_id },
    )
  if (row.revoked_ms !== null)
    throw refusal(`key ${row.name} was revoked`, "must not be revoked", {
      reason: "key-revoked",
      keyId: row.key_id,
    })
  if (row.expires_ms !== null && row.expires_ms <= nowMs)
    throw refusal(`key ${row.name} has expired`, "must not have expired", {
      reason: "key-expired",
      keyId: row.key_id,
    })
  return {
    keyId: row.key_id,
    name: row.name,
    scope: await findScope(pool, row),
    mayExport: row.scope === "export",
  }
}

/** The id in `Bearer tmk_…`; null where it is no key at all. */
export function keyIdOf(authorization: string): string | null {
  const [scheme, key = "", ...rest] = authorization.split(" ")
  if (scheme?.toLowerCase() !== "bearer" || rest.length > 0) return null
  return keyPattern.exec(key)?.[1] ?? null
}

function refusal(detail: string, rule: string, facts: Pick<ProblemFacts, "reason" | "keyId"> = {}): Problem {
  return new Problem("key-refused", { detail, parameter: "Authorization", rule, ...facts })
}

/** An expired key counts until it is revoked: its end does not open the door to everybody. */
async function hasKeys(pool: Pool): Promise<boolean> {
  const { rows } = await pool.query<{ has: boolean }>(
    "select exists (select from api_keys where revoked_at is null) as has",
  )
  return rows[0]!.has
}

async function findScope(
  pool: Pool,
  { devices, attributes }: Pick<KeyColumns, "devices" | "attributes">,
): Promise<Reader["scope"]> {
  if (devices !== null) return new Set(devices)
  if (attributes === null) return null
  const { rows } = await pool.query<{ device_id: string }>(
    "select device_id from devices where attributes @> $1::jsonb order by device_id",
    [JSON.stringify(attributes)],
  )
  return new Set(rows.map((row) => row.device_id))
}

function digestOf(key: string): Uint8Array {
  return createHash("sha256").update(key).digest()
}
