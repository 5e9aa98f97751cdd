/** A log that somebody else's software wrote, file by file (C2SP tlog-tiles). */
import { expect, test } from "vitest"
import { parseCheckpoint } from "../../chain/checkpoint.ts"
import { type Hash, parseHash } from "../../chain/hash.ts"
import {
  Frontier,
  type NodePlace,
  checkConsistency,
  checkInclusion,
  hashLeaf,
  proveConsistency,
  proveInclusion,
} from "../../chain/merkle.ts"
import { parseNote, parseVkey, verifyNote } from "../../chain/note.ts"
import { hasVectors, readVector, readVectorJson, readVectorText } from "./folder.ts"

const log = "transparency-dev-tessera/testdata/log"
const sizeMax = 15

/** C2SP tlog-tiles: entries, each behind its length in two bytes. */
function readBundle(size: number): Uint8Array[] {
  const bundle = readVector(`${log}/tile/entries/000.p/${size}`)
  const entries: Uint8Array[] = []
  for (let offset = 0; offset < bundle.length;) {
    const length = bundle[offset]! * 256 + bundle[offset + 1]!
    entries.push(bundle.subarray(offset + 2, offset + 2 + length))
    offset += 2 + length
  }
  return entries
}

function readTile(size: number): Hash[] {
  const tile = readVector(`${log}/tile/0/000.p/${size}`)
  return Array.from({ length: tile.length / 32 }, (_, index) =>
    parseHash(tile.subarray(32 * index, 32 * index + 32)),
  )
}

function nameOf({ level, index }: NodePlace): string {
  return `${level} ${index}`
}

test.runIf(hasVectors)(
  "tessera's 16 checkpoints are signed, and its tiles and bundles give their roots",
  () => {
    const { logVkeys } = readVectorJson("extracted/signed-notes.json") as { logVkeys: Record<string, string> }
    const key = parseVkey(logVkeys["tesseraTestdata"]!)!
    const roots: Hash[] = []
    for (let size = 0; size <= sizeMax; size++) {
      const note = parseNote(readVectorText(`${log}/checkpoint.${size}`))!
      expect(verifyNote(note, [key])).toEqual([key])
      const checkpoint = parseCheckpoint(note.text)!
      expect({ origin: checkpoint.origin, size: checkpoint.size }).toEqual({ origin: key.name, size })
      roots.push(checkpoint.root)
    }
    expect(roots.length).toBe(16)
    expect(readVectorText(`${log}/checkpoint`)).toBe(readVectorText(`${log}/checkpoint.${sizeMax}`))

    const nodes = new Map<string, Hash>()
    const readNode = (place: NodePlace): Hash => nodes.get(nameOf(place))!
    const frontier = new Frontier()
    expect(frontier.root()).toEqual(roots[0])
    const leaves = readBundle(sizeMax).map((entry) => hashLeaf(entry))
    for (let size = 1; size <= sizeMax; size++) {
      expect(readTile(size)).toEqual(leaves.slice(0, size))
      expect(readBundle(size)).toEqual(readBundle(sizeMax).slice(0, size))
      frontier.append(leaves[size - 1]!, (place, hash) => nodes.set(nameOf(place), hash))
      expect(frontier.root()).toEqual(roots[size])
      expect(Frontier.resume(size, readNode).root()).toEqual(roots[size])
    }

    const seen = { inclusion: 0, consistency: 0, swapped: 0 }
    for (let size = 1; size <= sizeMax; size++) {
      for (let index = 0; index < size; index++) {
        const path = proveInclusion(index, size, readNode)
        expect(checkInclusion(leaves[index]!, index, size, path, roots[size]!)).toBe(true)
        seen.inclusion += 1
      }
      for (let old = 1; old <= size; old++) {
        const proof = proveConsistency(old, size, readNode)
        expect(checkConsistency(old, size, roots[old]!, roots[size]!, proof)).toBe(true)
        seen.consistency += 1
        // Every other pair of roots must fail under this proof.
        expect(checkConsistency(old, size, roots[size]!, roots[old]!, proof)).toBe(old === size)
        seen.swapped += old === size ? 0 : 1
      }
    }
    expect(seen).toEqual({ inclusion: 120, consistency: 120, swapped: 105 })
  },
)
