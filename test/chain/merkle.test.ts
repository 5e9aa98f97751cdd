import { createHash } from "node:crypto"
import { expect, test } from "vitest"
import { formatHex, joinBytes, parseHex } from "../../chain/bytes.ts"
import { type Hash, type Sha256, parseHash } from "../../chain/hash.ts"
import {
  Frontier,
  type NodePlace,
  type ReadNode,
  checkConsistency,
  checkInclusion,
  coverRange,
  emptyRoot,
  hashLeaf,
  hashNode,
  proveConsistency,
  proveInclusion,
  rootOf,
} from "../../chain/merkle.ts"

const sizeMax = 64
/** Sizes that a proof is tried under in place of its own. */
const otherSizeMax = 33

/** Node's own: some millions of nodes are hashed here. */
const native: Sha256 = (bytes) => parseHash(createHash("sha256").update(bytes).digest())

const leaves = Array.from({ length: sizeMax + 1 }, (_, index) => native(Uint8Array.of(index)))
const leafHashes = leaves.map((leaf) => hashLeaf(leaf, native))

/** MTH of RFC 9162 §2.1.1, word for word. */
function naiveRoot(hashes: readonly Hash[]): Hash {
  if (hashes.length === 0) return native(new Uint8Array(0))
  if (hashes.length === 1) return hashes[0]!
  let k = 1
  while (2 * k < hashes.length) k *= 2
  return native(joinBytes(Uint8Array.of(1), naiveRoot(hashes.slice(0, k)), naiveRoot(hashes.slice(k))))
}

const roots = Array.from({ length: sizeMax + 2 }, (_, size) => naiveRoot(leafHashes.slice(0, size)))

/** What a store has kept of a tree of this size. */
function keptOf(size: number): { nodes: Map<string, Hash>; readNode: ReadNode } {
  const nodes = new Map<string, Hash>()
  const frontier = new Frontier(native)
  for (const leafHash of leafHashes.slice(0, size)) {
    frontier.append(leafHash, ({ level, index }, hash) => nodes.set(`${level}/${index}`, hash))
  }
  const readNode = ({ level, index }: NodePlace): Hash => {
    const node = nodes.get(`${level}/${index}`)
    if (node === undefined) throw new Error(`node ${level}/${index} was never kept`)
    return node
  }
  return { nodes, readNode }
}

const stores = Array.from({ length: sizeMax + 1 }, (_, size) => keptOf(size))

/** The same path with one bit of one node flipped, once for each node. */
function flips(path: readonly Hash[]): Hash[][] {
  return path.map((_, place) =>
    path.map((node, other) => {
      if (other !== place) return node
      const flipped = Uint8Array.from(node)
      flipped[(7 * place) % 32]! ^= 1 << (place % 8)
      return parseHash(flipped)
    }),
  )
}

test("a leaf begins with 00, a node with 01, and no leaves have the hash of nothing", () => {
  const leaf = leaves[0]!
  expect(hashLeaf(leaf)).toEqual(native(joinBytes(Uint8Array.of(0), leaf)))
  expect(hashNode(leaf, leaf)).toEqual(native(joinBytes(Uint8Array.of(1), leaf, leaf)))
  expect(formatHex(emptyRoot())).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
  expect(rootOf([])).toEqual(emptyRoot())
})

test("a tree that grows leaf by leaf has at every size the root of RFC 9162", () => {
  const frontier = new Frontier(native)
  for (let size = 0; size <= sizeMax; size++) {
    expect(frontier.size).toBe(size)
    expect(frontier.root()).toEqual(roots[size])
    expect(rootOf(leaves.slice(0, size), native)).toEqual(roots[size])
    frontier.append(leafHashes[size]!)
  }
})

test("a tree resumed from what was kept grows on as if it had never stopped", () => {
  for (let size = 0; size <= sizeMax; size++) {
    const resumed = Frontier.resume(size, stores[size]!.readNode, native)
    expect(resumed.size).toBe(size)
    const kept = new Map(stores[size]!.nodes)
    for (let next = size; next < sizeMax; next++) {
      expect(resumed.root()).toEqual(roots[next])
      resumed.append(leafHashes[next]!, ({ level, index }, hash) => kept.set(`${level}/${index}`, hash))
    }
    expect(kept).toEqual(stores[sizeMax]!.nodes)
  }
})

test("a copy grows on its own", () => {
  const one = Frontier.resume(5, stores[5]!.readNode, native)
  const other = one.copy()
  other.append(leafHashes[5]!)
  expect(one.root()).toEqual(roots[5])
  expect(other.root()).toEqual(roots[6])
})

test("each node is handed out once, and every complete subtree is among them", () => {
  const handed: string[] = []
  const frontier = new Frontier(native)
  for (const leafHash of leafHashes.slice(0, 64)) {
    frontier.append(leafHash, ({ level, index }) => handed.push(`${level}/${index}`))
  }
  expect(new Set(handed).size).toBe(handed.length)
  expect(handed).toHaveLength(127)
})

