/** The bench's devices: keys from a seed, and chains that grow as statements are signed for them. */
import { writeFileSync } from "node:fs"
import { formatHex } from "../../chain/bytes.ts"
import { type ChainBinding, firstPrevOf } from "../../chain/genesis.ts"
import { type Hash, zeroHash } from "../../chain/hash.ts"
import { algorithmEd25519, encodeCoseKey } from "../../chain/key.ts"
import { entryOf } from "../../chain/statement.ts"
import { type Random, makeRandom } from "../../devices-sim/random.ts"
import { sha256Native } from "../../ingest/native.ts"
import { type SoakDevice, claimsBehind, makeSoakDevice, signClaims } from "../simulation/soak-device.ts"
import { type Pack, makePacks, spanOf } from "./readings.ts"

interface Member {
  readonly device: SoakDevice
  seq: number
  entry: Hash
  /** Where its next pack begins, Unix seconds. */
  startsAt: number
}

/** A statement, or another message, and who sends it. */
export interface Message {
  /** Index in the fleet. */
  readonly from: number
  readonly bytes: Uint8Array
}

export class Fleet {
  readonly #members: Member[]
  readonly #random: Random

  /** @param startsAt Unix seconds of everybody's first reading: far enough in the past that none comes to lie ahead */
  constructor(name: string, count: number, seed: number, startsAt: number) {
    this.startsAtS = startsAt
    this.#random = makeRandom(`bench ${seed} ${name}`)
    this.#members = Array.from({ length: count }, (_, index) => {
      const id = `${name}-${index}`
      return {
        device: makeSoakDevice(id, algorithmEd25519, this.#random.fork(id)),
        seq: 0,
        entry: zeroHash,
        startsAt,
      }
    })
  }

  /** Unix seconds of everybody's first reading. */
  readonly startsAtS: number

  /** Begins every chain in this log. Comes before `sign`. */
  begin(binding: ChainBinding): void {
    for (const member of this.#members) member.entry = firstPrevOf(binding, member.device.id)
  }

  get devices(): readonly SoakDevice[] {
    return this.#members.map(({ device }) => device)
  }

  get heads(): readonly { readonly device: string; readonly seq: number; readonly entry: Hash }[] {
    return this.#members.map(({ device, seq, entry }) => ({ device: device.id, seq, entry }))
  }

  /** For `tidemark device enroll --from`. */
  writeEnrolments(path: string): void {
    const lines = this.devices.map(({ id, key }) => `${id},${formatHex(encodeCoseKey(key.publicKey))}`)
    writeFileSync(path, `id,key\n${lines.join("\n")}\n`)
  }

  /** The next `count` packs, turn by turn, unsigned: what a pipeline without signatures would be sent. */
  *packs(count: number, readings: number): Generator<Pack & { readonly from: number }> {
    const make = makePacks(readings)
    for (let index = 0; index < count; index++) {
      const from = index % this.#members.length
      const member = this.#members[from]!
      const pack = make(member.startsAt, this.#random)
      member.startsAt += spanOf(readings)
      yield { from, ...pack }
    }
  }

  /** Signs each pack behind its device's head, in order. */
  *sign(packs: Iterable<Pack & { readonly from: number }>): Generator<Message> {
    for (const { from, payload } of packs) {
      const member = this.#members[from]!
      const bytes = signClaims(member.device.key, claimsBehind(member.device, member, payload))
      member.seq += 1
      member.entry = entryOf(bytes, sha256Native)
      yield { from, bytes }
    }
  }
}

/** Messages as a file, so that several processes send or store the same: from (2 bytes), length (4), bytes. */
export function writeMessages(path: string, messages: Iterable<Message>): number {
  const parts: Uint8Array[] = []
  let count = 0
  for (const { from, bytes } of messages) {
    const head = new DataView(new ArrayBuffer(6))
    head.setUint16(0, from)
    head.setUint32(2, bytes.length)
    parts.push(new Uint8Array(head.buffer), bytes)
    count += 1
  }
  writeFileSync(path, Buffer.concat(parts))
  return count
}

export function parseMessages(file: Uint8Array): Message[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  const messages: Message[] = []
  for (let at = 0; at < file.length;) {
    const from = view.getUint16(at)
    const length = view.getUint32(at + 2)
    messages.push({ from, bytes: file.subarray(at + 6, at + 6 + length) })
    at += 6 + length
  }
  return messages
}
