/** `tidemark verify FILE` of a tlog-proof, a COSE Receipt or a Transparent Statement. */
import { join } from "node:path"
import { joinBytes, parseHex } from "../chain/bytes.ts"
import { FormatFault } from "../chain/cbor.ts"
import { decodeStatement } from "../chain/statement.ts"
import { sortSign1 } from "../chain/transparent-statement.ts"
import { parseHash } from "../chain/hash.ts"
import type { PublicKey } from "../chain/key.ts"
import { KeyFault, parsePublicKey } from "../chain/keyfile.ts"
import { decodeKeySet } from "../chain/key-set.ts"
import { decodeSealedAnswer, isSealedAnswer } from "../chain/sealed-answer.ts"
import { isTlogProof, tlogProofSizeMax } from "../chain/tlog-proof.ts"
import { readLogKeys } from "../ingest/log-keys.ts"
import { sha256Native, verifyNative } from "../ingest/native.ts"
import {
  type GivenStatement,
  type ProofOptions,
  type ProofResult,
  openLogPolicy,
  verifyReceipt,
  verifyTlogProof,
  verifyTransparent,
} from "../verify/proof.ts"
import { findKeys } from "./data-folder.ts"
import { readGivenSecrets } from "./given-secrets.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { readPublicKey } from "./key-file.ts"
import { readNamedFile } from "./option.ts"
import { type TrustOptions, readPieces, readTrust } from "./verify-evidence.ts"

export interface ProofFileOptions extends TrustOptions {
  readonly statement?: string
  readonly receiptKey?: string
}

export interface ProofFile {
  readonly kind: "proof" | "receipt" | "transparent"
  readonly bytes: Uint8Array
  /** The statement's seq in an answer over MQTT, as the service said it; nothing signs it. */
  readonly seq?: number
}

/** A statement and the receipts of some logs. */
const sizeMax = 2 * tlogProofSizeMax
/** What tells the kinds apart: the two headers of a COSE_Sign1. */
const headSize = 1_024

/** The file, where it says what it is, and no more of it than one may have; null where it is another. */
export async function readProofFile(path: string): Promise<ProofFile | null> {
  let file: Uint8Array = new Uint8Array(0)
  for await (const piece of readPieces(path)) {
    file = joinBytes(file, piece)
    if (file.length >= headSize && !isSealedAnswer(file) && sortFile(file) === null) return null
    if (file.length > sizeMax) break
  }
  const answer = readAnswer(file)
  if (answer !== null) return answer
  const kind = sortFile(file)
  return kind === null ? null : { kind, bytes: file }
}

/** The receipt in an answer of MQTT, kept as it came; null for anything else. */
function readAnswer(bytes: Uint8Array): ProofFile | null {
  if (!isSealedAnswer(bytes)) return null
  try {
    const { seq, receipt } = decodeSealedAnswer(bytes)
    if (receipt !== null) return { kind: "receipt", bytes: receipt, ...(seq === null ? {} : { seq }) }
    throw new CommandFault(
      `the service had no receipt${seq === null ? "" : ` of statement ${seq}`} when it was asked`,
      "ask again after the next block",
    )
  } catch (error) {
    if (error instanceof FormatFault) return null
    throw error
  }
}

function sortFile(bytes: Uint8Array): ProofFile["kind"] | null {
  if (isTlogProof(bytes)) return "proof"
  if (bytes[0] !== 0xd2) return null
  const kind = sortSign1(bytes)
  if (kind === "statement")
    throw new UsageFault(
      "a statement alone proves nothing: fetch its proof (/v1/statements/{entry}/proof), or name a receipt and this with --statement; tidemark inspect explains it",
    )
  return kind
}

export async function verifyProofFile(
  { kind, bytes, seq }: ProofFile,
  options: ProofFileOptions,
): Promise<ProofResult> {
  const signerKeys = await Promise.all((options.deviceKey ?? []).map(readSignerKey))
  const given = options.statement === undefined ? null : await readGiven(options.statement)
  const proofOptions: ProofOptions = { given, signerKeys, sha256: sha256Native, verify: verifyNative }
  if (kind === "proof") {
    if (options.receiptKey !== undefined)
      throw new UsageFault("--receipt-key is for receipts, and a tlog-proof is signed by the log's own key")
    const trust = await readTrust(options)
    return verifyTlogProof(bytes, trust, proofOptions)
  }
  if (options.since !== undefined)
    throw new UsageFault("--since is for files with a checkpoint: a receipt does not say when it was made")
  if (kind === "receipt" && given === null)
    throw new UsageFault(
      "a receipt does not hold its statement: name it with --statement, a file or its entry in hex",
    )
  const key = await readReceiptKey(options)
  if (key.kind === "refused") return key
  if (kind === "transparent") return verifyTransparent(bytes, key.key, proofOptions)
  const result = verifyReceipt(bytes, key.key, proofOptions)
  return (seq === undefined ? null : findMistaken(result, seq, given)) ?? result
}

