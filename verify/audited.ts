/**
 * How far an audit came, to go on from. Who can write the file where that is kept could have blocks passed over that
 * nobody looked at, so it carries a MAC by a key that the database does not have; and what it says of the log is held
 * against the log again. Who has the key needs no such trick: the log's other keys are beside it.
 */
import { encodeUtf8, equalBytes, formatBase64, formatHex, parseBase64, parseHex } from "../chain/bytes.ts"
import { type Hash, parseHash } from "../chain/hash.ts"
import type { Hmac } from "../chain/heads.ts"

/** The end of a block, up to which everything was found good. */
export interface AuditedPlace {
  readonly height: number
  /** Of the tree, with the block's manifest. */
  readonly size: number
  readonly root: Hash
  /** Devices' statements up to here, and the readings in them. */
  readonly statements: number
  readonly readings: number
  /** Unix ms. */
  readonly auditedAtMs: number
}

const magic = "tidemark-audited/1"

/** Seven lines and their MAC in hex: `tidemark-audited/1`, origin, height, size, root, statements and readings, time. */
export function formatAudited(place: AuditedPlace, origin: string, key: Uint8Array, hmac: Hmac): string {
  const text = textOf(place, origin)
  return `${text}${formatHex(hmac(key, encodeUtf8(text)))}\n`
}

function textOf(
  { height, size, root, statements, readings, auditedAtMs }: AuditedPlace,
  origin: string,
): string {
  return `${[magic, origin, height, size, formatBase64(root), `${statements} ${readings}`, auditedAtMs].join("\n")}\n`
}

/** Takes exactly what `formatAudited` makes for this log with this key; null for anything else. */
export function parseAudited(text: string, origin: string, key: Uint8Array, hmac: Hmac): AuditedPlace | null {
  const lines = text.split("\n")
  if (lines.length !== 9) return null
  const [, , height, size, root, counts, auditedAtMs, mac] = lines as [
    string,
    string,
    string,
    string,
    string,
    string,
    string,
    string,
  ]
  const given = parseHex(mac)
  const signed = text.slice(0, text.length - mac.length - 1)
  if (given === null || !equalBytes(hmac(key, encodeUtf8(signed)), given)) return null
  const rootBytes = parseBase64(root)
  if (rootBytes?.length !== 32) return null
  const [statements = "", readings = ""] = counts.split(" ")
  const place: AuditedPlace = {
    height: Number(height),
    size: Number(size),
    root: parseHash(rootBytes),
    statements: Number(statements),
    readings: Number(readings),
    auditedAtMs: Number(auditedAtMs),
  }
  // Also of a log with this name: what parses prints to the same text.
  return formatAudited(place, origin, key, hmac) === text ? place : null
}