test("the subtrees that cover a range are complete, in order and without a gap", () => {
  for (let to = 0; to <= sizeMax; to++) {
    let next = 0
    for (const { level, index } of coverRange(0, to)) {
      expect(index * 2 ** level).toBe(next)
      next += 2 ** level
    }
    expect(next).toBe(to)
  }
})

test("every leaf of every tree up to 64 is proven, by as few hashes as there are levels", () => {
  let proofs = 0
  for (let size = 1; size <= sizeMax; size++) {
    for (let index = 0; index < size; index++) {
      const path = proveInclusion(index, size, stores[size]!.readNode, native)
      expect(path.length).toBeLessThanOrEqual(Math.ceil(Math.log2(size)))
      expect(checkInclusion(leafHashes[index]!, index, size, path, roots[size]!, native)).toBe(true)
      proofs += 1
    }
  }
  expect(proofs).toBe(2080)
})

test("an inclusion proof with a flipped bit, another leaf, another index, another size or a node more or less is none", () => {
  const wrong: string[] = []
  let tried = 0
  for (let size = 1; size <= sizeMax; size++) {
    const root = roots[size]!
    for (let index = 0; index < size; index++) {
      const leafHash = leafHashes[index]!
      const path = proveInclusion(index, size, stores[size]!.readNode, native)
      const refuse = (what: string, isTaken: boolean): void => {
        tried += 1
        if (isTaken) wrong.push(`${what} of leaf ${index} of ${size}`)
      }
      for (const flipped of flips(path)) {
        refuse("a flipped bit", checkInclusion(leafHash, index, size, flipped, root, native))
      }
      const [flippedLeaf] = flips([leafHash])[0]!
      refuse("another leaf", checkInclusion(flippedLeaf!, index, size, path, root, native))
      const [flippedRoot] = flips([root])[0]!
      refuse("another root", checkInclusion(leafHash, index, size, path, flippedRoot!, native))
      for (let other = 0; other < size; other++) {
        if (other !== index)
          refuse("another index", checkInclusion(leafHash, other, size, path, root, native))
      }
      for (let other = 0; other <= otherSizeMax; other++) {
        // The root belongs to its size: a checkpoint signs both. Under the same root another size may hold.
        if (other !== size) {
          refuse("another size", checkInclusion(leafHash, index, other, path, roots[other]!, native))
        }
      }
      refuse("a node more", checkInclusion(leafHash, index, size, [...path, leafHash], root, native))
      if (size > 1) refuse("a node less", checkInclusion(leafHash, index, size, path.slice(1), root, native))
    }
  }
  expect(wrong).toEqual([])
  expect(tried).toBeGreaterThan(150_000)
})

test("a path alone does not say how large its tree was: two sizes can share a root, so the size must be signed", () => {
  const path = proveInclusion(2, 3, stores[3]!.readNode, native)
  expect(checkInclusion(leafHashes[2]!, 2, 3, path, roots[3]!, native)).toBe(true)
  expect(checkInclusion(leafHashes[2]!, 1, 2, path, roots[3]!, native)).toBe(true)
})

test("every pair of sizes up to 64 is consistent, and the proof shows it", () => {
  let proofs = 0
  for (let size2 = 1; size2 <= sizeMax; size2++) {
    for (let size1 = 1; size1 <= size2; size1++) {
      const proof = proveConsistency(size1, size2, stores[size2]!.readNode, native)
      expect(checkConsistency(size1, size2, roots[size1]!, roots[size2]!, proof, native)).toBe(true)
      expect(proof.length === 0).toBe(size1 === size2)
      proofs += 1
    }
  }
  expect(proofs).toBe(2080)
})

test("a consistency proof with a flipped bit, another root, another size or a node more or less is none", () => {
  const wrong: string[] = []
  let tried = 0
  for (let size2 = 1; size2 <= sizeMax; size2++) {
    for (let size1 = 1; size1 <= size2; size1++) {
      const proof = proveConsistency(size1, size2, stores[size2]!.readNode, native)
      const refuse = (what: string, isTaken: boolean): void => {
        tried += 1
        if (isTaken) wrong.push(`${what} from ${size1} to ${size2}`)
      }
      const check = (one: number, two: number, root1: Hash, root2: Hash, path: readonly Hash[]): boolean =>
        checkConsistency(one, two, root1, root2, path, native)
      const root1 = roots[size1]!
      const root2 = roots[size2]!
      for (const flipped of flips(proof)) refuse("a flipped bit", check(size1, size2, root1, root2, flipped))
      const [other1] = flips([root1])[0]!
      const [other2] = flips([root2])[0]!
      refuse("another old root", check(size1, size2, other1!, root2, proof))
      refuse("another new root", check(size1, size2, root1, other2!, proof))
      refuse("a node more", check(size1, size2, root1, root2, [...proof, root1]))
      refuse("a node less", size1 < size2 && check(size1, size2, root1, root2, proof.slice(0, -1)))
      for (let other = 0; other <= otherSizeMax; other++) {
        if (other !== size1) refuse("another old size", check(other, size2, roots[other]!, root2, proof))
        if (other !== size2) refuse("another new size", check(size1, other, root1, roots[other]!, proof))
      }
    }
  }
  expect(wrong).toEqual([])
  expect(tried).toBeGreaterThan(130_000)
})

