/** The Merkle tree of RFC 9162 §2.1. No I/O: what must be stored is handed out, what is stored is asked for. */
import { equalBytes } from "./bytes.ts"
import { type Hash, type Sha256, hashSize, sha256 } from "./hash.ts"

/** A complete subtree: level 0 is a leaf, and a node of level l covers the 2^l leaves from index * 2^l on. */
export interface NodePlace {
  readonly level: number
  readonly index: number
}

/** Is given a node that a growing tree completes. */
export type KeepNode = (place: NodePlace, hash: Hash) => void

/** The stored hash of a complete subtree. */
export type ReadNode = (place: NodePlace) => Hash

/** MTH({}) (RFC 9162 §2.1.1). */
export function emptyRoot(hash: Sha256 = sha256): Hash {
  return hash(new Uint8Array(0))
}

/** SHA-256(00 ‖ leaf) */
export function hashLeaf(leaf: Uint8Array, hash: Sha256 = sha256): Hash {
  const message = leaf.length === hashSize ? entryMessage : new Uint8Array(1 + leaf.length)
  message.set(leaf, 1)
  return hash(message)
}

/** SHA-256(01 ‖ left ‖ right) */
export function hashNode(left: Hash, right: Hash, hash: Sha256 = sha256): Hash {
  nodeMessage.set(left, 1)
  nodeMessage.set(right, 1 + hashSize)
  return hash(nodeMessage)
}

/** What is hashed, in the same memory each time: a block of 1,000,000 hashes 4,000,000 messages. No `Sha256` keeps them. */
const entryMessage = new Uint8Array(1 + hashSize)
const nodeMessage = Uint8Array.of(1, ...new Uint8Array(2 * hashSize))

/**
 * A tree that grows leaf by leaf in memory of its logarithm: the roots of its complete subtrees, largest first.
 */
export class Frontier {
  private readonly hash: Sha256
  private readonly roots: { readonly level: number; readonly hash: Hash }[] = []
  private count = 0

  constructor(hash: Sha256 = sha256) {
    this.hash = hash
  }

  /** The frontier of a stored tree of this many leaves. */
  static resume(size: number, readNode: ReadNode, hash: Sha256 = sha256): Frontier {
    const frontier = new Frontier(hash)
    for (const place of coverRange(0, size))
      frontier.roots.push({ level: place.level, hash: readNode(place) })
    frontier.count = size
    return frontier
  }

  get size(): number {
    return this.count
  }

  /** A second frontier that grows on its own. */
  copy(): Frontier {
    const copy = new Frontier(this.hash)
    copy.roots.push(...this.roots)
    copy.count = this.count
    return copy
  }

  /**
   * Adds a leaf hash.
   *
   * @param keep is given every node that this leaf completes, itself included: what a store must keep to prove and resume
   */
  append(leafHash: Hash, keep?: KeepNode): void {
    let node = leafHash
    let level = 0
    let index = this.count
    keep?.({ level, index }, node)
    while (this.roots.at(-1)?.level === level) {
      node = hashNode(this.roots.pop()!.hash, node, this.hash)
      level += 1
      index = (index - 1) / 2
      keep?.({ level, index }, node)
    }
    this.roots.push({ level, hash: node })
    this.count += 1
  }

  /**
   * Adds a complete subtree of 2^level leaves by its hash alone.
   *
   * @throws RangeError where so many leaves cannot stand as one subtree behind those before
   */
  appendSubtree(level: number, subtreeHash: Hash): void {
    const width = 2 ** level
    if (this.count % width !== 0)
      throw new RangeError(`no complete subtree of ${width} leaves begins at leaf ${this.count}`)
    let node = subtreeHash
    let height = level
    while (this.roots.at(-1)?.level === height) {
      node = hashNode(this.roots.pop()!.hash, node, this.hash)
      height += 1
    }
    this.roots.push({ level: height, hash: node })
    this.count += width
  }

