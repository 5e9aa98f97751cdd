/** The first leaf of every log: whose log it is (FORMAT §6). */
import { type CborInput, CborReader, FormatFault, encodeCbor, readInside } from "./cbor.ts"
import { type PublicKey, algorithmEd25519, coseKeyMap, decodeCoseKey, equalKeys } from "./key.ts"
import type { ChainBinding, ProtocolVersion } from "./genesis.ts"
import { isNoteName, parseVkey } from "./note.ts"
import { devicePattern } from "./statement.ts"

export interface Policy extends ChainBinding {
  readonly origin: string
  readonly operatorKey: PublicKey
  readonly receiptKey: PublicKey
}

/** Why a text cannot be a log's origin, or null. */
export function findOriginFault(origin: string): string | null {
  if (!isNoteName(origin)) return "an origin is not empty and has neither spaces nor +"
  if (origin.length > 255) return "an origin has at most 255 characters"
  // Devices and the operator share one table of chains, and a device must never be able to speak as the operator.
  if (devicePattern.test(origin))
    return "an origin must not look like a device id: use a host and a path, such as example.org/log"
  return null
}

export function encodePolicy(policy: Policy): Uint8Array {
  return encodeCbor(
    new Map<number, CborInput>([
      [1, policy.origin],
      [2, policy.logVkey],
      [3, coseKeyMap(policy.operatorKey)],
      [4, coseKeyMap(policy.receiptKey)],
      [5, policy.version],
    ]),
  )
}

/** Takes exactly what `encodePolicy` makes, with three different Ed25519 keys. Throws a FormatFault. */
export function decodePolicy(bytes: Uint8Array): Policy {
  const reader = new CborReader(bytes, "deterministic")
  if (reader.enterMap("a policy") !== 5) reader.fault("a policy has members 1 to 5", 0)
  const label = (expected: number): void => {
    const start = reader.offset
    if (reader.readInt("a label") !== expected) reader.fault(`member ${expected} expected`, start)
  }
  label(1)
  const origin = reader.readText("origin")
  label(2)
  const logVkey = reader.readText("the log's vkey")
  const key = (expected: number): PublicKey => {
    label(expected)
    const start = reader.offset
    reader.readValue()
    return readInside(start, () => decodeCoseKey(reader.bytes.subarray(start, reader.offset)))
  }
  const operatorKey = key(3)
  const receiptKey = key(4)
  label(5)
  const versionStart = reader.offset
  const version = parseVersion(reader.readUint("the protocol's version"))
  if (version === null) return reader.fault("member 5, the protocol's version, is 1 or 2", versionStart)
  reader.leave()
  reader.end()
  const policy: Policy = { origin, logVkey, operatorKey, receiptKey, version }
  const fault = findPolicyFault(policy)
  if (fault !== null) throw new FormatFault(fault, 0)
  return policy
}

/** The protocol's version, or null where this code does not know it. */
export function parseVersion(version: number): ProtocolVersion | null {
  return version === 1 || version === 2 ? version : null
}

function findPolicyFault({ origin, logVkey, operatorKey, receiptKey }: Policy): string | null {
  const originFault = findOriginFault(origin)
  if (originFault !== null) return originFault
  const logKey = parseVkey(logVkey)
  if (logKey === null || logKey.name !== origin) return "2 is the log's vkey under the origin's name"
  const keys = [logKey.publicKey, operatorKey, receiptKey]
  if (keys.some(({ algorithm }) => algorithm !== algorithmEd25519)) return "the log's keys are Ed25519"
  const isDistinct = keys.every((one, index) =>
    keys.every((other, place) => place === index || !equalKeys(one, other)),
  )
  return isDistinct ? null : "the log's, the operator's and the receipt key are three different keys"
}
