/** What the items of statements, receipts and COSE Receipts are called, and what their values mean to a person. */
import { formatHex } from "./bytes.ts"
import type { DumpValue, Shape } from "./dump.ts"
import { lostReasons } from "./lost.ts"
import { registryActions } from "./registry.ts"
import { contentBlock, contentLost, contentPolicy, contentRegistry, contentSenml } from "./statement.ts"
import { type VerdictCode, parseVerdictCode, verdictAdvice } from "./verdict.ts"

const nothing: Shape = {}

/** ISO time of Unix seconds, or null where there is none: JavaScript's dates end in the year 275760. */
export function formatSeconds(seconds: number): string | null {
  const ms = seconds * 1000
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString().replace(".000Z", "Z") : null
}

const seconds = (value: DumpValue): string | null => (typeof value === "number" ? formatSeconds(value) : null)

const milliseconds = (value: DumpValue): string | null =>
  typeof value === "number" ? seconds(value / 1000) : null

const isZeros = (value: Uint8Array): boolean => value.every((byte) => byte === 0)

const hex = (value: DumpValue): string | null => (value instanceof Uint8Array ? formatHex(value) : null)

/** The value itself, and what it means. */
function named(name: string, says?: Shape["says"]): Shape {
  return says === undefined ? { name } : { name, says }
}

function wordOf(words: Readonly<Record<number, string>>): Shape["says"] {
  return (value) => {
    const word = typeof value === "number" ? words[value] : undefined
    return word === undefined ? null : `${value as number}, ${word}`
  }
}

function members(table: Readonly<Record<string, Shape>>): NonNullable<Shape["members"]> {
  return (key) => (Object.hasOwn(table, key) ? table[key]! : nothing)
}

const coseKey: Shape = {
  members: members({
    1: named("kty", wordOf({ 1: "OKP", 2: "EC2" })),
    [-1]: named("crv", wordOf({ 1: "P-256", 6: "Ed25519" })),
    [-2]: named("x"),
    [-3]: named("y"),
  }),
}

/** A COSE_Sign1 as FORMAT §1 has it. The payload's shape follows from the content type before it. */
export function statementShape(): Shape {
  let content: DumpValue = null
  const claims: Shape = {
    name: "CWT claims",
    members: members({
      1: named("iss"),
      2: named("sub"),
      6: named("iat", seconds),
      [-65_537]: named("seq"),
      [-65_538]: named("prev", (value) =>
        value instanceof Uint8Array && value.length === 32
          ? isZeros(value)
            ? "zeros, for the first"
            : formatHex(value)
          : null,
      ),
    }),
  }
  const header: Shape = {
    members: members({
      1: named("alg", wordOf({ [-19]: "Ed25519", [-9]: "ESP256 (P-256 with SHA-256)" })),
      3: named("content type", (value) => {
        content = value
        return value === contentSenml ? "112, SenML in CBOR" : null
      }),
      4: named("kid", hex),
      15: claims,
      258: named("payload-hash-alg", wordOf({ [-16]: "SHA-256", [-43]: "SHA-384", [-44]: "SHA-512" })),
      259: named("content type of what was hashed"),
      260: named("where it lies"),
    }),
  }
  return {
    items: (index) =>
      [
        { name: "1. protected header", inside: () => header },
        { name: "2. unprotected header", members: members({ 394: receipts }) },
        { name: "3. payload", inside: () => payloadShape(content) },
        { name: "4. signature" },
      ][index] ?? nothing,
  }
}

const proofShape: Shape = {
  items: (index) =>
    [
      named("size of the tree"),
      named("index of the leaf"),
      { name: "path", items: () => ({ name: "node", says: hex }) },
    ][index] ?? nothing,
}

/** A COSE Receipt of inclusion (RFC 9942). */
export const coseReceiptShape: Shape = {
  items: (index) =>
    [
      {
        name: "1. protected header",
        inside: () => ({
          members: members({
            1: named("alg", wordOf({ [-19]: "Ed25519", [-9]: "ESP256 (P-256 with SHA-256)" })),
            4: named("kid", hex),
            15: { name: "CWT claims", members: members({ 1: named("iss"), 2: named("sub") }) },
            395: named("vds", wordOf({ 1: "RFC9162_SHA256" })),
            [-65_539]: named("size of the tree"),
          }),
        }),
      },
      {
        name: "2. unprotected header",
        members: members({
          396: {
            name: "vdp",
            members: members({
              [-1]: {
                name: "inclusion proofs",
                items: () => ({ name: "a proof", inside: () => proofShape }),
              },
              [-2]: { name: "consistency proofs" },
            }),
          },
        }),
      },
      { name: "3. payload" },
      { name: "4. signature" },
    ][index] ?? nothing,
}

