/** The result of checking evidence, in words for who has to rely on it. */
import { formatBase64, formatHex } from "../chain/bytes.ts"
import type { KeyIntroduction } from "../chain/device.ts"
import { thumbprintOf } from "../chain/key.ts"
import type { EvidenceFindings, EvidenceResult } from "./evidence-result.ts"
import type { EvidencedKey, SeqRange, SpanMs } from "./evidence-tally.ts"

/** What was proved, as of when, and what was not: paragraphs of lines, for a terminal or a page. */
export interface EvidenceReport {
  readonly verdict: string
  readonly proved: readonly string[]
  /** What the reader should know of the device and its statements. */
  readonly remarks: readonly string[]
  readonly unproved: readonly string[]
}

export function reportEvidence(result: EvidenceResult): EvidenceReport {
  if (result.kind === "refused") {
    const verdict = `refused: ${result.what} ${result.rule}`
    return {
      verdict,
      proved: [],
      remarks: [`found at byte ${result.offset} of the file (${result.code})`],
      unproved: [],
    }
  }
  const verdict =
    result.kind === "verified"
      ? `verified: nothing of device ${result.device} is missing from ${nameBlocks(result)}, and nothing was added`
      : `consistent, not verified: you trust no log, and the file is signed by a key that it names itself`
  return { verdict, proved: listProved(result), remarks: listRemarks(result), unproved: listUnproved(result) }
}

/** The same as text. */
export function formatEvidence(result: EvidenceResult): string {
  const { verdict, proved, remarks, unproved } = reportEvidence(result)
  return [
    ...proved,
    ...remarks.map((remark) => (result.kind === "refused" ? remark : `note: ${remark}`)),
    ...(unproved.length === 0
      ? []
      : ["", "What this cannot show:", ...unproved.map((line) => `  - ${line}`), ""]),
    verdict,
  ].join("\n")
}

function nameBlocks({ blocks: { from, to } }: EvidenceFindings): string {
  return from === to ? `block ${from}` : `blocks ${from} to ${to}`
}

function listProved(result: EvidenceFindings): string[] {
  const { device, origin, statements, seqs, readings, readingSpan, arrivalSpan } = result
  const { blocks, headBefore, headAfter, checkpoint } = result
  const said =
    statements === 0 || seqs === null
      ? `device ${device} said nothing in ${nameBlocks(result)} (${formatSpan(blocks)}): it stood at statement ${headBefore.seq} before and after`
      : `${count(statements, "statement")} of device ${device} (seq ${formatSeqs(seqs)}) with ${count(readings, "reading")}, in ${nameBlocks(result)} (${formatSpan(blocks)})`
  const witnesses = checkpoint.cosigned.map(({ witness, atMs }) => `${witness} at ${formatMs(atMs)}`)
  return [
    said,
    ...(arrivalSpan === null ? [] : [`arrived ${formatSpan(arrivalSpan)}, by the service's clock`]),
    ...(readingSpan === null ? [] : [`readings ${formatSpan(readingSpan)}, by the device's clock`]),
    ...(statements === 0
      ? []
      : [
          "each statement is signed by a key that stood for the device at its place, and is a leaf of its block",
        ]),
    `the chain is whole: the device stood at statement ${headBefore.seq} before and at ${headAfter.seq} after, as both sealed heads say`,
    `all registry statements about the device are here, up to the checkpoint: the device is ${result.status}`,
    `as of the checkpoint of ${count(checkpoint.size, "leaf", "leaves")} of ${origin}: block ${checkpoint.height}, which ended ${formatMs(checkpoint.toMs)}`,
    `root ${formatBase64(checkpoint.root)}`,
    result.kind === "verified"
      ? `signed by a log that you trust, ${checkpoint.logVkey.split("+").slice(0, 2).join("+")}; ${witnesses.length === 0 ? "your policy demands no witness" : `seen by ${witnesses.join(", ")}`}`
      : `signed by the key ${checkpoint.logVkey}, which the file names itself`,
  ]
}

function listRemarks({ keys, isPinned, revoked, unread, ahead, opaque, lost }: EvidenceFindings): string[] {
  return [
    ...keys.filter(({ signed }) => signed !== null).map((key) => describeKey(key, isPinned)),
    ...revoked.map(
      (range) =>
        `seq ${formatSeqs(range)} lies beyond the last good seq of a revoked key: sealed, and not to be believed`,
    ),
    ...(lost > 0
      ? [`${count(lost, "statement")} of the device ${lost === 1 ? "says" : "say"} that readings were lost`]
      : []),
    ...(unread > 0 ? [`${count(unread, "statement")} could not be read: sealed, without series`] : []),
    ...(ahead > 0
      ? [`${count(ahead, "statement")} ${ahead === 1 ? "is" : "are"} ahead of the service's clock`]
      : []),
    ...(opaque > 0 ? [`${count(opaque, "statement")} of other content`] : []),
  ]
}

const introductions: Readonly<Record<KeyIntroduction, string>> = {
  operator: "by the operator's word",
  certificate: "by the operator's word, on a CA's certificate",
  "old-key": "proven by the key before it",
  request: "asked for by the device under the key before it",
}

function describeKey(key: EvidencedKey, isPinned: boolean): string {
  const word = isPinned ? "named by you" : introductions[key.introducedBy]
  const possession = key.isPossessionProven ? "" : ", without proof of possession"
  return `seq ${formatSeqs(key.signed!)} by key ${formatHex(thumbprintOf(key.key))}, ${word}${possession}`
}

function listUnproved({ kind, isPinned, checkpoint }: EvidenceFindings): string[] {
  return [
    "that the device said all that it measured, and that it measured rightly",
    "that the device's clock was right",
    ...(isPinned
      ? []
      : ["that the operator enrolled the right device, once and under one name: name its key to show that"]),
    ...(kind === "verified" && checkpoint.cosigned.length === 0
      ? ["that others are shown the same log: without witnesses the operator could keep two"]
      : []),
    `what came after ${formatMs(checkpoint.toMs)}, such as a later revocation`,
  ]
}

function formatSeqs({ from, to }: SeqRange): string {
  return from === to ? String(from) : `${from} to ${to}`
}

function formatSpan({ fromMs, toMs }: SpanMs): string {
  return `${formatMs(fromMs)} to ${formatMs(toMs)}`
}

/** ISO 8601; a device may claim times at which JavaScript's dates have ended. */
export function formatMs(ms: number): string {
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : `${ms} ms`
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`
}
