/** The result of checking a proof or a receipt: in words for who relies on it, and for programs. */
import { formatBase64, formatHex } from "../chain/bytes.ts"
import { thumbprintOf } from "../chain/key.ts"
import { readPayload } from "../chain/payload.ts"
import { countPackReadings } from "../chain/senml.ts"
import type { Statement } from "../chain/statement.ts"
import { type EvidenceReport, formatMs } from "./evidence-report.ts"
import type { ProofFindings, ProofResult } from "./proof-result.ts"

const formNames: Readonly<Record<ProofFindings["form"], string>> = {
  proof: "a C2SP tlog-proof",
  receipt: "a COSE Receipt",
  transparent: "a Transparent Statement with its COSE Receipt",
}

export function reportProof(result: ProofResult): EvidenceReport {
  if (result.kind === "refused") {
    const verdict = `refused: ${result.what} ${result.rule}`
    return { verdict, proved: [], remarks: [`(${result.code})`], unproved: [] }
  }
  const name = nameSubject(result)
  return {
    verdict: `verified: ${name} is in the log ${result.origin}`,
    proved: listProved(result, name),
    remarks: listRemarks(result),
    unproved: listUnproved(result),
  }
}

/** The same as text. */
export function formatProof(result: ProofResult): string {
  const { verdict, proved, remarks, unproved } = reportProof(result)
  if (result.kind === "refused") return `${verdict} ${remarks.join(" ")}`
  return [
    ...proved,
    ...remarks.map((remark) => `note: ${remark}`),
    "",
    "What this cannot show:",
    ...unproved.map((line) => `  - ${line}`),
    "",
    verdict,
  ].join("\n")
}

function nameSubject({ statement, entry, origin }: ProofFindings): string {
  if (statement === null) return `the statement with entry ${formatHex(entry)}`
  const { iss, seq } = statement
  return `statement ${seq} of ${iss === origin ? "the operator" : `device ${iss}`}`
}

function listProved(result: ProofFindings, name: string): string[] {
  const { form, origin, entry, leafIndex, tree, signedBy, statement, signerKey } = result
  return [
    `${formNames[form]}: ${name} is leaf ${count(leafIndex)} of the log ${origin}`,
    ...(statement === null
      ? []
      : [
          `entry ${formatHex(entry)}, made ${formatMs(statement.iat * 1000)} by the signer's clock`,
          describe(statement),
        ]),
    ...(signerKey === null
      ? []
      : [`signed by the key that you named, ${formatHex(thumbprintOf(signerKey))}`]),
    `the tree of ${count(tree.size)} leaves has root ${formatBase64(tree.root)}`,
    signedBy.kind === "log"
      ? `signed by a log that you trust, ${signedBy.vkey.split("+").slice(0, 2).join("+")}; ${signedBy.cosigned.length === 0 ? "your policy demands no witness" : `seen by ${signedBy.cosigned.map(({ witness, atMs }) => `${witness} at ${formatMs(atMs)}`).join(", ")}`}`
      : `signed by the receipt key that you trust, ${formatHex(thumbprintOf(signedBy.key))}`,
  ]
}

/** How much it says, and never what. */
function describe(statement: Statement): string {
  const payload = readPayload(statement)
  switch (payload.kind) {
    case "readings": {
      const readings = countPackReadings(payload.series)
      return `it holds ${count(readings)} ${readings === 1 ? "reading" : "readings"} in ${count(statement.payload.length)} bytes`
    }
    case "lost":
      return "it says that readings were lost"
    case "registry":
      return `it is of the registry: ${payload.registry.action} ${payload.registry.device}`
    case "unread":
      return "its payload cannot be read"
    default:
      return `it holds ${count(statement.payload.length)} bytes of other content`
  }
}

function listRemarks({ signedBy, statement, signerKey }: ProofFindings): string[] {
  return [
    ...(statement !== null && signerKey === null
      ? [
          `its signature was not checked: name the signer's key with --device-key (kid ${formatHex(statement.kid)})`,
        ]
      : []),
    ...(signedBy.kind === "receipt-key" && signedBy.others > 0
      ? [
          `${signedBy.others} more ${signedBy.others === 1 ? "receipt is" : "receipts are"} there, and not checked`,
        ]
      : []),
  ]
}

function listUnproved({ signedBy, signerKey }: ProofFindings): string[] {
  return [
    signerKey === null
      ? "that the device signed it: the log's operator is taken at its word"
      : "that the key stood for the device when the statement came: evidence shows that",
    "that nothing else was said: evidence of a device and some blocks shows that",
    "when it arrived: evidence shows that",
    ...(signedBy.kind === "log" && signedBy.cosigned.length > 0
      ? []
      : [
          signedBy.kind === "log"
            ? "that others are shown the same log: without witnesses the operator could keep two"
            : "that others are shown the same log: a receipt has no witnesses, a tlog-proof has",
        ]),
  ]
}

function count(number: number): string {
  return number.toLocaleString("en")
}

/** For programs: hex and base64, and nothing that was said in words. */
export function describeProof(result: ProofResult): Record<string, unknown> {
  if (result.kind === "refused") return { ...result }
  const { kind, form, origin, entry, leafIndex, tree, signedBy, statement, signerKey } = result
  return {
    kind,
    form,
    origin,
    entry: formatHex(entry),
    leafIndex,
    tree: { size: tree.size, root: formatBase64(tree.root) },
    ...(signedBy.kind === "log"
      ? {
          log: signedBy.vkey,
          cosigned: signedBy.cosigned.map(({ witness, atMs }) => ({ witness, at: formatMs(atMs) })),
        }
      : { receiptKey: formatHex(thumbprintOf(signedBy.key)), othersReceipts: signedBy.others }),
    statement:
      statement === null
        ? null
        : {
            iss: statement.iss,
            sub: statement.sub,
            seq: statement.seq,
            iat: statement.iat,
            kid: formatHex(statement.kid),
          },
    signerKey: signerKey === null ? null : formatHex(thumbprintOf(signerKey)),
  }
}