/** `[seq, receipt]` (FORMAT.md §5). */
export const sealedAnswerShape: Shape = {
  name: "an answer",
  items: (index) => [named("seq"), { name: "receipt", inside: () => coseReceiptShape }][index] ?? nothing,
}

/** Of a Transparent Statement. */
const receipts: Shape = {
  name: "receipts",
  items: () => ({ name: "a receipt", inside: () => coseReceiptShape }),
}

function payloadShape(content: DumpValue): Shape | null {
  if (content === contentSenml) return { name: "a SenML pack", items: () => record }
  if (content === contentLost) return lost
  if (content === contentRegistry) return registry
  if (content === contentPolicy) return policy
  if (content === contentBlock) return block
  return null
}

/** RFC 8428 §6, RFC 9193. */
const record: Shape = {
  name: "a record",
  members: members({
    [-1]: named("bver"),
    [-2]: named("bn, base name"),
    [-3]: named("bt, base time", seconds),
    [-4]: named("bu, base unit"),
    [-5]: named("bv, base value"),
    [-6]: named("bs, base sum"),
    0: named("n, name"),
    1: named("u, unit"),
    2: named("v, number"),
    3: named("vs, text"),
    4: named("vb, boolean"),
    5: named("s, sum"),
    6: named("t, time", (value) => (typeof value === "number" && value >= 2 ** 28 ? seconds(value) : null)),
    7: named("ut, update time"),
    8: {
      name: "vd, bytes",
      // A map of four: which content type it has may only come behind it.
      inside: (bytes) => (bytes[0] === 0xa4 ? waveform : null),
    },
  }),
}

const waveform: Shape = {
  members: members({
    data: {
      says: (value) => (value instanceof Uint8Array ? `int16, little-endian, ${value.length} bytes` : null),
    },
    period: { says: (value) => (typeof value === "number" ? `${value} ms` : null) },
  }),
}

const lost: Shape = {
  name: "lost readings",
  items: (index) =>
    [
      named("reason", wordOf(Object.fromEntries(lostReasons.map((word, place) => [place + 1, word])))),
      named("how many"),
      named("from", seconds),
      named("to", seconds),
    ][index] ?? nothing,
}

const registry: Shape = {
  members: members({
    1: named("action", wordOf(Object.fromEntries(registryActions.map((word, place) => [place + 1, word])))),
    2: named("device"),
    3: named("entry of the last registry statement about it"),
    4: { ...coseKey, name: "key" },
    5: named("its first seq"),
    6: named("last good seq"),
    7: named("proof by the new key"),
    8: named("proof by the old key"),
    9: named("reason"),
    10: named("entry of the device's request"),
    11: named("SHA-256 of the CA's certificate"),
    12: named("attributes"),
  }),
}

const policy: Shape = {
  members: members({
    1: named("origin"),
    2: named("vkey of the log"),
    3: { ...coseKey, name: "the operator's key" },
    4: { ...coseKey, name: "the key for receipts" },
    5: named("protocol version"),
  }),
}

const block: Shape = {
  members: members({
    1: named("height"),
    2: named("from", milliseconds),
    3: named("to", milliseconds),
    4: named("first leaf"),
    5: named("size"),
    6: named("root"),
    7: named("heads root"),
    8: named("blocks root"),
    9: named("arrivals root"),
    10: named("summary"),
  }),
}

/** `[code, seq, head seq, head entry, now]` (FORMAT §5). */
export const receiptShape: Shape = {
  name: "a receipt",
  items: (index) =>
    [
      named("code", (value) => {
        const verdict = typeof value === "number" ? parseVerdictCode(value) : null
        return verdict === null ? null : `${value as VerdictCode}, ${verdict}: ${verdictAdvice[verdict]}`
      }),
      named("seq"),
      named("head seq"),
      named("head entry", (value) =>
        value instanceof Uint8Array && isZeros(value) ? "zeros: no statement yet" : hex(value),
      ),
      named("now, the service's clock", seconds),
    ][index] ?? nothing,
}