  root(): Hash {
    const last = this.roots.at(-1)
    if (last === undefined) return emptyRoot(this.hash)
    let root = last.hash
    for (let place = this.roots.length - 2; place >= 0; place--)
      root = hashNode(this.roots[place]!.hash, root, this.hash)
    return root
  }
}

/** Root over some leaves. */
export function rootOf(leaves: Iterable<Uint8Array>, hash: Sha256 = sha256): Hash {
  const frontier = new Frontier(hash)
  for (const leaf of leaves) frontier.append(hashLeaf(leaf, hash))
  return frontier.root()
}

/** The complete subtrees, each as large as can be, that cover leaves `from` to `to` - 1, in order. */
export function coverRange(from: number, to: number): NodePlace[] {
  const places: NodePlace[] = []
  let start = from
  while (start < to) {
    let level = 0
    let width = 1
    while (start % (2 * width) === 0 && start + 2 * width <= to) {
      width *= 2
      level += 1
    }
    places.push({ level, index: start / width })
    start += width
  }
  return places
}

/** MTH(D[from:to]) of RFC 9162 §2.1.1, from stored nodes. */
function rangeRoot(from: number, to: number, readNode: ReadNode, hash: Sha256): Hash {
  const places = coverRange(from, to)
  let root = readNode(places.at(-1)!)
  for (let place = places.length - 2; place >= 0; place--)
    root = hashNode(readNode(places[place]!), root, hash)
  return root
}

/** The largest power of two below n, for n above 1. */
function splitPoint(n: number): number {
  let k = 1
  while (2 * k < n) k *= 2
  return k
}

function checkTreePlace(index: number, size: number): void {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) {
    throw new RangeError(`a tree of ${size} leaves has no leaf ${index}`)
  }
}

/** PATH(index, D_size) of RFC 9162 §2.1.3.1: from the leaf's sibling up. Throws a RangeError on a leaf that is not there. */
export function proveInclusion(
  index: number,
  size: number,
  readNode: ReadNode,
  hash: Sha256 = sha256,
): Hash[] {
  checkTreePlace(index, size)
  const path: Hash[] = []
  let from = 0
  let to = size
  while (to - from > 1) {
    const middle = from + splitPoint(to - from)
    if (index < middle) {
      path.unshift(rangeRoot(middle, to, readNode, hash))
      to = middle
    } else {
      path.unshift(rangeRoot(from, middle, readNode, hash))
      from = middle
    }
  }
  return path
}

/** RFC 9162 §2.1.3.2. */
export function checkInclusion(
  leafHash: Hash,
  index: number,
  size: number,
  path: readonly Hash[],
  root: Hash,
  hash: Sha256 = sha256,
): boolean {
  const proven = rootOfPath(leafHash, index, size, path, hash)
  return proven !== null && equalBytes(proven, root)
}

/**
 * The root that a leaf and its path give (RFC 9162 §2.1.3.2, without the last comparison); null where the path cannot be
 * one of this leaf in a tree of this size. Says nothing until the root is found to be a signed one.
 */
export function rootOfPath(
  leafHash: Hash,
  index: number,
  size: number,
  path: readonly Hash[],
  hash: Sha256 = sha256,
): Hash | null {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return null
  // A tree of one leaf has the leaf's hash as its root: what is no hash must not prove itself.
  if (leafHash.length !== hashSize) return null
  let fn = index
  let sn = size - 1
  let node = leafHash
  for (const sibling of path) {
    if (sn === 0 || sibling.length !== hashSize) return null
    if (fn % 2 === 1 || fn === sn) {
      node = hashNode(sibling, node, hash)
      while (fn % 2 === 0 && fn !== 0) {
        fn = Math.floor(fn / 2)
        sn = Math.floor(sn / 2)
      }
    } else node = hashNode(node, sibling, hash)
    fn = Math.floor(fn / 2)
    sn = Math.floor(sn / 2)
  }
  return sn === 0 ? node : null
}

