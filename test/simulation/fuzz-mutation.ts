/** Damage to bytes, all of it from chance that is passed in. */
import { joinBytes } from "../../chain/bytes.ts"
import type { Random } from "../../devices-sim/random.ts"

type Mutation = (bytes: Uint8Array, random: Random, other: Uint8Array) => Uint8Array

const flip: Mutation = (bytes, random) => {
  const flipped = Uint8Array.from(bytes)
  for (let count = random.int(1, 4); count > 0 && bytes.length > 0; count--)
    flipped[random.int(0, bytes.length - 1)]! ^= 1 << random.int(0, 7)
  return flipped
}

const truncate: Mutation = (bytes, random) => bytes.subarray(0, random.int(0, Math.max(0, bytes.length - 1)))

const insert: Mutation = (bytes, random) => {
  const at = random.int(0, bytes.length)
  return joinBytes(bytes.subarray(0, at), random.bytes(random.int(1, 24)), bytes.subarray(at))
}

const remove: Mutation = (bytes, random) => {
  const [from, to] = chooseChunk(bytes, random)
  return joinBytes(bytes.subarray(0, from), bytes.subarray(to))
}

const duplicate: Mutation = (bytes, random) => {
  const [from, to] = chooseChunk(bytes, random)
  return joinBytes(bytes.subarray(0, to), bytes.subarray(from))
}

const swap: Mutation = (bytes, random) => {
  const [from, to] = chooseChunk(bytes, random)
  const middle = random.int(from, to)
  const halves = [bytes.subarray(middle, to), bytes.subarray(from, middle)]
  return joinBytes(bytes.subarray(0, from), ...halves, bytes.subarray(to))
}

/** Values at which lengths and types turn over. */
const borders = [
  0x00, 0x01, 0x17, 0x18, 0x19, 0x1b, 0x1f, 0x5f, 0x7f, 0x80, 0x9f, 0xbf, 0xd2, 0xf6, 0xfb, 0xff,
]

const overwrite: Mutation = (bytes, random) => {
  const [from, to] = chooseChunk(bytes, random)
  const overwritten = Uint8Array.from(bytes)
  overwritten.fill(random.pick(borders), from, Math.min(to, from + random.int(1, 8)))
  return overwritten
}

/** The front of one and the back of the other. */
const cross: Mutation = (bytes, random, other) =>
  joinBytes(bytes.subarray(0, random.int(0, bytes.length)), other.subarray(random.int(0, other.length)))

const mutations: Readonly<Record<string, Mutation>> = {
  flip,
  truncate,
  insert,
  remove,
  duplicate,
  swap,
  overwrite,
  cross,
}
const names = Object.keys(mutations)

/** Damages `bytes` once, or now and then more often. Gives what was done as well. */
export function mutate(
  bytes: Uint8Array,
  random: Random,
  other: Uint8Array,
): { readonly bytes: Uint8Array; readonly what: string } {
  const done: string[] = []
  let mutated = bytes
  do {
    const name = random.pick(names)
    done.push(name)
    mutated = mutations[name]!(mutated, random, other)
  } while (random.float() < 0.2 && done.length < 4)
  return { bytes: mutated, what: done.join("+") }
}

/** From and to, of at least no bytes; short chunks are more likely than long ones. */
function chooseChunk(bytes: Uint8Array, random: Random): [number, number] {
  const from = random.int(0, bytes.length)
  const rest = bytes.length - from
  return [from, from + Math.floor(rest * random.float() ** 3)]
}
