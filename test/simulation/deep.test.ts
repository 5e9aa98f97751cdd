import { readFile } from "node:fs/promises"
import { expect, test } from "vitest"
import { defects } from "./deep/defects.ts"
import { type SeedResult, runSeed } from "./deep/run.ts"

/** In parts, for a machine that does much else: one takes some 3 s where nothing else runs. */
const parts = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
const seedsPerPart = 20
const results: SeedResult[] = []

test.each(parts)(
  "the whole system keeps its ten promises, whatever breaks: two hundred seeds, part %i",
  async (part) => {
    const first = (part - 1) * seedsPerPart + 1
    const some: SeedResult[] = []
    for (let seed = first; seed < first + seedsPerPart; seed++) some.push(await runSeed(seed))
    results.push(...some)
    const broken = some.flatMap(({ seed, faults }) =>
      faults.map(
        ({ promise, what }) =>
          `npm run simulate:deep -- --seed ${seed} --runs 1 (promise ${promise}: ${what})`,
      ),
    )
    expect(broken).toEqual([])
  },
)

/** What must have happened somewhere, or nothing was shown. */
const expected =
  "accepted, accepted-unread, accepted-ahead, duplicate, malformed, too-large, wrong-device, unknown-key, revoked, bad-signature, high-s, gap, broken, fork, suspended, killed while sealing, machine lost its power, device lost its power, old backup restored, database stopped, database's clock set, query cut-before, query cut-after, query fails, cloned, fork kept, rotation rotated, rotation unknown, evidence checked"

test("and in them everything happened that may: each verdict, each kind of crash, rotations whose answer was lost", () => {
  const seen = new Set(results.flatMap((result) => [...result.seen.keys()]))
  expect(expected.split(", ").filter((what) => !seen.has(what))).toEqual([])
})

test("two runs of one seed end with the same log, after as many steps", async () => {
  const again = await runSeed(results[0]!.seed)
  expect([again.root, again.steps, again.statements]).toEqual([
    results[0]!.root,
    results[0]!.steps,
    results[0]!.statements,
  ])
  expect(new Set(results.map(({ root }) => root)).size).toBe(parts.length * seedsPerPart)
})

test("every planted defect still has its place in the source, once", async () => {
  const root = new URL("../../", import.meta.url)
  for (const { name, edits } of defects) {
    for (const { file, find } of edits) {
      const text = await readFile(new URL(file, root), "utf8")
      expect([name, file, text.split(find).length - 1]).toEqual([name, file, 1])
    }
  }
})
