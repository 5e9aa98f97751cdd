/** Static tokens, for clients without a clock or with a CONNECT of 256 bytes (PROTOCOL §5). */
import { randomBytes, timingSafeEqual } from "node:crypto"
import type { Pool } from "pg"
import type { DeviceStatus } from "../chain/link.ts"
import { encodeUtf8, formatBase64url, formatHex } from "../chain/bytes.ts"
import { sha256Native } from "./native.ts"

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

/** Makes a token for an enrolled device. */
export async function createToken(
  pool: Pool,
  device: string,
  expiresMs: number | null,
  random: (size: number) => Uint8Array = randomBytes,
): Promise<TokenCreation> {
  const token = `tmt_${formatBase64url(random(32))}`
  const id = formatHex(random(4))
  const { rows } = await pool.query<{ made: boolean; status: DeviceStatus }>(
    `with device as (select device_id, status from devices where device_id = $1),
          made as (insert into login_tokens (device_id, token_id, digest, expires_at)
            select device_id, $2, $3, to_timestamp($4::float8 / 1000) from device
            where status <> 'revoked' and (select count(*) from login_tokens where device_id = $1) < $5 returning 1)
     select exists (select from made) as made, status from device`,
    [device, id, digestOf(token), expiresMs, tokensMax],
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
