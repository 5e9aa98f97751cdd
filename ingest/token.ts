/** Static tokens, for clients without a clock or with a CONNECT of 256 bytes (FORMAT §5). */
import { randomBytes, timingSafeEqual } from "node:crypto"
import type { Pool } from "pg"
import type { DeviceStatus } from "../chain/link.ts"
import { encodeUtf8, equalBytes, formatBase64url, formatHex } from "../chain/bytes.ts"
import { hmacNative, sha256Native } from "./native.ts"

/** 48 bytes: 256 bits of chance behind four letters that are neither a JWT's nor a statement's. */
export const tokenPattern = /^tmt_[A-Za-z0-9_-]{43}$/

/** What a device may have at once. */
export const tokensMax = 16

/**
 * A token as it is kept. No slow hash is needed: those are for passwords that people choose, of which one can try the
 * likely ones; here there are 2^256 equally likely ones, and one SHA-256 is as good as any number.
 */
export interface StoredToken {
  readonly id: string
  readonly digest: Uint8Array
  /** Unix seconds; null: never. */
  readonly expiresAt: number | null
  /** Its row is as the operator's command wrote it: anybody who can write to the database can make others. */
  readonly isGenuine: boolean
}

export interface ListedToken {
  readonly id: string
  readonly createdMs: number
  readonly expiresMs: number | null
}

export type TokenCreation =
  /** `token` is shown once, and nowhere else. */
  | { readonly kind: "created"; readonly id: string; readonly token: string }
  | { readonly kind: "unknown-device" }
  /** It was revoked for good. */
  | { readonly kind: "revoked-device" }
  | { readonly kind: "too-many" }

/** What the MAC of a token's row is over. */
export interface TokenRow {
  readonly device_id: string
  readonly token_id: string
  readonly digest: Uint8Array
  /** Unix ms, as the database gives it. */
  readonly expiresMs: number | null
}

/** @param macKey `accessKeyOf` the log's keys */
export function macOfToken(
  macKey: Uint8Array,
  { device_id, token_id, digest, expiresMs }: TokenRow,
): Uint8Array {
  const expires = expiresMs === null ? null : Math.round(expiresMs)
  return hmacNative(
    macKey,
    encodeUtf8(JSON.stringify(["tidemark/login-token", device_id, token_id, formatHex(digest), expires])),
  )
}

export function isTokenGenuine(macKey: Uint8Array, row: TokenRow, mac: Uint8Array | null): boolean {
  return mac !== null && equalBytes(mac, macOfToken(macKey, row))
}

/** Tokens whose rows were not written by the operator's commands, or were changed: `device/token`. */
export async function listForgedTokens(pool: Pool, macKey: Uint8Array): Promise<readonly string[]> {
  const { rows } = await pool.query<
    Omit<TokenRow, "expiresMs"> & { readonly expires_ms: number | null; readonly mac: Uint8Array | null }
  >(
    `select device_id, token_id, digest, (extract(epoch from expires_at) * 1000)::float8 as expires_ms, mac
     from login_tokens order by device_id, token_id`,
  )
  return rows
    .filter((row) => !isTokenGenuine(macKey, { ...row, expiresMs: row.expires_ms }, row.mac))
    .map((row) => `${row.device_id}/${row.token_id}`)
}

/**
 * Makes a token for an enrolled device.
 *
 * @param macKey `accessKeyOf` the log's keys
 */
export async function createToken(
  pool: Pool,
  macKey: Uint8Array,
  device: string,
  expiresMs: number | null,
  random: (size: number) => Uint8Array = randomBytes,
): Promise<TokenCreation> {
  const token = `tmt_${formatBase64url(random(32))}`
  const id = formatHex(random(4))
  const digest = digestOf(token)
  const mac = macOfToken(macKey, { device_id: device, token_id: id, digest, expiresMs })
  const { rows } = await pool.query<{ made: boolean; status: DeviceStatus }>(
    `with device as (select device_id, status from devices where device_id = $1),
          made as (insert into login_tokens (device_id, token_id, digest, expires_at, mac)
            select device_id, $2, $3, to_timestamp($4::float8 / 1000), $6 from device
            where status <> 'revoked' and (select count(*) from login_tokens where device_id = $1) < $5 returning 1)
     select exists (select from made) as made, status from device`,
    [device, id, digest, expiresMs, tokensMax, mac],
  )
  if (rows[0] === undefined) return { kind: "unknown-device" }
  if (rows[0].status === "revoked") return { kind: "revoked-device" }
  return rows[0].made ? { kind: "created", id, token } : { kind: "too-many" }
}

/** A device's tokens, without what they are. */
export async function listTokens(pool: Pool, device: string): Promise<ListedToken[]> {
  const { rows } = await pool.query<{ token_id: string; created_ms: number; expires_ms: number | null }>(
    `select token_id, (extract(epoch from created_at) * 1000)::bigint as created_ms,
            (extract(epoch from expires_at) * 1000)::bigint as expires_ms
     from login_tokens where device_id = $1 order by created_at, token_id`,
    [device],
  )
  return rows.map((row) => ({ id: row.token_id, createdMs: row.created_ms, expiresMs: row.expires_ms }))
}

/**
 * False where there is no such token. The device's epoch is raised with it, as by a change of the registry: a connection
 * that stands, by whatever login, ends at its next statement or question, and the device logs in again.
 */
export async function revokeToken(pool: Pool, device: string, id: string): Promise<boolean> {
  const { rowCount } = await pool.query(
    `with ended as (delete from login_tokens where device_id = $1 and token_id = $2 returning device_id)
     update chain_heads h set epoch = h.epoch + 1 from ended where h.device_id = ended.device_id`,
    [device, id],
  )
  return rowCount === 1
}

/** Which of a device's tokens this is; each is compared, in the same time wherever they differ. */
export function findToken(tokens: readonly StoredToken[], text: string): StoredToken | null {
  const digest = digestOf(text)
  let found: StoredToken | null = null
  for (const token of tokens) if (timingSafeEqual(token.digest, digest)) found = token
  return found
}

function digestOf(token: string): Uint8Array {
  return sha256Native(encodeUtf8(token))
}
