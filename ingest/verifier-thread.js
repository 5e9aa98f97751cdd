/**
 * A thread that does nothing but check signatures. Each message is a batch as `encodeBatch` of verifier.ts makes it; the
 * answer is a byte for each, 1 where it verifies, in order.
 */
import { parentPort } from "node:worker_threads"
import { verifyEd25519, verifyP256 } from "./equation.js"

parentPort?.on("message", (/** @type {ArrayBuffer} */ batch) => {
  const [count = 0] = new Uint32Array(batch, 0, 1)
  const heads = new Uint32Array(batch, 4, count)
  const answer = new Uint8Array(count)
  let offset = 4 + 4 * count
  /** @param {number} size */
  const next = (size) => {
    const part = new Uint8Array(batch, offset, size)
    offset += size
    return part
  }
  for (const [index, head] of heads.entries()) {
    const isP256 = head >>> 31 === 1
    const key = next(isP256 ? 64 : 32)
    const signature = next(64)
    const message = next(head & 0x7fff_ffff)
    answer[index] = (isP256 ? verifyP256 : verifyEd25519)(key, message, signature) ? 1 : 0
  }
  parentPort?.postMessage(answer, [answer.buffer])
})
