/** A COSE_Key Set (RFC 9052 §7), as `/.well-known/scitt-keys` serves it: keys with their kid, and what else others put in. */
import { type CborInput, type CborValue, FormatFault, decodeCbor, encodeCbor } from "./cbor.ts"
import { type PublicKey, decodeCoseKey } from "./key.ts"

const keysMax = 100
/** kty, crv, x and y: what a key is. kid, alg, use and the like say nothing that is believed here. */
const labels: readonly number[] = [1, -1, -2, -3]

/** The keys of a set, or of one COSE_Key alone. Throws a FormatFault. */
export function decodeKeySet(bytes: Uint8Array): readonly PublicKey[] {
  const value = decodeCbor(bytes, "deterministic")
  const keys = isArray(value) ? value : [value]
  if (keys.length === 0 || keys.length > keysMax) throw new FormatFault(`a set has 1 to ${keysMax} keys`, 0)
  return keys.map(readKey)
}

function readKey(value: CborValue): PublicKey {
  if (!(value instanceof Map)) throw new FormatFault("a COSE_Key is a map", 0)
  const members = [...(value as ReadonlyMap<number | string, CborInput>)].filter(
    (pair): pair is [number, CborInput] => labels.includes(pair[0] as number),
  )
  return decodeCoseKey(encodeCbor(new Map(members)))
}

function isArray(value: unknown): value is readonly CborValue[] {
  return Array.isArray(value)
}
