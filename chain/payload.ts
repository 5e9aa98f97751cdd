/**
 * What a statement's payload says. It never keeps a statement out (FORMAT §4): a fault inside it means "accepted,
 * unread", and what is not ours to read is opaque.
 */
import { FormatFault } from "./cbor.ts"
import { type Lost, decodeLost } from "./lost.ts"
import { type Registry, decodeRegistry } from "./registry.ts"
import { decodePack, decodePackByRule01, latestOf } from "./senml.ts"
import type { Series } from "./series.ts"
import { type Claims, contentLost, contentRegistry, contentSenml } from "./statement.ts"

export type Payload =
  | { readonly kind: "readings"; readonly series: readonly Series[] }
  | { readonly kind: "lost"; readonly lost: Lost }
  | { readonly kind: "registry"; readonly registry: Registry }
  | { readonly kind: "opaque" }
  | { readonly kind: "unread"; readonly rule: string; readonly offset: number }

/** The rule of a statement that is stored unread because the database would not take its series; the audit remarks on it. */
export const ruleOfRefusedSeries = "the database refused the series"

export function readPayload(claims: Pick<Claims, "content" | "payload">): Payload {
  return readBy(decodePack, claims)
}

/** The same by the rule of version 0.1: the audit asks it of statements that were stored unread (FORMAT §3). */
export function readPayloadByRule01(claims: Pick<Claims, "content" | "payload">): Payload {
  return readBy(decodePackByRule01, claims)
}

function readBy(
  decodeReadings: (bytes: Uint8Array) => readonly Series[],
  { content, payload }: Pick<Claims, "content" | "payload">,
): Payload {
  try {
    if (content === contentSenml) return { kind: "readings", series: decodeReadings(payload) }
    if (content === contentLost) return { kind: "lost", lost: decodeLost(payload) }
    if (content === contentRegistry) return { kind: "registry", registry: decodeRegistry(payload) }
    return { kind: "opaque" }
  } catch (error) {
    if (!(error instanceof FormatFault)) throw error
    return { kind: "unread", rule: error.rule, offset: error.offset }
  }
}

/** Seconds that a device's clock may be ahead of the service's (FORMAT §4, code 4). */
export const aheadMax = 300

/** Whether iat or a reading lies more than 300 s ahead of the arrival. */
export function isAhead(iat: number, payload: Payload, receivedAtMs: number): boolean {
  const latest = payload.kind === "readings" ? Math.max(iat, latestOf(payload.series)) : iat
  return latest > receivedAtMs / 1000 + aheadMax
}
