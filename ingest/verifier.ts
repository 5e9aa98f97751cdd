/**
 * Many signatures at once, on threads of their own: while they are checked, the main thread reads sockets and talks to
 * Postgres.
 */
import { availableParallelism } from "node:os"
import { Worker } from "node:worker_threads"
import type { PublicKey } from "../chain/key.ts"
import { verifyNative } from "./native.ts"
import { SignatureBatch, verifyBatch } from "./signature-batch.js"

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

/** One with threads, which also takes what `SignatureBatch` makes. */
export interface ThreadedVerifier extends Verifier {
  /** A byte for each, 1 where it verifies. */
  verifyBatch(batch: ArrayBuffer, count: number): Promise<Uint8Array>
}

interface Waiting {
  /** What its thread has a copy of. */
  readonly batch: ArrayBuffer
  readonly count: number
  answer(verified: Uint8Array): void
}

/**
 * @param threads one less than there are cores by default, at least one and at most four: one checks 19,000 statements a
 *   second, more than a main thread takes in
 * @param failed told where a thread ended by itself; its work goes on on this one
 */
export function openVerifier(options: {
  readonly threads?: number
  readonly failed?: (error: Error) => void
}): ThreadedVerifier {
  const { threads = Math.min(Math.max(availableParallelism() - 1, 1), 4), failed } = options
  // Filled and taken in one go: its memory is used again.
  const batch = new SignatureBatch()
  const open = new Set(Array.from({ length: threads }, () => new VerifierThread(ended)))

  function ended(thread: VerifierThread, error: Error): void {
    if (open.delete(thread)) failed?.(error)
  }

  const verifyElsewhere = async (taken: ArrayBuffer, count: number): Promise<Uint8Array> => {
    let idlest: VerifierThread | null = null
    for (const thread of open) if (idlest === null || thread.waiting < idlest.waiting) idlest = thread
    return idlest === null ? verifyBatch(taken) : idlest.verify(taken, count)
  }

  return {
    verify: async (requests) => {
      if (requests.length < handedOverMin) return verifierHere.verify(requests)
      for (const { key, message, signature } of requests) batch.add(key.bytes, message, signature)
      return Array.from(await verifyElsewhere(batch.take(), requests.length), (byte) => byte === 1)
    },
    verifyBatch: verifyElsewhere,
    close: async () => {
      const threadsLeft = [...open]
      open.clear()
      await Promise.all(threadsLeft.map((thread) => thread.close()))
    },
  }
}

/** So many signatures are 14 ms of work: enough to be worth a thread's waking, and little to wait for at the end. */
const gatheredMax = 256

/** Signatures one after the other, handed over by batches: for who asks for many and waits for them later. */
export class GatheredSignatures {
  readonly #verifier: ThreadedVerifier
  readonly #batch = new SignatureBatch()
  #asked: Promise<Uint8Array>[] = []

  constructor(verifier: ThreadedVerifier) {
    this.#verifier = verifier
  }

  /** Takes a copy. The form must be good (`checkSignatureForm`). */
  add(key: PublicKey, message: Uint8Array, signature: Uint8Array): void {
    this.#batch.add(key.bytes, message, signature)
    if (this.#batch.count >= gatheredMax) this.#handOver()
  }

  /** Whether each that was added since the last call verifies, in order: a byte, 1 where it does. */
  async send(): Promise<Uint8Array> {
    this.#handOver()
    const asked = this.#asked
    this.#asked = []
    return Buffer.concat(await Promise.all(asked))
  }

  #handOver(): void {
    const { count } = this.#batch
    if (count > 0) this.#asked.push(this.#verifier.verifyBatch(this.#batch.take(), count))
  }
}

/** Batches go in and come out in order. */
class VerifierThread {
  readonly #worker: Worker
  readonly #asked: Waiting[] = []
  #waiting = 0

  constructor(ended: (thread: VerifierThread, error: Error) => void) {
    this.#worker = new Worker(new URL("verifier-thread.js", import.meta.url))
    this.#worker.on("message", (answer: Uint8Array) => {
      const asked = this.#asked.shift()!
      this.#waiting -= asked.count
      asked.answer(answer)
    })
    this.#worker.on("error", (error) => ended(this, error))
    this.#worker.on("exit", (code) => {
      ended(this, new Error(`a verifier's thread ended with ${code}`))
      for (const asked of this.#asked.splice(0)) asked.answer(verifyBatch(asked.batch))
    })
  }

  /** Signatures that have no answer yet. */
  get waiting(): number {
    return this.#waiting
  }

  verify(batch: ArrayBuffer, count: number): Promise<Uint8Array> {
    return new Promise((answer) => {
      this.#asked.push({ batch, count, answer })
      this.#waiting += count
      // Copied, not handed over: where the thread ends, this one goes on with what it had.
      this.#worker.postMessage(batch, [])
    })
  }

  async close(): Promise<void> {
    await this.#worker.terminate()
  }
}