test("a log that rewrote a leaf is not consistent with what it was", () => {
  const rewritten = leafHashes.slice(0, 20)
  rewritten[3] = leafHashes[40]!
  const proof = proveConsistency(8, 20, stores[20]!.readNode, native)
  expect(checkConsistency(8, 20, roots[8]!, naiveRoot(rewritten), proof, native)).toBe(false)
  expect(checkConsistency(8, 20, naiveRoot(rewritten.slice(0, 8)), roots[20]!, proof, native)).toBe(false)
})

test("an empty old tree proves nothing, and a place that is not there cannot be proven", () => {
  const { readNode } = stores[8]!
  expect(checkConsistency(0, 8, roots[0]!, roots[8]!, [])).toBe(false)
  expect(checkConsistency(0, 0, roots[0]!, roots[0]!, [])).toBe(false)
  expect(checkConsistency(8, 7, roots[8]!, roots[7]!, [])).toBe(false)
  expect(() => proveConsistency(0, 8, readNode)).toThrow(RangeError)
  expect(() => proveConsistency(9, 8, readNode)).toThrow(RangeError)
  for (const index of [-1, 8, 0.5, Number.NaN]) {
    expect(() => proveInclusion(index, 8, readNode)).toThrow(RangeError)
    expect(checkInclusion(leafHashes[0]!, index, 8, [], roots[8]!)).toBe(false)
  }
  expect(checkInclusion(leafHashes[0]!, 0, Number.NaN, [], roots[8]!)).toBe(false)
  expect(checkConsistency(0.5, 8, roots[8]!, roots[8]!, [])).toBe(false)
})

test("a path with a node more than its tree has levels is refused, though it leads to the root that is given", () => {
  const extra = leafHashes[64]!
  for (let size = 1; size <= 33; size++) {
    const above = hashNode(extra, roots[size]!, native)
    for (let index = 0; index < size; index++) {
      const path = proveInclusion(index, size, stores[size]!.readNode, native)
      expect(checkInclusion(leafHashes[index]!, index, size, [...path, extra], above, native)).toBe(false)
    }
    for (let old = 1; old < size; old++) {
      const proof = [...proveConsistency(old, size, stores[size]!.readNode, native), extra]
      const aboveOld = hashNode(extra, roots[old]!, native)
      // Where the old tree is complete, its root starts the walk and is not part of the proof.
      const isComplete = (old & (old - 1)) === 0
      const start = isComplete ? roots[old]! : aboveOld
      expect(checkConsistency(old, size, start, above, proof, native)).toBe(false)
      expect(checkConsistency(old, size, aboveOld, above, proof, native)).toBe(false)
    }
  }
})

test("a proof that ends before the new tree's root is none: one root cannot stand for two sizes", () => {
  for (const size1 of [1, 2, 4, 8, 16]) {
    for (let size2 = size1 + 1; size2 <= 33; size2++) {
      expect(checkConsistency(size1, size2, roots[size1]!, roots[size1]!, [], native)).toBe(false)
    }
  }
})

test("what has not 32 bytes is no node of a proof", () => {
  const short = parseHex("00".repeat(31)) as Hash
  expect(checkInclusion(leafHashes[0]!, 0, 2, [short], roots[2]!)).toBe(false)
  expect(checkConsistency(1, 2, roots[1]!, roots[2]!, [short])).toBe(false)
})

test("indices beyond 2^32 are counted as they are", () => {
  const size = 2 ** 40
  const path = Array.from({ length: 40 }, () => leafHashes[0]!)
  const root = path.reduce((node, sibling) => hashNode(sibling, node, native), leafHashes[1]!)
  expect(checkInclusion(leafHashes[1]!, size - 1, size, path, root, native)).toBe(true)
  expect(checkInclusion(leafHashes[1]!, size - 2, size, path, root, native)).toBe(false)
})

test("a tree that is given complete subtrees in place of leaves has the same root", () => {
  const all = Array.from({ length: 40 }, (_, index) => hashLeaf(Uint8Array.of(index)))
  const nodes = new Map<string, Hash>()
  const whole = new Frontier()
  for (const leaf of all) whole.append(leaf, ({ level, index }, hash) => nodes.set(`${level}/${index}`, hash))
  for (let from = 0; from <= all.length; from++) {
    for (let to = from; to <= all.length; to++) {
      const tree = new Frontier()
      for (const leaf of all.slice(0, from)) tree.append(leaf)
      for (const { level, index } of coverRange(from, to))
        tree.appendSubtree(level, nodes.get(`${level}/${index}`)!)
      for (const leaf of all.slice(to)) tree.append(leaf)
      expect(tree.size).toBe(all.length)
      expect(tree.root()).toEqual(whole.root())
    }
  }
})

test("a subtree that cannot stand behind the leaves before it throws", () => {
  const tree = new Frontier()
  tree.append(hashLeaf(Uint8Array.of(0)))
  expect(() => tree.appendSubtree(1, hashLeaf(Uint8Array.of(1)))).toThrow(RangeError)
  expect(tree.size).toBe(1)
})
