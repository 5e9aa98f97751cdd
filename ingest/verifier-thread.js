/**
 * A thread that does nothing but check signatures. Each message is a batch as `SignatureBatch` makes it; the answer is a
 * byte for each, 1 where it verifies, in order.
 */
import { parentPort } from "node:worker_threads"
import { verifyBatch } from "./signature-batch.js"

parentPort?.on("message", (/** @type {ArrayBuffer} */ batch) => {
  const answer = verifyBatch(batch)
  parentPort?.postMessage(answer, [answer.buffer])
})
