/** The reader's word as it was typed or dropped, read strictly. */
import { parseHex } from "../../chain/bytes.ts"
import { type Hash, hashSize, parseHash } from "../../chain/hash.ts"
import { parseVkey } from "../../chain/note.ts"
import { type TlogPolicy, parseTlogPolicy, policyOfLog } from "../../chain/tlog-policy.ts"
import type { EvidenceTrust } from "../evidence-trust.ts"
import type { TrustGiven } from "./message.ts"

/** The trust; null where nobody is trusted; or a sentence that says why it is none. */
export function readTrust(given: TrustGiven): EvidenceTrust | null | string {
  const deviceKeys = readThumbprints(given.deviceKeys ?? "")
  if (typeof deviceKeys === "string") return deviceKeys
  const since = (given.since ?? "").trim()
  const sinceMs = since === "" ? null : parseInstant(since)
  if (since !== "" && sinceMs === null)
    return "This is no time: write it such as 2026-01-31 or 2026-01-31T12:00:00Z."
  const demands = {
    ...(deviceKeys.length === 0 ? {} : { deviceKeys }),
    ...(sinceMs === null ? {} : { sinceMs }),
  }
  if (given.kind === "none")
    return Object.keys(demands).length === 0
      ? null
      : "Name the log's key or a policy file too: under no trusted checkpoint the other demands say nothing."
  const policy = given.kind === "vkey" ? readVkey(given.text) : readPolicy(given.bytes)
  return typeof policy === "string" ? policy : { policy, ...demands }
}

function readVkey(text: string): TlogPolicy | string {
  const key = parseVkey(text.trim())
  if (key !== null) return policyOfLog(key)
  return "This is no log key. One is written as name+hash+key, on one line, as the log's operator gives it."
}

function readPolicy(bytes: Uint8Array): TlogPolicy | string {
  const parsed = parseTlogPolicy(bytes)
  if (parsed.kind === "policy") return parsed.policy
  // A file that holds a log's key and nothing else is meant as one.
  const key = parseVkey(new TextDecoder().decode(bytes).trim())
  if (key !== null) return policyOfLog(key)
  return `This is no policy file: line ${parsed.line}: ${parsed.rule}.`
}

function readThumbprints(text: string): readonly Hash[] | string {
  const found: Hash[] = []
  for (const one of text.split(/[\s,;]+/).filter((part) => part !== "")) {
    const bytes = parseHex(one.toLowerCase())
    if (bytes?.length !== hashSize)
      return "A thumbprint of a key is 64 hexadecimal digits, as the report of a verification shows it."
    found.push(parseHash(bytes))
  }
  return found
}

/** Unix ms; a date is its beginning in UTC; a time without its offset is none. */
function parseInstant(text: string): number | null {
  if (!/^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?$/.test(text)) return null
  const unixMs = Date.parse(text)
  return Number.isNaN(unixMs) ? null : unixMs
}
