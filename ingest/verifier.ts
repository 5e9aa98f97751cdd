/**
 * Many signatures at once, on threads of their own: while they are checked, the main thread reads sockets and talks to
 * Postgres.
 */
import { availableParallelism } from "node:os"
import { Worker } from "node:worker_threads"
import { type PublicKey, algorithmEd25519 } from "../chain/key.ts"
import { verifyNative } from "./native.ts"

/** A signature of 64 bytes whose form `checkSignatureForm` took. */
export interface SignatureRequest {
  readonly key: PublicKey
  readonly message: Uint8Array
  readonly signature: Uint8Array
}

export interface Verifier {
  /** Whether each verifies, in order. Never rejects. */
  verify(requests: readonly SignatureRequest[]): Promise<readonly boolean[]>
  /** Ends the threads. What is asked afterwards is checked on this thread. */
  close(): Promise<void>
}

/**
 * Fewer than this are checked here: to wake a thread and to be woken by it costs about as much as one signature, and a
 * device that sends one statement waits for one commit.
 */
const handedOverMin = 3

/** Checks on the thread that asks: for commands and tests, which need no other. */
export const verifierHere: Verifier = {
  verify: async (requests) => requests.map(verifyHere),
  close: async () => {},
}

function verifyHere({ key, message, signature }: SignatureRequest): boolean {
  return verifyNative(key, message, signature)
}

interface Batch {
  readonly requests: readonly SignatureRequest[]
  answer(verified: readonly boolean[]): void
}

/**
 * @param threads one less than there are cores by default, at least one and at most four: one checks 19,000 statements a
 *   second, more than a main thread takes in
 * @param failed told where a thread ended by itself; its work goes on on this one
 */
export function openVerifier(options: {
  readonly threads?: number
  readonly failed?: (error: Error) => void
}): Verifier {
  const { threads = Math.min(Math.max(availableParallelism() - 1, 1), 4), failed } = options
  const open = new Set(Array.from({ length: threads }, () => new VerifierThread(ended)))

  function ended(thread: VerifierThread, error: Error): void {
    if (open.delete(thread)) failed?.(error)
  }

  return {
    verify: (requests) => {
      if (requests.length < handedOverMin) return verifierHere.verify(requests)
      let idlest: VerifierThread | null = null
      for (const thread of open) if (idlest === null || thread.waiting < idlest.waiting) idlest = thread
      return idlest === null ? verifierHere.verify(requests) : idlest.verify(requests)
    },
    close: async () => {
      const threadsLeft = [...open]
      open.clear()
      await Promise.all(threadsLeft.map((thread) => thread.close()))
    },
  }
}

/** So many signatures are 6 ms of work: enough to be worth a thread's waking, and little to wait for at the end. */
const gatheredMax = 128

/** One signature after the other, handed over by batches: for who asks for many and waits for them later. */
export function gatherSignatures(
  verifier: Verifier,
): (key: PublicKey, message: Uint8Array, signature: Uint8Array) => Promise<boolean> {
  let requests: SignatureRequest[] = []
  let answers: ((isGood: boolean) => void)[] = []
  const handOver = (): void => {
    const waiting = answers
    if (waiting.length === 0) return
    void verifier
      .verify(requests)
      .then((verified) => waiting.forEach((answer, place) => answer(verified[place]!)))
    requests = []
    answers = []
  }
  return (key, message, signature) =>
    new Promise((answer) => {
      if (answers.length === 0) setImmediate(handOver)
      requests.push({ key, message, signature })
      answers.push(answer)
      if (requests.length >= gatheredMax) handOver()
    })
}

/** Batches go in and come out in order. */
class VerifierThread {
  readonly #worker: Worker
  readonly #batches: Batch[] = []
  #waiting = 0

  constructor(ended: (thread: VerifierThread, error: Error) => void) {
    this.#worker = new Worker(new URL("verifier-thread.js", import.meta.url))
    // Whoever waits for an answer keeps the process alive by other means.
    this.#worker.unref()
    this.#worker.on("message", (answer: Uint8Array) => {
      const batch = this.#batches.shift()!
      this.#waiting -= batch.requests.length
      batch.answer(Array.from(answer, (byte) => byte === 1))
    })
    this.#worker.on("error", (error) => ended(this, error))
    this.#worker.on("exit", (code) => {
      ended(this, new Error(`a verifier's thread ended with ${code}`))
      for (const batch of this.#batches.splice(0)) batch.answer(batch.requests.map(verifyHere))
    })
  }

  /** Signatures that have no answer yet. */
  get waiting(): number {
    return this.#waiting
  }

  verify(requests: readonly SignatureRequest[]): Promise<readonly boolean[]> {
    return new Promise((answer) => {
      this.#batches.push({ requests, answer })
      this.#waiting += requests.length
      const batch = encodeBatch(requests)
      this.#worker.postMessage(batch, [batch])
    })
  }

  async close(): Promise<void> {
    await this.#worker.terminate()
  }
}

/**
 * For `verifier-thread.js`: how many; for each its message's size, with the highest bit set for P-256; for each key,
 * signature and message. Words in the machine's own order: both sides run on it.
 */
function encodeBatch(requests: readonly SignatureRequest[]): ArrayBuffer {
  const headSize = 4 + 4 * requests.length
  const size = requests.reduce(
    (sum, { key, message }) => sum + key.bytes.length + 64 + message.length,
    headSize,
  )
  const batch = new ArrayBuffer(size)
  const heads = new Uint32Array(batch, 0, 1 + requests.length)
  const bytes = new Uint8Array(batch)
  heads[0] = requests.length
  let offset = headSize
  for (const [index, { key, message, signature }] of requests.entries()) {
    heads[1 + index] = (key.algorithm === algorithmEd25519 ? 0 : 0x8000_0000) + message.length
    for (const part of [key.bytes, signature, message]) {
      bytes.set(part, offset)
      offset += part.length
    }
  }
  return batch
}
