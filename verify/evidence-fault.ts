/** Why evidence is refused: which statement breaks which rule, in words for who keeps the file. Never a reading's value. */

/** The kinds of fault, for programs. */
export type EvidenceCode =
  /** The bytes leave the format. */
  | "format"
  /** An item stands where it does not belong. */
  | "order"
  /** The file ends too early. */
  | "cut"
  /** Bytes follow its end. */
  | "trailing"
  /** The checkpoint is none, or not signed by a log that the reader trusts. */
  | "checkpoint"
  /** The witnesses that the reader demands did not cosign. */
  | "witness"
  /** The checkpoint is older than the reader demands. */
  | "stale"
  /** The first leaf is not the policy of this log. */
  | "policy"
  /** A statement is not one of this profile. */
  | "malformed"
  /** A statement of another than who should speak. */
  | "foreign"
  /** A registry statement against the rules, or one that is missing. */
  | "registry"
  /** A manifest that does not fit its block or its neighbours. */
  | "manifest"
  /** Leaves and gaps that do not give a signed root. */
  | "root"
  /** Arrivals that do not give a signed root, or one behind the end of its block. */
  | "arrival"
  /** A manifest that is not the one of its height in the log. */
  | "blocks"
  /** A head that is not in the heads map of its block. */
  | "heads"
  /** A key that does not stand for the device at this seq. */
  | "key"
  /** A key that the reader did not name. */
  | "pin"
  /** A signature that does not verify. */
  | "signature"
  /** A statement that does not follow the one before. */
  | "chain"
  /** A statement between two heads that is not there. */
  | "missing"

/** Thrown inside the verifier and caught at its edge. */
export class EvidenceFault extends Error {
  override readonly name = "EvidenceFault"
  readonly code: EvidenceCode
  /** `statement 118 of device k7` */
  readonly what: string
  /** Reads on after it: `has a signature that does not verify`. */
  readonly rule: string

  constructor(code: EvidenceCode, what: string, rule: string) {
    super(`${what} ${rule}`)
    this.code = code
    this.what = what
    this.rule = rule
  }
}