/** PROOF(size1, D_size2) of RFC 9162 §2.1.4.1; empty where the sizes are equal. Throws a RangeError unless 0 < size1 <= size2. */
export function proveConsistency(
  size1: number,
  size2: number,
  readNode: ReadNode,
  hash: Sha256 = sha256,
): Hash[] {
  if (size1 < 1 || size1 > size2) throw new RangeError(`there is no proof from ${size1} to ${size2} leaves`)
  const path: Hash[] = []
  let from = 0
  let to = size2
  let isWholeOld = true
  while (size1 !== to) {
    const middle = from + splitPoint(to - from)
    if (size1 <= middle) {
      path.unshift(rangeRoot(middle, to, readNode, hash))
      to = middle
    } else {
      path.unshift(rangeRoot(from, middle, readNode, hash))
      from = middle
      isWholeOld = false
    }
  }
  // The old root itself is known to who asks, so it is left out where the old tree is a complete subtree.
  if (!isWholeOld) path.unshift(rangeRoot(from, to, readNode, hash))
  return path
}

/** RFC 9162 §2.1.4.2. An empty old tree has nothing to prove and is not consistent with anything here. */
export function checkConsistency(
  size1: number,
  size2: number,
  root1: Hash,
  root2: Hash,
  proof: readonly Hash[],
  hash: Sha256 = sha256,
): boolean {
  if (!Number.isSafeInteger(size1) || !Number.isSafeInteger(size2) || size1 < 1 || size1 > size2) return false
  if (size1 === size2) return proof.length === 0 && equalBytes(root1, root2)
  const roots = foldConsistency(size1, size2, root1, proof, hash)
  return roots !== null && equalBytes(roots.old, root1) && equalBytes(roots.fresh, root2)
}

/**
 * The root over the first `size1` leaves of a tree, as a proof of it shows: what somebody who proves consistency takes for
 * the old root. Null where the proof does not give the tree's root, and where `size1` is a power of two, since such a proof
 * does not hold the old root.
 */
export function oldRootOf(
  size1: number,
  size2: number,
  root2: Hash,
  proof: readonly Hash[],
  hash: Sha256 = sha256,
): Hash | null {
  if (!Number.isSafeInteger(size1) || !Number.isSafeInteger(size2) || size1 < 1 || size1 >= size2) return null
  if (isPowerOfTwo(size1)) return null
  const roots = foldConsistency(size1, size2, root2, proof, hash)
  return roots !== null && equalBytes(roots.fresh, root2) ? roots.old : null
}

function isPowerOfTwo(n: number): boolean {
  return splitPoint(2 * n) === n
}

/** Both roots that a proof leads to; null where it is none. Of a power of two the old root is the proof's beginning. */
function foldConsistency(
  size1: number,
  size2: number,
  root1: Hash,
  proof: readonly Hash[],
  hash: Sha256,
): { readonly old: Hash; readonly fresh: Hash } | null {
  const path = isPowerOfTwo(size1) ? [root1, ...proof] : proof
  if (path.length === 0 || path.some((node) => node.length !== hashSize)) return null
  let fn = size1 - 1
  let sn = size2 - 1
  while (fn % 2 === 1) {
    fn = Math.floor(fn / 2)
    sn = Math.floor(sn / 2)
  }
  let old = path[0]!
  let fresh = path[0]!
  for (const node of path.slice(1)) {
    if (sn === 0) return null
    if (fn % 2 === 1 || fn === sn) {
      old = hashNode(node, old, hash)
      fresh = hashNode(node, fresh, hash)
      while (fn % 2 === 0 && fn !== 0) {
        fn = Math.floor(fn / 2)
        sn = Math.floor(sn / 2)
      }
    } else fresh = hashNode(fresh, node, hash)
    fn = Math.floor(fn / 2)
    sn = Math.floor(sn / 2)
  }
  return sn === 0 ? { old, fresh } : null
}
