/**
 * A block's heads map as evidence needs it: made once for all who ask, and bit by bit, since it has a place for every
 * device and the service shares its thread with ingest.
 */
import { compareBytes } from "../chain/bytes.ts"
import { type Hash, type Sha256, sha256 } from "../chain/hash.ts"
import {
  type MapPlace,
  type SealedHead,
  headKey,
  headValue,
  mapNodeOf,
  middleOf,
  subtreeRoot,
} from "../chain/heads.ts"
import { Pace } from "./pace.ts"

/** Places whose root is computed in one piece: some 0.5 ms. */
const placesHeld = 64

export class HeadsMap {
  private readonly heads: ReadonlyMap<string, SealedHead>
  /** By key. */
  private readonly places: readonly MapPlace[]
  private readonly hash: Sha256

  private constructor(heads: ReadonlyMap<string, SealedHead>, places: readonly MapPlace[], hash: Sha256) {
    this.heads = heads
    this.places = places
    this.hash = hash
  }

  /** @param blindOf the blind of a device's place in this block's map */
  static async make(
    sealed: readonly SealedHead[],
    blindOf: (device: string) => Uint8Array,
    hash: Sha256 = sha256,
  ): Promise<HeadsMap> {
    const pace = new Pace()
    const heads = new Map<string, SealedHead>()
    // By the first byte of the key, so that no sort is long.
    const parts: MapPlace[][] = Array.from({ length: 256 }, () => [])
    for (const head of sealed) {
      const key = headKey(head.device, hash)
      heads.set(head.device, head)
      parts[key[0]!]!.push({ key, value: headValue(head, blindOf(head.device), hash) })
      if (pace.isDue) await pace.take()
    }
    const places: MapPlace[] = []
    for (const part of parts) {
      for (const place of part.toSorted((a, b) => compareBytes(a.key, b.key))) places.push(place)
      if (pace.isDue) await pace.take()
    }
    return new HeadsMap(heads, places, hash)
  }

  head(device: string): SealedHead | undefined {
    return this.heads.get(device)
  }

  /** As `proveHead` of `chain/heads.ts`: the siblings of a device that is in the map, from its place up. */
  async prove(device: string): Promise<Hash[]> {
    const { places, hash } = this
    const key = headKey(device, hash)
    const pace = new Pace()
    const path: Hash[] = []
    let from = 0
    let to = places.length
    for (let depth = 0; to - from > 1; depth++) {
      const middle = middleOf(places, from, to, depth)
      const isRight = ((key[depth >> 3]! >> (7 - (depth & 7))) & 1) === 1
      const sibling = isRight
        ? await this.root(from, middle, depth + 1, pace)
        : await this.root(middle, to, depth + 1, pace)
      path.unshift(sibling)
      if (isRight) from = middle
      else to = middle
    }
    return path
  }

  private async root(from: number, to: number, depth: number, pace: Pace): Promise<Hash> {
    const { places, hash } = this
    if (pace.isDue) await pace.take()
    if (to - from <= placesHeld) return subtreeRoot(places, from, to, depth, hash)
    const middle = middleOf(places, from, to, depth)
    const left = await this.root(from, middle, depth + 1, pace)
    const right = await this.root(middle, to, depth + 1, pace)
    return mapNodeOf(left, right, hash)
  }
}

/** Maps that were asked for lately: what a block left never changes. */
export class HeadsMaps {
  private readonly maps = new Map<number, Promise<HeadsMap>>()
  private readonly mapsMax: number

  constructor(mapsMax = 2) {
    this.mapsMax = mapsMax
  }

  /** Those who ask for a map that is being made wait for it. */
  async get(height: number, make: () => Promise<HeadsMap>): Promise<HeadsMap> {
    for (;;) {
      const known = this.maps.get(height)
      if (known === undefined) return this.put(height, make())
      // Its maker may have gone: then it is made here.
      const map = await known.catch(() => null)
      if (map !== null) return map
    }
  }

  private async put(height: number, made: Promise<HeadsMap>): Promise<HeadsMap> {
    this.maps.set(height, made)
    for (const [oldest] of this.maps) {
      if (this.maps.size <= this.mapsMax) break
      this.maps.delete(oldest)
    }
    try {
      return await made
    } catch (error) {
      if (this.maps.get(height) === made) this.maps.delete(height)
      throw error
    }
  }
}
