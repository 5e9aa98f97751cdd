/**
 * Test keys. They are public: anybody can compute them from the sentence below, and nobody may enrol them anywhere but
 * in a test.
 */
import { encodeUtf8, formatHex } from "../../chain/bytes.ts"
import { sha256 } from "../../chain/hash.ts"
import {
  type Algorithm,
  type PrivateKey,
  algorithmEd25519,
  algorithmEsp256,
  encodeCoseKey,
  kidOf,
  makePrivateKey,
} from "../../chain/key.ts"

/** The secret of a key is SHA-256(sentence ‖ "\n" ‖ name). */
export const seedSentence = "Tidemark test vectors: these keys are public and protect nothing."

export function testKey(algorithm: Algorithm, name: string): PrivateKey {
  return makePrivateKey(algorithm, sha256(encodeUtf8(`${seedSentence}\n${name}`)))
}

/** What a device signs with unless a vector says otherwise. */
export const edKey = testKey(algorithmEd25519, "ed25519 device")
export const edKeyNext = testKey(algorithmEd25519, "ed25519 device, next")
export const ecKey = testKey(algorithmEsp256, "p256 device")
/** Never enrolled. */
export const strangerKey = testKey(algorithmEd25519, "stranger")

/** The operator of the log for which the registry's vectors are made. */
export const operatorKey = testKey(algorithmEd25519, "operator")

/** The log for which the vectors are made. */
export const vectorOrigin = "tidemark.example/vectors"

/** A key of a device as the files give it. */
export interface KeyInFile {
  readonly coseKey: string
  readonly kid: string
  readonly firstSeq: number
  readonly lastSeq: number | null
  readonly endedBy: "rotation" | "revocation" | null
}

export function keyInFile(
  { publicKey }: PrivateKey,
  firstSeq = 1,
  lastSeq: number | null = null,
  endedBy: KeyInFile["endedBy"] = null,
): KeyInFile {
  return {
    coseKey: formatHex(encodeCoseKey(publicKey)),
    kid: formatHex(kidOf(publicKey)),
    firstSeq,
    lastSeq,
    endedBy,
  }
}
