/** What is said in place of a statement, or beside it, when something goes wrong: bytes by the seed, without I/O. */
import { equalBytes } from "../chain/bytes.ts"
import { parseHash } from "../chain/hash.ts"
import { type PublicKey, kidOf } from "../chain/key.ts"
import { negateS, signatureSize } from "../chain/signature.ts"
import {
  type Claims,
  type Statement,
  decodeStatement,
  encodeSignedBytes,
  encodeStatement,
} from "../chain/statement.ts"
import type { Verdict } from "../chain/verdict.ts"
import { type Signer, signLow } from "./device-sign.ts"
import type { Fault } from "./fault.ts"
import type { Random } from "./random.ts"

/** Faults that change what is said; the others change when and whether it is said. */
export type ForgedFault = Extract<
  Fault,
  {
    kind:
      | "truncate"
      | "flip-bit"
      | "wrong-key"
      | "wrong-device"
      | "gap"
      | "broken-link"
      | "fork"
      | "clone"
      | "high-s"
      | "oversized"
      | "garbage"
  }
>

export interface Forger {
  /** The key of the statement that is forged. */
  readonly signer: Signer
  /** A key that no device has. */
  readonly stranger: Signer
  /** The id of another device. */
  readonly neighbour: string
}

/** @param own what the device says at this place, and what a forgery is made from */
export function forge(fault: ForgedFault, own: Statement, forger: Forger, random: Random): Uint8Array {
  const { signer, stranger } = forger
  switch (fault.kind) {
    case "truncate":
      // Nothing at all would be a question.
      return own.bytes.slice(0, random.int(1, own.bytes.length - 1))
    case "flip-bit": {
      const bytes = Uint8Array.from(own.bytes)
      const bit = random.int(0, 8 * bytes.length - 1)
      bytes[bit >> 3]! ^= 1 << (bit & 7)
      return bytes
    }
    case "wrong-key":
      return fault.as === "stranger"
        ? sign({ ...own, ...keyClaimsOf(stranger.publicKey) }, stranger)
        : // With the right name and algorithm, so that only the equation is left to refuse it.
          encodeStatement(own, random.bytes(signatureSize))
    case "wrong-device":
      return sign({ ...own, iss: forger.neighbour }, signer)
    case "gap":
      return sign({ ...own, seq: own.seq + fault.skip, prev: parseHash(random.bytes(32)) }, signer)
    case "broken-link":
      return sign({ ...own, prev: parseHash(random.bytes(32)) }, signer)
    case "fork":
    case "clone":
      return sign({ ...own, iat: own.iat + 1 }, signer)
    case "high-s":
      return encodeStatement(own, negateS(own.signature))
    case "oversized":
      return fill(own, signer, fault.sizeBytes)
    default:
      return random.bytes(random.int(1, 300))
  }
}

function keyClaimsOf(key: PublicKey): Pick<Claims, "algorithm" | "kid"> {
  return { algorithm: key.algorithm, kid: kidOf(key) }
}

function sign(claims: Claims, signer: Signer): Uint8Array {
  return encodeStatement(claims, signLow(signer, encodeSignedBytes(claims)))
}

/** A statement of exactly so many bytes, but for the few that its lengths take. */
function fill(own: Statement, signer: Signer, sizeBytes: number): Uint8Array {
  const claims = { ...own, content: "application/octet-stream" }
  const empty = sign({ ...claims, payload: new Uint8Array(0) }, signer).length
  // The length of a byte string has one byte when it is empty, three up to 65,535 and five above.
  const head = sizeBytes - empty > 65_535 ? 4 : 2
  return sign({ ...claims, payload: new Uint8Array(Math.max(0, sizeBytes - empty - head)) }, signer)
}

/**
 * The verdict that must come to bytes which cannot be a statement of this device, by the first checks of FORMAT §4 in
 * their order: 11, 10, 12, 13, then 15. Of a changed statement nothing else can come, since its signature is over all.
 */
export function verdictOfDamaged(
  bytes: Uint8Array,
  deviceId: string,
  kids: readonly Uint8Array[],
): Extract<Verdict, "too-large" | "malformed" | "wrong-device" | "unknown-key" | "bad-signature"> {
  const decoded = decodeStatement(bytes)
  if (decoded.kind !== "statement") return decoded.kind
  const { iss, kid } = decoded.statement
  if (iss !== deviceId) return "wrong-device"
  return kids.some((known) => equalBytes(known, kid)) ? "bad-signature" : "unknown-key"
}
