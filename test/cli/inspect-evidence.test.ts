import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { parseHex } from "../../chain/bytes.ts"
import { dumpEvidenceItem, formatInspectedEvidence, inspectEvidence } from "../../cli/inspect-evidence.ts"
import type { EvidenceVector } from "../vectors/evidence-scene.ts"

function readFile(path: string): Uint8Array {
  const text = readFileSync(join(import.meta.dirname, "../vectors/evidence", `${path}.json`), "utf8")
  return parseHex((JSON.parse(text) as EvidenceVector).evidence)!
}

test("evidence is listed item by item, with the leaves that each stands for", () => {
  const file = readFile("valid/two-blocks")
  const inspected = inspectEvidence(file)
  expect(inspected.wrong).toBeNull()
  expect(inspected.items.reduce((sum, { leaves }) => sum + leaves, 0)).toBe(25)
  const lines = formatInspectedEvidence(inspected, file.length).join("\n")
  expect(lines).toMatch(
    /head: device k7 in blocks 2 to 3 of \S+, under a checkpoint of 25 leaves with 1 signature\n/,
  )
  expect(lines).toMatch(/ 10 +statement 3 of k7: 3 readings; arrived 2025-06-01T08:00:11.000Z\n/)
  expect(lines).toMatch(/manifest of block 4; the device at statement 8, a path of 1; the last, 0 nodes/)
})

test("an item is shown byte by byte, its statement too, and nothing of it is left out", () => {
  const file = readFile("valid/two-blocks")
  const inspected = inspectEvidence(file)
  for (const { item, offset, sizeBytes } of inspected.items) {
    const dump = dumpEvidenceItem(file, inspected, item)!
    expect(dump.sizeBytes).toBe(sizeBytes)
    const shown = dump.lines.flatMap(({ bytes }) => [...bytes])
    expect(shown).toEqual([...file.subarray(offset, offset + sizeBytes)])
  }
  const [manifest] = inspected.items.filter(({ kind }) => kind === "manifest")
  const said = dumpEvidenceItem(file, inspected, manifest!.item)!.lines.map(({ text }) => text)
  expect(said).toContain("1 height: 1")
  expect(said).toContain("the device's seq: 2")
  expect(dumpEvidenceItem(file, inspected, inspected.items.length + 1)).toBeNull()
})

test("where evidence leaves the format, the item and the rule are named", () => {
  const file = readFile("valid/two-blocks")
  const { items } = inspectEvidence(file)
  const last = items.at(-1)!
  expect(inspectEvidence(file.subarray(0, -1)).wrong).toEqual({
    item: last.item,
    offset: last.offset,
    rule: "the file ends inside an item",
  })
  expect(inspectEvidence(readFile("invalid/unknown-kind")).wrong).toMatchObject({
    item: 2,
    offset: items[1]!.offset,
    rule: expect.stringContaining("an item is a gap (1)") as string,
  })
  expect(inspectEvidence(readFile("invalid/item-too-large")).wrong).toMatchObject({ item: 2 })
})
