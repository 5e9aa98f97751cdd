/** Inclusion proofs of sealed statements, from stored tiles. */
import { type Hash, type Sha256, zeroHash } from "../chain/hash.ts"
import { type NodePlace, proveInclusion } from "../chain/merkle.ts"
import { LogNodes, type Query } from "./evidence-nodes.ts"

/** Paths of one tree. Each takes one query, of at most two tiles a level of tiles; what was read lately is kept. */
export class Inclusions {
  private readonly nodes: LogNodes
  private readonly size: number
  private readonly hash: Sha256 | undefined

  /** @param size leaves of the tree */
  constructor(query: Query, size: number, hash?: Sha256) {
    this.nodes = new LogNodes(query, hash)
    this.size = size
    this.hash = hash
  }

  /** Leaves whose paths will be read: their tiles are read together. */
  expect(leaves: readonly number[]): void {
    this.nodes.expect(leaves)
  }

  async read(index: number): Promise<readonly Hash[]> {
    const places: NodePlace[] = []
    // Once for the places, and once for the path: what must be read is not known before, and reading takes time.
    proveInclusion(
      index,
      this.size,
      (place) => (places.push(place), zeroHash),
      () => zeroHash,
    )
    const nodes = await this.nodes.read(places)
    let next = 0
    return proveInclusion(index, this.size, () => nodes[next++]!, this.hash)
  }
}
