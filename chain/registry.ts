/** Registry statements (FORMAT §7): who may sign for which device, on the operator's chain. */
import { encodeUtf8 } from "./bytes.ts"
import { type CborInput, CborKeys, CborReader, type CborValue, encodeCbor, readInside } from "./cbor.ts"
import { type Hash, parseHash } from "./hash.ts"
import { type PrivateKey, type PublicKey, coseKeyMap, decodeCoseKey, thumbprintOf } from "./key.ts"
import {
  type VerifyEquation,
  checkSignature,
  signMessage,
  signatureSize,
  verifyEquation,
} from "./signature.ts"

export const registryActions = [
  "enrol",
  "rotate",
  "revoke",
  "suspend",
  "resume",
  "trust-ca",
  "distrust-ca",
] as const
export type RegistryAction = (typeof registryActions)[number]

/** The members that are there, by the number of FORMAT §7; which an action must have is for who applies it. */
export interface Registry {
  readonly action: RegistryAction
  /** 2: the device, or the CA's name. */
  readonly device: string
  /** 3: entry of the previous registry statement about the device, zeros for the first; absent in a device's own request. */
  readonly previous?: Hash
  /** 4 */
  readonly key?: PublicKey
  /** 5: first seq of that key. */
  readonly firstSeq?: number
  /** 6 */
  readonly lastGoodSeq?: number
  /** 7: proof of the new key, 64 bytes. */
  readonly proofOfNew?: Uint8Array
  /** 8: proof of the old key, 64 bytes. */
  readonly proofOfOld?: Uint8Array
  /** 9 */
  readonly reason?: string
  /** 10: entry of the device's own request. */
  readonly request?: Hash
  /** 11: SHA-256 of the CA's certificate. */
  readonly caDigest?: Hash
  /** 12: make, model, firmware. */
  readonly attributes?: ReadonlyMap<string, string>
}

/** Members by number (FORMAT §7). */
const memberNames = [
  ["action", 1],
  ["device", 2],
  ["previous", 3],
  ["key", 4],
  ["firstSeq", 5],
  ["lastGoodSeq", 6],
  ["proofOfNew", 7],
  ["proofOfOld", 8],
  ["reason", 9],
  ["request", 10],
  ["caDigest", 11],
  ["attributes", 12],
] as const

/** The members that are there, by number, ascending. */
export function listMembers(registry: Registry): number[] {
  return memberNames.flatMap(([name, number]) => (registry[name] === undefined ? [] : [number]))
}

/** Members of the operator's registry statements by action: 1 to 3 always, then what must be there and what may be. */
const membersOf: Readonly<
  Record<RegistryAction, { readonly must: readonly number[]; readonly may: readonly number[] }>
> = {
  enrol: { must: [4, 5], may: [7, 11, 12] },
  rotate: { must: [4, 5], may: [7, 8, 9, 10] },
  revoke: { must: [], may: [6, 9] },
  suspend: { must: [], may: [9] },
  resume: { must: [], may: [9] },
  "trust-ca": { must: [11], may: [9] },
  "distrust-ca": { must: [11], may: [9] },
}

/** A member that a registry statement of the operator lacks, or one that does not belong into it; or null. */
export function findMemberFault(registry: Registry): string | null {
  const { must, may } = membersOf[registry.action]
  const members = listMembers(registry)
  const missing = must.find((number) => !members.includes(number))
  if (missing !== undefined) return `${registry.action} has no member ${missing}`
  const extra = members.find((number) => number > 3 && !must.includes(number) && !may.includes(number))
  if (extra !== undefined) return `member ${extra} does not belong to ${registry.action}`
  // FORMAT §7: 10 stands in place of 8, and what a device asks for itself is proven by its new key.
  if (registry.request === undefined) return null
  if (registry.proofOfOld !== undefined) return "10 stands in place of 8, not beside it"
  return registry.proofOfNew === undefined ? "a rotation with 10 has 7 as well" : null
}

export function encodeRegistry(registry: Registry): Uint8Array {
  const members = new Map<number, CborInput>()
  for (const [name, number] of memberNames) {
    const value = registry[name]
    if (value === undefined) continue
    if (name === "action") members.set(number, registryActions.indexOf(registry.action) + 1)
    // The COSE_Key stands as a map, not as bytes inside a string.
    else if (name === "key") members.set(number, coseKeyMap(registry.key!))
    else members.set(number, value as CborInput)
  }
  return encodeCbor(members)
}

