/** A tlog-proof, a COSE Receipt or a Transparent Statement, checked offline by what its reader trusts. */
import { encodeUtf8, equalBytes } from "../chain/bytes.ts"
import { FormatFault } from "../chain/cbor.ts"
import { type CoseReceipt, checkCoseReceipt, decodeCoseReceipt } from "../chain/cose-receipt.ts"
import { detachReceipts } from "../chain/transparent-statement.ts"
import { sha256 as nobleSha256 } from "../chain/hash.ts"
import { type PublicKey, kidOf } from "../chain/key.ts"
import { hashLeaf, rootOfPath } from "../chain/merkle.ts"
import { type Note, type NoteKey, formatVkey, noteKeyHash } from "../chain/note.ts"
import { type Policy, decodePolicy } from "../chain/policy.ts"
import { checkSignature } from "../chain/signature.ts"
import { type Statement, contentPolicy, decodeStatement, entryOf, signedBytesOf } from "../chain/statement.ts"
import { parseTlogProof } from "../chain/tlog-proof.ts"
import { EvidenceFault } from "./evidence-fault.ts"
import { type EvidenceTrust, openCheckpoint } from "./evidence-trust.ts"
import type { ProofFindings, ProofOptions, ProofRefusal, ProofResult } from "./proof-result.ts"

export type {
  GivenStatement,
  ProofFindings,
  ProofOptions,
  ProofRefusal,
  ProofResult,
} from "./proof-result.ts"
export { describeProof, formatProof, reportProof } from "./proof-report.ts"

/** @param trust the logs and witnesses; its `deviceKeys` are not looked at, since a thumbprint checks no signature */
export function verifyTlogProof(bytes: Uint8Array, trust: EvidenceTrust, options: ProofOptions): ProofResult {
  return refusing(() => {
    const parsed = parseTlogProof(bytes)
    if (parsed.kind === "fault")
      throw new EvidenceFault("format", `line ${parsed.line} of the file`, `breaks a rule: ${parsed.rule}`)
    const { extra, index: leafIndex, path, checkpoint } = parsed.proof
    const { origin, size, root, note, cosigned } = openCheckpoint(
      encodeUtf8(checkpoint),
      trust,
      options.verify,
    )
    if (trust.sinceMs !== undefined && cosigned.length === 0)
      throw new EvidenceFault(
        "stale",
        "the checkpoint",
        "does not say when it was made: demand a witness, whose cosignature does",
      )
    const subject = findSubject(extra, origin, options)
    const proven = rootOfPath(hashLeaf(subject.entry, options.sha256), leafIndex, size, path, options.sha256)
    if (proven === null || !equalBytes(proven, root)) throw notInTree("the checkpoint's root")
    return {
      kind: "verified",
      form: "proof",
      origin,
      leafIndex,
      tree: { size, root },
      signedBy: { kind: "log", vkey: formatVkey(findLogKey(note, origin, trust)), cosigned },
      ...subject,
    }
  })
}

/**
 * The key of the reader's under which the checkpoint was found signed. Each signature in the name of one of them was
 * verified by then, and one that did not verify would have spoiled the note.
 */
function findLogKey(note: Note, origin: string, { policy }: EvidenceTrust): NoteKey {
  const isBy = (key: NoteKey): boolean =>
    note.signatures.some(({ name, keyHash }) => name === origin && equalBytes(keyHash, noteKeyHash(key)))
  return policy.logs.filter(({ name }) => name === origin).find(isBy)!
}

/**
 * The log's policy, from a tlog-proof of its first leaf: by the key of the log that the reader trusts, it gives the key of
 * the log's receipts.
 */
export function openLogPolicy(
  bytes: Uint8Array,
  trust: EvidenceTrust,
  options: Pick<ProofOptions, "sha256" | "verify">,
): { readonly kind: "policy"; readonly policy: Policy } | ProofRefusal {
  const proven = verifyTlogProof(bytes, trust, { ...options, given: null, signerKeys: [] })
  if (proven.kind === "refused") return proven
  const { statement, leafIndex, signedBy } = proven
  if (leafIndex !== 0 || statement === null || statement.content !== contentPolicy)
    return refusedPolicy("is the first leaf of its log, and this proof is of another")
  try {
    const policy = decodePolicy(statement.payload)
    const message = signedBytesOf(statement)
    const { operatorKey } = policy
    if (
      checkSignature(operatorKey, statement.algorithm, message, statement.signature, options.verify) !==
      "good"
    )
      return refusedPolicy("is not signed by the operator's key that it names")
    if (signedBy.kind !== "log" || policy.origin !== proven.origin || policy.logVkey !== signedBy.vkey)
      return refusedPolicy("names another log than the one that signed the checkpoint")
    return { kind: "policy", policy }
  } catch (error) {
    if (!(error instanceof FormatFault)) throw error
    return refusedPolicy(`breaks a rule: ${error.rule}`)
  }
}

function refusedPolicy(rule: string): ProofRefusal {
  return { kind: "refused", code: "policy", what: "the log's policy", rule }
}

