/** What a reader's policy file says of this log: a C2SP tlog-policy that `tidemark verify --policy` takes as it is. */
import { formatHex } from "../chain/bytes.ts"
import { thumbprintOf } from "../chain/key.ts"
import type { LogIdentity } from "./log-published.ts"

export function formatLogPolicy({ origin, vkey, operatorKey, receiptKey }: LogIdentity): string {
  return `# The log ${origin}, by its own word. Who answers here could name any key:
# compare this line with what the operator gave you another way, and add the witnesses that you trust.
log ${vkey}
quorum none
# Keys that the log's first leaf names beside it (SHA-256 of the COSE_Key, RFC 9679):
# operator ${formatHex(thumbprintOf(operatorKey))}
# receipts ${formatHex(thumbprintOf(receiptKey))}
`
}
