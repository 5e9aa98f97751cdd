/**
 * Signatures in one piece of memory, as they go to a thread: a word each, its message's size with the highest bit set for
 * P-256, then key, signature and message. Words are little-endian. JavaScript, as equation.js, since threads load it.
 */
import { verifyEd25519, verifyP256 } from "./equation.js"

const keySizeEd25519 = 32
const keySizeP256 = 64
const signatureSize = 64
const wordSize = 4

/** Grows as signatures are added: what is added is copied, and nothing else is made. */
export class SignatureBatch {
  #bytes = new Uint8Array(131_072)
  #words = new DataView(this.#bytes.buffer)
  #size = 0
  count = 0

  /**
   * @param {Uint8Array} key of 32 bytes for Ed25519, of 64 for P-256
   * @param {Uint8Array} message
   * @param {Uint8Array} signature of 64 bytes
   */
  add(key, message, signature) {
    this.#reserve(wordSize + key.length + signatureSize + message.length)
    this.#words.setUint32(this.#size, (key.length === keySizeP256 ? 0x8000_0000 : 0) + message.length, true)
    this.#bytes.set(key, this.#size + wordSize)
    this.#bytes.set(signature, this.#size + wordSize + key.length)
    this.#bytes.set(message, this.#size + wordSize + key.length + signatureSize)
    this.#size += wordSize + key.length + signatureSize + message.length
    this.count += 1
  }

  /**
   * A copy of what was added since the last call.
   *
   * @returns {ArrayBuffer}
   */
  take() {
    const batch = this.#bytes.buffer.slice(0, this.#size)
    this.#size = 0
    this.count = 0
    return batch
  }

  /** @param {number} more */
  #reserve(more) {
    if (this.#size + more <= this.#bytes.length) return
    const grown = new Uint8Array(2 * (this.#size + more))
    grown.set(this.#bytes.subarray(0, this.#size))
    this.#bytes = grown
    this.#words = new DataView(grown.buffer)
  }
}

/**
 * A byte for each, 1 where it verifies, in order.
 *
 * @param {ArrayBuffer} batch
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function verifyBatch(batch) {
  const words = new DataView(batch)
  /** @type {number[]} */
  const answers = []
  let offset = 0
  /** @param {number} size */
  const next = (size) => {
    const part = new Uint8Array(batch, offset, size)
    offset += size
    return part
  }
  while (offset < batch.byteLength) {
    const word = words.getUint32(offset, true)
    offset += wordSize
    const isP256 = word >>> 31 === 1
    const key = next(isP256 ? keySizeP256 : keySizeEd25519)
    const signature = next(signatureSize)
    const message = next(word & 0x7fff_ffff)
    answers.push((isP256 ? verifyP256 : verifyEd25519)(key, message, signature) ? 1 : 0)
  }
  return Uint8Array.from(answers)
}
