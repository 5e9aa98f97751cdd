/** The operator as the evidence shows it: its policy, which is the first leaf, and its chain as far as it is shown. */
import { equalBytes } from "../chain/bytes.ts"
import { FormatFault } from "../chain/cbor.ts"
import type { ChainBinding } from "../chain/genesis.ts"
import type { Hash } from "../chain/hash.ts"
import { kidOf } from "../chain/key.ts"
import { formatVkey } from "../chain/note.ts"
import { type Policy, decodePolicy } from "../chain/policy.ts"
import type { Head } from "../chain/receipt.ts"
import { checkSignature } from "../chain/signature.ts"
import { type Statement, contentPolicy, signedBytesOf } from "../chain/statement.ts"
import { EvidenceFault } from "./evidence-fault.ts"
import type { EvidenceOptions } from "./evidence-result.ts"
import { type OpenedCheckpoint, checkOwnKey } from "./evidence-trust.ts"

export class EvidencedOperator {
  private readonly checkpoint: OpenedCheckpoint
  private readonly options: EvidenceOptions
  private policy: Policy | null = null
  private kid: Uint8Array = new Uint8Array(0)
  private last: Head | null = null

  constructor(checkpoint: OpenedCheckpoint, options: EvidenceOptions) {
    this.checkpoint = checkpoint
    this.options = options
  }

  /** Whether the policy was read. */
  get isKnown(): boolean {
    return this.policy !== null
  }

  /** Of the log that signed the checkpoint, once the policy was read. */
  get logVkey(): string {
    return this.binding.logVkey
  }

  /** Where the log's chains begin, once the policy was read. */
  get binding(): ChainBinding {
    return this.policy!
  }

  /**
   * The operator's next statement that is shown: its key is that of the policy, and its chain goes forward. Most of that
   * chain lies in gaps: that nothing of it is missing about the device is for the heads maps to say.
   *
   * @returns what the statement is called. Throws an EvidenceFault.
   */
  follow(statement: Statement, entry: Hash): string {
    const { iss, seq, prev, kid, algorithm, signature } = statement
    const { origin } = this.checkpoint
    if (iss !== origin)
      throw new EvidenceFault("foreign", `statement ${seq} of ${iss}`, "is not by the operator")
    const what = `statement ${seq} of the operator`
    const policy = this.policy ?? this.readPolicy(statement, what)
    if (!equalBytes(kid, this.kid))
      throw new EvidenceFault("key", what, "names another key than the operator's in the policy")
    const { verify } = this.options
    if (checkSignature(policy.operatorKey, algorithm, signedBytesOf(statement), signature, verify) !== "good")
      throw new EvidenceFault(
        "signature",
        what,
        "has a signature that does not verify under the operator's key",
      )
    const { last } = this
    if (last !== null && seq <= last.seq)
      throw new EvidenceFault("chain", what, `stands behind statement ${last.seq}`)
    if (last !== null && seq === last.seq + 1 && !equalBytes(prev, last.entry))
      throw new EvidenceFault(
        "chain",
        what,
        `does not follow: its prev is not the entry of statement ${last.seq}`,
      )
    this.last = { seq, entry }
    return what
  }

  /** The first leaf: whose log this is, and the key that signs for the operator. */
  private readPolicy(statement: Statement, what: string): Policy {
    const fault = (rule: string): never => {
      throw new EvidenceFault("policy", what, rule)
    }
    const { content, seq, sub, prev, payload } = statement
    if (content !== contentPolicy || seq !== 1 || sub !== "policy" || prev.some((byte) => byte !== 0))
      fault("is the first of the log, which begins with its policy")
    let policy: Policy
    try {
      policy = decodePolicy(payload)
    } catch (error) {
      if (!(error instanceof FormatFault)) throw error
      return fault(`is no policy: ${error.rule}`)
    }
    if (policy.origin !== this.checkpoint.origin) fault("is the policy of another log")
    const { trust, verify } = this.options
    const isTrusted = trust === null || trust.policy.logs.some((log) => formatVkey(log) === policy.logVkey)
    if (!isTrusted || !checkOwnKey(this.checkpoint, policy.logVkey, verify))
      fault("is the policy of a log with another key than signed the checkpoint")
    this.policy = policy
    this.kid = kidOf(policy.operatorKey, this.options.sha256)
    return policy
  }
}
