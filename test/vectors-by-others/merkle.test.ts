import { expect, test } from "vitest"
import { encodeUtf8, formatHex, parseBase64, parseHex } from "../../chain/bytes.ts"
import { type Hash, parseHash } from "../../chain/hash.ts"
import {
  Frontier,
  type NodePlace,
  checkConsistency,
  checkInclusion,
  emptyRoot,
  hashLeaf,
  hashNode,
  proveConsistency,
  proveInclusion,
  rootOf,
} from "../../chain/merkle.ts"
import { hasVectors, listVectors, readVectorJson } from "./folder.ts"

/** Deliberately without a check of the length: a proof comes from outside, and a short hash in it must only fail. */
function looseHash(text: string): Hash {
  return parseBase64(text) as Hash
}

interface Inclusion {
  readonly leafIdx: number
  readonly treeSize: number
  readonly root: string
  readonly leafHash: string
  readonly proof: readonly string[] | null
  readonly wantErr: boolean
}

interface Consistency {
  readonly size1: number
  readonly size2: number
  readonly root1: string
  readonly root2: string
  readonly proof: readonly string[] | null
  readonly wantErr: boolean
}

const tree = "transparency-dev-merkle/testdata"

test.runIf(hasVectors)("98 inclusion proofs are judged as transparency-dev judges them", () => {
  const names = listVectors(`${tree}/inclusion`, ".json")
  const disagreeing = names.filter((name) => {
    const { leafIdx, treeSize, root, leafHash, proof, wantErr } = readVectorJson(name) as Inclusion
    const path = (proof ?? []).map(looseHash)
    return checkInclusion(looseHash(leafHash), leafIdx, treeSize, path, looseHash(root)) === wantErr
  })
  expect({ seen: names.length, disagreeing }).toEqual({ seen: 98, disagreeing: [] })
})

test.runIf(hasVectors)(
  "98 consistency proofs are judged as transparency-dev judges them, an old tree of size 0 included",
  () => {
    const names = listVectors(`${tree}/consistency`, ".json")
    const disagreeing = names.filter((name) => {
      const { size1, size2, root1, root2, proof, wantErr } = readVectorJson(name) as Consistency
      const path = (proof ?? []).map(looseHash)
      return checkConsistency(size1, size2, looseHash(root1), looseHash(root2), path) === wantErr
    })
    expect(names.length).toBe(98)
    expect(disagreeing).toEqual([])

    // RFC 9162 §2.1.4 knows no proof from an empty tree. That project refuses one as useless, and so do we; a rule by
    // which the empty tree is consistent with everything would take exactly these three.
    const emptyToAny = names.filter((name) => {
      const { size1, size2, root1, root2, proof } = readVectorJson(name) as Consistency
      return size1 === 0 && proof?.length === 0 && (size2 > 0 || root1 === root2)
    })
    expect(emptyToAny.map((name) => name.split("/").at(-1))).toEqual([
      "size1-is-zero-and-does-not-equal-size2.json",
      "size1-is-zero-and-size2-is-not-zero.json",
      "sizes-are-equal-zero-and-proof-is-empty.json",
    ])
  },
)

function nameOf({ level, index }: NodePlace): string {
  return `${level} ${index}`
}

interface Constants {
  readonly leafInputsHex: readonly string[]
  /** By level, from the leaves up: the complete subtrees. */
  readonly levels: readonly (readonly string[])[]
  readonly rootsBySize: readonly string[]
  readonly goTlogRecordHash: { readonly input: string; readonly recordHashBase64: string }
}

test.runIf(hasVectors)(
  "leaves, nodes and roots of RFC 6962 come out as written down, and every proof over them holds",
  () => {
    const constants = readVectorJson("extracted/rfc6962-merkle.json") as Constants
    const leaves = constants.leafInputsHex.map((leaf) => parseHex(leaf)!)
    const nodes = new Map<string, Hash>()
    const frontier = new Frontier()
    const roots = [frontier.root()]
    for (const leaf of leaves) {
      frontier.append(hashLeaf(leaf), (place, hash) => nodes.set(nameOf(place), hash))
      roots.push(frontier.root())
    }
    expect(roots.map(formatHex)).toEqual(constants.rootsBySize)
    expect(roots.length).toBe(9)
    expect(roots[0]).toEqual(emptyRoot())
    expect(leaves.map((_, index) => formatHex(rootOf(leaves.slice(0, index + 1))))).toEqual(
      constants.rootsBySize.slice(1),
    )
    const kept = constants.levels.map((level, depth) =>
      level.map((_, index) => formatHex(nodes.get(nameOf({ level: depth, index }))!)),
    )
    expect(kept).toEqual(constants.levels)
    expect(nodes.size).toBe(constants.levels.flat().length)
    const [left, right] = constants.levels[0]!.map((leaf) => parseHash(parseHex(leaf)!))
    expect(formatHex(hashNode(left!, right!))).toBe(constants.levels[1]![0])

    const readNode = (place: NodePlace): Hash => nodes.get(nameOf(place))!
    let proofs = 0
    for (let size = 1; size <= leaves.length; size++) {
      for (let index = 0; index < size; index++) {
        const path = proveInclusion(index, size, readNode)
        expect(checkInclusion(hashLeaf(leaves[index]!), index, size, path, roots[size]!)).toBe(true)
        proofs += 1
      }
      for (let old = 1; old <= size; old++) {
        const path = proveConsistency(old, size, readNode)
        expect(checkConsistency(old, size, roots[old]!, roots[size]!, path)).toBe(true)
        proofs += 1
      }
    }
    expect(proofs).toBe(72)

    const { input, recordHashBase64 } = constants.goTlogRecordHash
    expect(hashLeaf(encodeUtf8(input))).toEqual(parseHash(parseBase64(recordHashBase64)!))
  },
)
