/** A tlog-proof in the offline page: one statement and a few signatures, so that nothing has to be waited for. */
import { isTlogProof, tlogProofSizeMax } from "../../chain/tlog-proof.ts"
import { type ProofResult, verifyTlogProof } from "../proof.ts"
import { reportProof } from "../proof-report.ts"
import type { TrustGiven } from "./message.ts"
import { element, icon, listReport } from "./panel.ts"
import { readTrust } from "./trust.ts"
import { sentence } from "./words.ts"

/** The bytes of a file that says that it is a proof; null where it is another. */
export async function readProof(file: File): Promise<Uint8Array | null> {
  const head = new Uint8Array(await file.slice(0, 64).arrayBuffer())
  if (!isTlogProof(head)) return null
  return new Uint8Array(await file.slice(0, tlogProofSizeMax + 1).arrayBuffer())
}

/** Checks it and shows what came of it. */
export function showProof(into: HTMLElement, bytes: Uint8Array, given: TrustGiven): void {
  const trust = readTrust(given)
  if (typeof trust === "string") showTrouble(into, trust)
  else if (trust === null)
    showTrouble(
      into,
      "A proof says nothing until you name the log's key, or a policy file: anybody could have signed it.",
    )
  else if (trust.deviceKeys !== undefined)
    showTrouble(
      into,
      "A proof does not hold the device's key, and a thumbprint checks no signature: tidemark verify takes the key itself.",
    )
  else showResult(into, verifyTlogProof(bytes, trust, { given: null, signerKeys: [] }))
}

function showResult(into: HTMLElement, result: ProofResult): void {
  const isRefused = result.kind === "refused"
  const report = reportProof(result)
  const lines = isRefused
    ? [sentence(`${result.what} ${result.rule}`), "Rely on nothing in this proof."]
    : [sentence(report.verdict.replace(/^verified: /, ""))]
  const head = makeHead(isRefused ? "bad" : "good", isRefused ? "Not verified" : "Verified", lines)
  head.dataset["kind"] = result.kind
  if (isRefused) head.dataset["code"] = result.code
  const below = element("div", "proved")
  below.append(...listReport(report, isRefused))
  show(into, head, ...(below.childElementCount === 0 ? [] : [below]))
}

function showTrouble(into: HTMLElement, message: string): void {
  show(into, makeHead("bad", "This could not be verified", [message]))
}

function makeHead(tone: "good" | "bad", title: string, lines: readonly string[]): HTMLElement {
  const head = element("div", `verdict ${tone}`)
  head.setAttribute("role", "status")
  head.append(icon(tone), element("h2", "", title), ...lines.map((line) => element("p", "", line)))
  return head
}

function show(into: HTMLElement, ...parts: readonly HTMLElement[]): void {
  const root = element("section", "verification")
  root.setAttribute("aria-label", "Verification")
  root.append(...parts)
  into.replaceChildren(root)
}
