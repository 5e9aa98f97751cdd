/** The operator's registry statements, folded by the functions of `chain/` alone. */
import { type AuthorityRecord, applyAuthority, findTrustedAuthority } from "../../chain/authority.ts"
import { parseHex } from "../../chain/bytes.ts"
import { type DeviceRecord, applyRegistry } from "../../chain/device.ts"
import { parseHash } from "../../chain/hash.ts"
import { decodeCoseKey } from "../../chain/key.ts"
import { decodeRegistry } from "../../chain/registry.ts"
import { checkSignature } from "../../chain/signature.ts"
import { decodeStatement, entryOf, signedBytesOf } from "../../chain/statement.ts"
import type { OperatorStatementInFile, RegistryVector } from "../vectors/registry.ts"

export class RegistryFold {
  private readonly vector: RegistryVector
  private readonly authorities = new Map<string, AuthorityRecord>()
  private readonly devices = new Map<string, DeviceRecord>()

  constructor(vector: RegistryVector) {
    this.vector = vector
  }

  /** The rule that it breaks, or null. Throws where it is no good statement of the operator. */
  take({ statement: text, headSeq, request }: OperatorStatementInFile): string | null {
    const { origin, operator } = this.vector
    const decoded = decodeStatement(parseHex(text)!, origin)
    if (decoded.kind !== "statement") throw new Error("a vector's statement does not decode")
    const { statement } = decoded
    const signed = signedBytesOf(statement)
    const key = decodeCoseKey(parseHex(operator)!)
    if (checkSignature(key, statement.algorithm, signed, statement.signature) !== "good")
      throw new Error("a vector's signature does not verify")
    const registry = decodeRegistry(statement.payload)
    const entry = entryOf(statement.bytes)
    if (registry.action === "trust-ca" || registry.action === "distrust-ca") {
      const outcome = applyAuthority(this.authorities, registry, entry)
      if (outcome.kind === "refused") return outcome.rule
      this.authorities.set(registry.device, outcome.record)
      return null
    }
    const outcome = applyRegistry(this.devices.get(registry.device) ?? null, registry, {
      origin,
      entry,
      headSeq,
      request:
        request === undefined
          ? null
          : {
              entry: parseHash(parseHex(request.entry)!),
              registry: decodeRegistry(parseHex(request.payload)!),
            },
      isTrustedAuthority: (digest) => findTrustedAuthority(this.authorities, digest) !== null,
    })
    if (outcome.kind === "refused") return outcome.rule
    this.devices.set(registry.device, outcome.record)
    return null
  }
}
