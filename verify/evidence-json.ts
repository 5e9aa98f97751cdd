/** The result of checking evidence for programs: hex, base64 and ISO 8601, and nothing that a person said in words. */
import { formatBase64, formatHex } from "../chain/bytes.ts"
import { algorithmEd25519, thumbprintOf } from "../chain/key.ts"
import type { EvidenceResult } from "./evidence-result.ts"
import { formatMs } from "./evidence-report.ts"
import type { SpanMs } from "./evidence-tally.ts"

export function describeEvidence(result: EvidenceResult): Record<string, unknown> {
  if (result.kind === "refused") return { ...result }
  const { blocks, keys, checkpoint, readingSpan, arrivalSpan, headBefore, headAfter, ...plain } = result
  return {
    ...plain,
    blocks: { from: blocks.from, to: blocks.to, ...describeSpan(blocks) },
    readingSpan: readingSpan === null ? null : describeSpan(readingSpan),
    arrivalSpan: arrivalSpan === null ? null : describeSpan(arrivalSpan),
    headBefore: { seq: headBefore.seq, entry: formatHex(headBefore.entry) },
    headAfter: { seq: headAfter.seq, entry: formatHex(headAfter.entry) },
    keys: keys.map(({ kid, key, ...rest }) => ({
      kid: formatHex(kid),
      thumbprint: formatHex(thumbprintOf(key)),
      algorithm: key.algorithm === algorithmEd25519 ? "Ed25519" : "P-256",
      ...rest,
    })),
    checkpoint: {
      size: checkpoint.size,
      root: formatBase64(checkpoint.root),
      height: checkpoint.height,
      end: formatMs(checkpoint.toMs),
      log: checkpoint.logVkey,
      cosigned: checkpoint.cosigned.map(({ witness, atMs }) => ({ witness, at: formatMs(atMs) })),
    },
  }
}

function describeSpan({ fromMs, toMs }: SpanMs): { readonly begin: string; readonly end: string } {
  return { begin: formatMs(fromMs), end: formatMs(toMs) }
}
