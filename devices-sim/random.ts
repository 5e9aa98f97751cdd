import { createHash } from "node:crypto"

/** Chance as an argument: everything that a simulated device draws comes from one of these, and so from one seed. */
export interface Random {
  /** Uniform in [0, 1), 53 bits. */
  float(): number
  /** Uniform integer, both ends included. */
  int(min: number, max: number): number
  /** Around `mean` with deviation `sd`, never further than 6 deviations away. */
  normal(mean: number, sd: number): number
  /** One of `choices`, which must not be empty. */
  pick<Choice>(choices: readonly Choice[]): Choice
  bytes(length: number): Uint8Array
  /** Uniform in [0, 1) for a place in time: depends on `index` (an integer) only, and moves nothing on. */
  at(index: number): number
  /** An independent stream by name: the same whatever was drawn before, so that one more draw shifts nobody else. */
  fork(name: string): Random
}

/** The stream of a seed. Its values are fixed for ever: a test holds some of them. */
export function makeRandom(seed: string | number): Random {
  return randomOf(createHash("sha256").update(`tidemark random 1\n${seed}`).digest())
}

function randomOf(key: Uint8Array): Random {
  const words = new DataView(key.buffer, key.byteOffset, key.byteLength)
  // The first 12 bytes start the sequence, the next 8 key the places in time, the whole key names the forks.
  const next = sfc32(words.getUint32(0, true), words.getUint32(4, true), words.getUint32(8, true))
  const lowKey = words.getUint32(12, true)
  const highKey = words.getUint32(16, true)

  function float(): number {
    return ((next() >>> 5) * 0x4000000 + (next() >>> 6)) / 0x20000000000000
  }

  return {
    float,
    int(min, max) {
      if (!Number.isSafeInteger(min) || !Number.isSafeInteger(max) || max < min) {
        throw new RangeError("int: both ends are integers, the first not above the second")
      }
      return min + Math.floor(float() * (max - min + 1))
    },
    normal(mean, sd) {
      // The sum of 12 uniforms and not Box-Muller: logarithm and cosine differ in the last bit between engines.
      let sum = -6
      for (let i = 0; i < 12; i++) sum += float()
      return mean + sum * sd
    },
    pick(choices) {
      const choice = choices[Math.floor(float() * choices.length)]
      if (choice === undefined) throw new RangeError("pick: there is nothing to choose from")
      return choice
    },
    bytes(length) {
      const bytes = new Uint8Array(length)
      for (let i = 0; i < length; i++) bytes[i] = next() >>> 24
      return bytes
    },
    at(index) {
      const high = Math.floor(index / 0x100000000)
      const low = mix((index - high * 0x100000000) ^ lowKey)
      return mix(low ^ Math.imul(high, 0x9e3779b1) ^ highKey) / 0x100000000
    },
    fork(name) {
      return randomOf(createHash("sha256").update(key).update(name).digest())
    },
  }
}

/** Chris Doty-Humphrey's sfc32 (PractRand), with its 12 rounds of warming up. */
function sfc32(a: number, b: number, c: number): () => number {
  let counter = 1
  function next(): number {
    const out = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + out
    return out >>> 0
  }
  for (let round = 0; round < 12; round++) next()
  return next
}

/** The finaliser of MurmurHash3: every bit of the input moves every bit of the output. */
function mix(word: number): number {
  let h = word | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
