/**
 * Where a chain begins (FORMAT §4). In a log of protocol version 2 the first statement's `prev` names the log, so that
 * a statement signed for one log never links in another. In a log of version 1 it is zeros, which name no log.
 */
import { encodeUtf8, joinBytes } from "./bytes.ts"
import { encodeCbor } from "./cbor.ts"
import { type Hash, type Sha256, sha256, zeroHash } from "./hash.ts"
import type { Head } from "./receipt.ts"

/** 1: chains begin at zeros. 2: chains begin at their genesis. */
export type ProtocolVersion = 1 | 2

/** The version that a new log takes. */
export const protocolVersion: ProtocolVersion = 2

/** What decides where the chains of a log begin: members 2 and 5 of its policy. */
export interface ChainBinding {
  /** C2SP vkey of the log's checkpoint key, under the origin's name. */
  readonly logVkey: string
  readonly version: ProtocolVersion
}

const prefix = encodeUtf8("tidemark/genesis")

/**
 * SHA-256("tidemark/genesis" ‖ cbor([vkey of the log, chain id])): the `prev` of a chain's first statement.
 *
 * @param chain the device id, which is the statement's `iss`
 */
export function genesisOf(logVkey: string, chain: string, hash: Sha256 = sha256): Hash {
  return hash(joinBytes(prefix, encodeCbor([logVkey, chain])))
}

/** The `prev` of a device's first statement in this log: its genesis, or zeros in a log of version 1. */
export function firstPrevOf({ logVkey, version }: ChainBinding, device: string, hash?: Sha256): Hash {
  return version === 1 ? zeroHash : genesisOf(logVkey, device, hash)
}

/** The head of an enrolled device before its first statement. */
export function emptyHeadOf(binding: ChainBinding, device: string, hash?: Sha256): Head {
  return { seq: 0, entry: firstPrevOf(binding, device, hash) }
}
