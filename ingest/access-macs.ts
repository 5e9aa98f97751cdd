/**
 * MACs of rows that older versions wrote without one: made once for each data folder, by a start that says so. A later row
 * without a MAC was written by somebody else, and gives no access.
 */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import type { Pool } from "pg"
import { encodeUtf8, equalBytes, formatHex, parseHex } from "../chain/bytes.ts"
import { replaceFile } from "../disk/durable.ts"
import { inTransaction } from "./database/pool.ts"
import { type LogKeys, accessKeyOf } from "./log-keys.ts"
import { hmacNative } from "./native.ts"
import { macOfToken } from "./token.ts"

/** MAC of an API key's row, by `research/key.ts`. */
export type MacOfKeyRow = (macKey: Uint8Array, row: Readonly<Record<string, unknown>>) => Uint8Array

export interface AdoptOptions {
  readonly pool: Pool
  readonly dataFolder: string
  readonly keys: Pick<LogKeys, "origin" | "headsSecret">
  /** Columns that it reads of `api_keys`, and the MAC of such a row. */
  readonly apiKeys: { readonly columns: string; readonly macOf: MacOfKeyRow }
}

export interface Adopted {
  readonly apiKeys: number
  readonly tokens: number
}

const noteOf = (dataFolder: string): string => join(dataFolder, "access-macs")

/** Null where it was done before: nothing is adopted a second time. */
export async function adoptAccessRows(options: AdoptOptions): Promise<Adopted | null> {
  const { dataFolder, keys } = options
  const macKey = accessKeyOf(keys)
  const note = hmacNative(macKey, encodeUtf8(`adopted ${keys.origin}`))
  const kept = await readFile(noteOf(dataFolder), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null
    throw error
  })
  const given = kept === null ? null : parseHex(kept.trim())
  if (given !== null && equalBytes(given, note)) return null
  const adopted = await adopt(options, macKey)
  // A crash before this: the next start finds rows with a good MAC, and adopts nothing more.
  await replaceFile(noteOf(dataFolder), `${formatHex(note)}\n`)
  return adopted
}

interface TokenColumns {
  readonly device_id: string
  readonly token_id: string
  readonly digest: Uint8Array
  readonly expires_ms: number | null
  readonly mac: Uint8Array | null
}

function isGood(mac: unknown, made: Uint8Array): boolean {
  return mac instanceof Uint8Array && equalBytes(mac, made)
}

function adopt({ pool, apiKeys }: AdoptOptions, macKey: Uint8Array): Promise<Adopted> {
  return inTransaction(pool, async (client) => {
    await client.query("lock table api_keys, login_tokens in share row exclusive mode")
    const { rows: keys } = await client.query<Record<string, unknown>>(
      `select ${apiKeys.columns} from api_keys`,
    )
    const { rows: tokens } = await client.query<TokenColumns>(
      `select device_id, token_id, digest, (extract(epoch from expires_at) * 1000)::float8 as expires_ms, mac
       from login_tokens`,
    )
    const keyMacs = keys.map((row) => ({ row, mac: apiKeys.macOf(macKey, row) }))
    const tokenMacs = tokens.map((row) => ({
      row,
      mac: macOfToken(macKey, { ...row, expiresMs: row.expires_ms }),
    }))
    // Another folder of this log adopted them before: what has no MAC now came later.
    const isDone = [...keyMacs, ...tokenMacs].some(({ row, mac }) =>
      isGood(row["mac" as keyof typeof row], mac),
    )
    if (isDone) return { apiKeys: 0, tokens: 0 }
    const bareKeys = keyMacs.filter(({ row }) => row["mac"] === null)
    const bareTokens = tokenMacs.filter(({ row }) => row.mac === null)
    await client.query(
      "update api_keys k set mac = n.mac from unnest($1::text[], $2::bytea[]) as n(key_id, mac) where k.key_id = n.key_id",
      [bareKeys.map(({ row }) => row["key_id"]), bareKeys.map(({ mac }) => mac)],
    )
    await client.query(
      `update login_tokens t set mac = n.mac from unnest($1::text[], $2::text[], $3::bytea[]) as n(device_id, token_id, mac)
       where t.device_id = n.device_id and t.token_id = n.token_id`,
      [
        bareTokens.map(({ row }) => row.device_id),
        bareTokens.map(({ row }) => row.token_id),
        bareTokens.map(({ mac }) => mac),
      ],
    )
    return { apiKeys: bareKeys.length, tokens: bareTokens.length }
  })
}