/** An empty question is answered with the newest statement, which is easily taken for the one that was meant. */
function findMistaken(result: ProofResult, seq: number, given: GivenStatement | null): ProofResult | null {
  if (result.kind !== "refused" || result.code !== "root" || given?.kind !== "statement") return null
  const decoded = decodeStatement(given.bytes)
  if (decoded.kind !== "statement" || decoded.statement.seq === seq) return null
  const seqGiven = decoded.statement.seq
  return {
    ...result,
    what: "the answer",
    rule: `is about statement ${seq}, and the file is statement ${seqGiven}: ask for ${seqGiven}, or name the file of ${seq}`,
  }
}

/** 64 digits of hex, or a file with the statement. */
async function readGiven(given: string): Promise<GivenStatement> {
  const entry = given.length === 64 ? parseHex(given) : null
  if (entry !== null) return { kind: "entry", entry: parseHash(entry) }
  return { kind: "statement", bytes: await readNamedFile(given, "the statement") }
}

async function readSignerKey(given: string): Promise<PublicKey> {
  if (given.length === 64 && parseHex(given) !== null)
    throw new UsageFault(
      "--device-key: a thumbprint checks no signature, and this file does not hold the key: name a file with it",
    )
  return readPublicKey(given)
}

type FoundKey =
  { readonly kind: "key"; readonly key: PublicKey } | Extract<ProofResult, { readonly kind: "refused" }>

/**
 * The log's receipt key: in a file or in hex, or proven by a tlog-proof of the log's policy under the log's key, or on the
 * operator's own machine the one of the data folder.
 */
async function readReceiptKey(options: ProofFileOptions): Promise<FoundKey> {
  const { receiptKey: given, data } = options
  if (given === undefined) {
    const keys = (await findKeys(data, ["receipt"]))
      ? await readLogKeys(join(data, "keys"), ["receipt"], await readGivenSecrets())
      : null
    if (keys !== null) return { kind: "key", key: keys.receipt.publicKey }
    throw new UsageFault(
      "nothing is trusted yet: name the log's receipt key with --receipt-key, as its operator published it (/.well-known/scitt-keys), or with a tlog-proof of the log's first statement, and then --policy or --log-key",
    )
  }
  const bytes = parseHex(given) ?? (await readNamedFile(given, "the receipt key"))
  if (isTlogProof(bytes)) {
    const trust = await readTrust(options)
    const opened = openLogPolicy(bytes, trust, { sha256: sha256Native, verify: verifyNative })
    return opened.kind === "refused" ? opened : { kind: "key", key: opened.policy.receiptKey }
  }
  for (const name of ["policy", "logKey"] as const)
    if (options[name] !== undefined)
      throw new UsageFault(
        "a receipt is not signed by the log's key: --policy and --log-key go with --receipt-key and a tlog-proof of the log's first statement",
      )
  return { kind: "key", key: parseReceiptKey(bytes, given) }
}

function parseReceiptKey(bytes: Uint8Array, name: string): PublicKey {
  try {
    // A set begins with an array, one key with a map; anything else is a text, or not a key.
    if (bytes[0] === undefined || bytes[0] >> 5 < 4) return parsePublicKey(bytes)
    const keys = decodeKeySet(bytes)
    if (keys.length === 1) return keys[0]!
    throw new CommandFault(`the receipt key ${name} is a set of ${keys.length} keys: name a file with one`)
  } catch (error) {
    if (!(error instanceof KeyFault) && !(error instanceof FormatFault)) throw error
    throw new CommandFault(
      `the receipt key ${name} cannot be used: ${error.message}`,
      "a COSE_Key or a set with one, in a file or in hex, PEM or JWK are read",
      { cause: error },
    )
  }
}
