/**
 * Which statement is which leaf. A block's leaves are its statements in order of their ids, and ids have gaps: so a block
 * is a few stretches of consecutive ids, and a stretch is a row instead of each leaf.
 */

/** So many consecutive ids as so many consecutive leaves. */
export interface LeafRun {
  readonly firstLeaf: number
  readonly firstId: bigint
  readonly count: number
}

/** The runs of one block: as long as they can be, and never beyond the block. */
export class LeafRuns {
  private firstLeaf: number
  private firstId: bigint | null = null
  private count = 0

  /** @param firstLeaf of the block */
  constructor(firstLeaf: number) {
    this.firstLeaf = firstLeaf
  }

  /** Takes the next leaf's id, above the last one. Gives the run that it ends, or null. */
  add(id: bigint): LeafRun | null {
    if (this.firstId !== null && id === this.firstId + BigInt(this.count)) {
      this.count += 1
      return null
    }
    const ended = this.last()
    if (ended !== null) this.firstLeaf += ended.count
    this.firstId = id
    this.count = 1
    return ended
  }

  /** The run that is still growing; null before the first leaf. */
  last(): LeafRun | null {
    const { firstLeaf, firstId, count } = this
    return firstId === null ? null : { firstLeaf, firstId, count }
  }
}
