/** The steps of a verification and its verdict, as the page calls them; what was proved is said by `evidence-report.ts`. */
import type { EvidenceCode } from "../evidence-fault.ts"
import type { EvidenceResult } from "../evidence-result.ts"

export type Tone = "good" | "warn" | "bad"

/** In the order in which a reader thinks of them, with the faults that each can find. */
export const steps = [
  {
    name: "The file is evidence, whole and in order",
    codes: ["format", "order", "cut", "trailing", "malformed", "foreign"],
  },
  { name: "The checkpoint is signed by the log", codes: ["checkpoint", "policy"] },
  { name: "Witnesses have seen that checkpoint", codes: ["witness", "stale"] },
  { name: "Each key stood for this device", codes: ["registry", "key", "pin"] },
  { name: "Each statement is signed", codes: ["signature"] },
  {
    name: "The chain is whole, from the head before to the head after",
    codes: ["chain", "missing", "heads"],
  },
  { name: "Each statement is a leaf of the log", codes: ["root", "manifest", "blocks"] },
  { name: "Each arrival time is the one that was sealed", codes: ["arrival"] },
] as const satisfies readonly { readonly name: string; readonly codes: readonly EvidenceCode[] }[]

export function stepOf(code: EvidenceCode): number {
  return steps.findIndex(({ codes }) => (codes as readonly EvidenceCode[]).includes(code))
}

export interface Title {
  readonly tone: Tone
  readonly text: string
  readonly lines: readonly string[]
}

export function entitle(result: EvidenceResult): Title {
  switch (result.kind) {
    case "refused":
      return {
        tone: "bad",
        text: "Not verified",
        lines: [sentence(`${result.what} ${result.rule}`), "Rely on nothing in this evidence."],
      }
    case "verified": {
      const { device, statements, readings, revoked, blocks } = result
      const isRevoked = revoked.length > 0
      return {
        tone: isRevoked ? "warn" : "good",
        text: `Verified to block ${formatCount(blocks.to)}${isRevoked ? ", and a key was revoked" : ""}`,
        lines: [
          statements === 0
            ? `Device ${device} said nothing in this time, and nothing was left out.`
            : `${count(statements, "statement")} of device ${device} with ${count(readings, "reading")}: nothing is missing, nothing was added, and not a bit has changed.`,
        ],
      }
    }
    default:
      return {
        tone: "warn",
        text: "Consistent, but nobody you trust has signed it",
        lines: [
          "The file agrees with itself. The log's key was taken from the file, and nobody vouched for that key: whoever made the file could have made the key too. Give the log's key, or a policy file, from somebody you trust.",
          `Key in the file: ${result.checkpoint.logVkey}`,
        ],
      }
  }
}

export function sentence(text: string): string {
  const first = text.slice(0, 1).toUpperCase() + text.slice(1)
  return /[.!?]$/.test(first) ? first : `${first}.`
}

export function formatCount(number: number): string {
  return number.toLocaleString("en")
}

export function count(number: number, one: string, many = `${one}s`): string {
  return `${formatCount(number)} ${number === 1 ? one : many}`
}
