/** What a reader's policy file says of this log: a C2SP tlog-policy that `tidemark verify --policy` takes as it is. */
import { encodeUtf8, formatHex, joinBytes } from "../chain/bytes.ts"
import { type PublicKey, thumbprintOf } from "../chain/key.ts"
import { parseVkey } from "../chain/note.ts"
import { type TlogPolicy, formatTlogPolicy, policyOfLog } from "../chain/tlog-policy.ts"

/** What the log's policy, its first leaf, names. */
export interface LogIdentity {
  readonly origin: string
  readonly vkey: string
  readonly operatorKey: PublicKey
  readonly receiptKey: PublicKey
}

/**
 * The log's key, and the witnesses and quorum by which the operator calls a block witnessed.
 *
 * @param witnesses the operator's own policy; null where no witness is asked
 */
export function formatLogPolicy(
  { origin, vkey, operatorKey, receiptKey }: LogIdentity,
  witnesses: TlogPolicy | null,
): Uint8Array {
  const log = parseVkey(vkey)
  if (log === null) throw new Error("the database's log has no readable key: run tidemark verify")
  const policy: TlogPolicy = {
    ...(witnesses ?? policyOfLog(log)),
    logs: [log],
    // Where the operator asks them is between the two: a reader has their cosignatures in the checkpoint.
    witnesses: (witnesses?.witnesses ?? []).map((witness) => ({ ...witness, url: null })),
  }
  const about = `# The log ${origin}, by its own word. Who answers here could name any key:
# compare it with what the operator gave you another way, and decide yourself which witnesses you trust.
# Its first leaf names two more keys (SHA-256 of the COSE_Key, RFC 9679):
# operator ${formatHex(thumbprintOf(operatorKey))}
# receipts ${formatHex(thumbprintOf(receiptKey))}
`
  return joinBytes(encodeUtf8(about), formatTlogPolicy(policy))
}