/** @param receiptKey the log's, as its policy statement names it */
export function verifyReceipt(bytes: Uint8Array, receiptKey: PublicKey, options: ProofOptions): ProofResult {
  return refusing(() => {
    const receipt = readReceipt(bytes)
    const subject = findSubject(null, receipt.origin, options)
    return receiptFindings("receipt", receipt, subject, receiptKey, 0, options)
  })
}

/** The statement, and the first of its receipts by this key; receipts by others are only counted. */
export function verifyTransparent(
  bytes: Uint8Array,
  receiptKey: PublicKey,
  options: ProofOptions,
): ProofResult {
  return refusing(() => {
    const { statement, receipts } = readInside("the file", () => detachReceipts(bytes))
    const kid = kidOf(receiptKey, options.sha256)
    const own = receipts.map(decodeIfOurs).find((one) => one !== null && equalBytes(one.kid, kid))
    if (own == null)
      throw new EvidenceFault(
        "key",
        receipts.length === 1 ? "the receipt" : `none of the ${receipts.length} receipts`,
        `is ${receipts.length === 1 ? "not " : ""}by the receipt key that you trust`,
      )
    const subject = findSubject(statement, own.origin, options)
    return receiptFindings("transparent", own, subject, receiptKey, receipts.length - 1, options)
  })
}

function receiptFindings(
  form: "receipt" | "transparent",
  receipt: CoseReceipt,
  subject: Subject,
  key: PublicKey,
  others: number,
  { verify, sha256 }: ProofOptions,
): ProofFindings {
  const finding = checkCoseReceipt(receipt, subject.entry, key, verify, sha256)
  if (finding.kind === "other-key")
    throw new EvidenceFault("key", "the receipt", "is not by the receipt key that you trust")
  if (finding.kind === "bad") throw notInTree("a root that the receipt key signed")
  return {
    kind: "verified",
    form,
    origin: receipt.origin,
    leafIndex: receipt.index,
    tree: { size: receipt.size, root: finding.root },
    signedBy: { kind: "receipt-key", key, others },
    ...subject,
  }
}

function notInTree(root: string): EvidenceFault {
  return new EvidenceFault("root", "the path", `does not lead from this statement to ${root}`)
}

type Subject = Pick<ProofFindings, "entry" | "statement" | "signerKey">

/** What the file is about: the statement in it, or the one that its reader has. */
function findSubject(inFile: Uint8Array | null, origin: string, options: ProofOptions): Subject {
  const { given, sha256 = nobleSha256 } = options
  const bytes = inFile ?? (given?.kind === "statement" ? given.bytes : null)
  const entryGiven =
    given === null ? null : given.kind === "entry" ? given.entry : entryOf(given.bytes, sha256)
  if (bytes === null) {
    if (entryGiven === null)
      throw new EvidenceFault("missing", "the file", "does not hold the statement that it is about: name it")
    if (options.signerKeys.length > 0)
      throw new EvidenceFault(
        "missing",
        "the statement",
        "is not here: without it no signature can be checked",
      )
    return { entry: entryGiven, statement: null, signerKey: null }
  }
  const entry = entryOf(bytes, sha256)
  if (entryGiven !== null && !equalBytes(entry, entryGiven))
    throw new EvidenceFault("foreign", "the statement in the file", "is not the one that you named")
  const decoded = decodeStatement(bytes, origin)
  if (decoded.kind !== "statement")
    throw new EvidenceFault(
      "malformed",
      "the statement",
      `is none: ${decoded.kind === "malformed" ? decoded.rule : "it is too large"}`,
    )
  return { entry, statement: decoded.statement, signerKey: findSigner(decoded.statement, options) }
}

function findSigner(statement: Statement, { signerKeys, verify, sha256 }: ProofOptions): PublicKey | null {
  if (signerKeys.length === 0) return null
  const key = signerKeys.find((one) => equalBytes(kidOf(one, sha256), statement.kid))
  const what = `statement ${statement.seq} of ${statement.iss}`
  if (key === undefined) throw new EvidenceFault("pin", what, "is not by a key that you named")
  const message = signedBytesOf(statement)
  if (checkSignature(key, statement.algorithm, message, statement.signature, verify) !== "good")
    throw new EvidenceFault("signature", what, "has a signature that does not verify under its key")
  return key
}

function readReceipt(bytes: Uint8Array): CoseReceipt {
  return readInside("the receipt", () => decodeCoseReceipt(bytes))
}

/** Null for one of another profile: other logs make other receipts. */
function decodeIfOurs(bytes: Uint8Array): CoseReceipt | null {
  try {
    return decodeCoseReceipt(bytes)
  } catch (error) {
    if (error instanceof FormatFault) return null
    throw error
  }
}

function readInside<Value>(what: string, read: () => Value): Value {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof FormatFault)) throw error
    throw new EvidenceFault("format", what, `breaks a rule at byte ${error.offset}: ${error.rule}`)
  }
}

function refusing(check: () => ProofFindings): ProofResult {
  try {
    return check()
  } catch (error) {
    if (!(error instanceof EvidenceFault)) throw error
    return { kind: "refused", code: error.code, what: error.what, rule: error.rule }
  }
}
