/** The verifier in a worker, so that the page stays alive: the same code as the command, with noble's signatures. */
import { formatHex } from "../../chain/bytes.ts"
import { encodeStatement } from "../../chain/statement.ts"
import { EvidenceVerifier } from "../evidence.ts"
import { reportEvidence } from "../evidence-report.ts"
import type { EvidencedStatement } from "../evidence-result.ts"
import { Coverage } from "./coverage.ts"
import type { FoundStatement, News, Order, Verdict } from "./message.ts"
import { readTrust } from "./trust.ts"

/** Of a worker's own scope, for which the DOM's types have the window's. */
interface WorkerScope {
  postMessage(news: News): void
  addEventListener(type: "message", listener: (event: MessageEvent<Order>) => void): void
}

const scope = self as unknown as WorkerScope
/** What is verified between two words to the page: about a tenth of a second of signatures. */
const pieceSize = 16_384
const wordMs = 80

let verifier: EvidenceVerifier | null = null
let coverage = new Coverage()
let found: FoundStatement | null = null
let startedAt = 0
let saidAt = 0

scope.addEventListener("message", ({ data: order }) => {
  try {
    take(order)
  } catch (error) {
    scope.postMessage({ kind: "broken", message: error instanceof Error ? error.message : String(error) })
  }
})

function take(order: Order): void {
  switch (order.kind) {
    case "begin": {
      const trust = readTrust(order.trust)
      if (typeof trust === "string") {
        scope.postMessage({ kind: "trust-fault", message: trust })
        return
      }
      coverage = new Coverage()
      found = null
      verifier = new EvidenceVerifier({ trust, onStatement: (statement) => note(statement, order.entry) })
      startedAt = performance.now()
      saidAt = 0
      scope.postMessage({ kind: "want" })
      return
    }
    case "piece":
      if (verifier === null) throw new Error("a piece came before the beginning")
      for (let at = 0; at < order.bytes.length; at += pieceSize) {
        verifier.push(order.bytes.subarray(at, at + pieceSize))
        if (performance.now() - saidAt < wordMs) continue
        saidAt = performance.now()
        scope.postMessage({ kind: "progress", progress: verifier.progress })
      }
      if (verifier.refused === null) scope.postMessage({ kind: "want" })
      else scope.postMessage({ kind: "verdict", verdict: verdictOf(verifier) })
      return
    case "end":
      if (verifier === null) throw new Error("an end came before the beginning")
      scope.postMessage({ kind: "progress", progress: verifier.progress })
      scope.postMessage({ kind: "verdict", verdict: verdictOf(verifier) })
      return
  }
}

function note(evidenced: EvidencedStatement, wanted: string | null): void {
  coverage.add(evidenced)
  if (wanted === null || formatHex(evidenced.entry) !== wanted) return
  const { seq, leafIndex, height, receivedAtMs, statement } = evidenced
  // A statement has one encoding.
  found = { seq, leafIndex, height, receivedAtMs, bytes: encodeStatement(statement, statement.signature) }
}

function verdictOf(ended: EvidenceVerifier): Verdict {
  const { progress } = ended
  const result = ended.end()
  return {
    result,
    report: reportEvidence(result),
    progress,
    tookMs: performance.now() - startedAt,
    spans: coverage.spans(),
    found,
  }
}