/** Takes exactly what `encodeRegistry` makes: only the keys and items given, deterministic. Throws a FormatFault. */
export function decodeRegistry(bytes: Uint8Array): Registry {
  const reader = new CborReader(bytes, "deterministic")
  const keys = new CborKeys(reader)
  const members = new Map<number, CborValue | PublicKey>()
  for (let left = reader.enterMap("a registry statement"); left > 0; left--) {
    const start = reader.offset
    const key = keys.next()
    if (typeof key !== "number" || key < 1 || key > 12)
      reader.fault("members of a registry statement are 1 to 12", start)
    members.set(key as number, readMember(reader, key as number))
  }
  reader.leave()
  reader.end()
  if (!members.has(1) || !members.has(2)) reader.fault("1 (action) and 2 (device) are missing", 0)
  // Each member was read by its own rule, so it has the type that its name says.
  const entries = memberNames.flatMap(([name, number]) =>
    members.has(number) ? [[name, members.get(number)]] : [],
  )
  return Object.fromEntries(entries) as Registry
}

function readMember(reader: CborReader, label: number): CborValue | PublicKey {
  const start = reader.offset
  const sized = (size: number, what: string): Uint8Array => {
    const value = reader.readBytes(what)
    return value.length === size ? Uint8Array.from(value) : reader.fault(`${what} has ${size} bytes`, start)
  }
  switch (label) {
    case 1:
      return registryActions[reader.readUint("an action") - 1] ?? reader.fault("an action is 1 to 7", start)
    case 2: {
      const device = reader.readText("a device")
      return device.length >= 1 && device.length <= 128
        ? device
        : reader.fault("a name has 1 to 128 characters", start)
    }
    case 4: {
      reader.readValue()
      return readInside(start, () => decodeCoseKey(reader.bytes.subarray(start, reader.offset)))
    }
    case 5: {
      const seq = reader.readUint("a first seq")
      return seq >= 1 ? seq : reader.fault("a first seq is at least 1", start)
    }
    case 6:
      return reader.readUint("a last good seq")
    case 7:
    case 8:
      return sized(signatureSize, "a proof")
    case 9:
      return reader.readText("a reason")
    case 12: {
      const attributes = reader.readValue()
      const isTexts =
        attributes instanceof Map &&
        [...attributes].every(([name, value]) => typeof name === "string" && typeof value === "string")
      return isTexts ? attributes : reader.fault("attributes are a map of text to text", start)
    }
    default:
      return parseHash(sized(32, "an entry or a digest"))
  }
}

/**
 * Proof of possession of `signer`, for the enrolment of `newKey` (the same key at enrolment; the old one at rotation).
 */
export function proveKey(
  signer: PrivateKey,
  origin: string,
  device: string,
  firstSeq: number,
  newKey: PublicKey,
): Uint8Array {
  return signMessage(signer, encodeKeyProof(signer.publicKey, origin, device, firstSeq, newKey))
}

export function checkKeyProof(
  signer: PublicKey,
  proof: Uint8Array,
  origin: string,
  device: string,
  firstSeq: number,
  newKey: PublicKey,
  verify: VerifyEquation = verifyEquation,
): boolean {
  const message = encodeKeyProof(signer, origin, device, firstSeq, newKey)
  return checkSignature(signer, signer.algorithm, message, proof, verify) === "good"
}

/** The external_aad of a proof, so that it can be no statement, whose own is empty. */
const keyProofAad = encodeUtf8("tidemark/enrol")

/**
 * What a proof signs: the Sig_structure of RFC 9052 §4.4 with an external_aad, so that a stock COSE library makes a proof:
 * `["Signature1", bstr({1: alg}), 'tidemark/enrol', bstr(cbor([origin, device, first seq, thumbprint]))]` (FORMAT §7, where
 * the third item was a text, which no such library can sign).
 */
export function encodeKeyProof(
  signer: PublicKey,
  origin: string,
  device: string,
  firstSeq: number,
  newKey: PublicKey,
): Uint8Array {
  return encodeCbor([
    "Signature1",
    encodeCbor(new Map([[1, signer.algorithm]])),
    keyProofAad,
    encodeCbor([origin, device, firstSeq, thumbprintOf(newKey)]),
  ])
}
