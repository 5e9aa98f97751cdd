import { expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import { Frontier, hashLeaf } from "../../chain/merkle.ts"
import { sha256Native } from "../../ingest/native.ts"
import { fillHour } from "../bench/hour.ts"
import { type Stand, openStand, send } from "./stand.ts"

/** The root over the first `size` leaves, from the entries alone. */
async function rootOfEntries({ pool }: Stand, size: number): Promise<string> {
  const { rows } = await pool.query<{ entry: Uint8Array }>("select entry from entries order by id limit $1", [
    size,
  ])
  const tree = new Frontier(sha256Native)
  for (const { entry } of rows) tree.append(hashLeaf(entry, sha256Native))
  return formatHex(tree.root())
}

test("a block of 20,000 statements is taken page by page, and the next one grows on its tiles", async () => {
  const stand = await openStand()
  const devices = await Promise.all(Array.from({ length: 30 }, (_, number) => stand.enrol(`d${number}`)))
  await fillHour({
    pool: stand.pool,
    devices: devices.map(({ id }) => id),
    statements: 20_000,
    readings: 3,
  })
  const progress: number[] = []
  const large = await stand.seal({ onProgress: (statements) => progress.push(statements) })
  if (large.kind !== "sealed") throw new Error("20,000 statements were not sealed")
  expect(progress).toEqual([5_000, 10_000, 15_000, 20_000, 20_031])
  expect(large.block.summary).toMatchObject({ statements: 20_000, readings: 60_000, devices: 30 })
  expect(large.block.treeSize).toBe(20_032)
  expect(formatHex(large.block.treeRoot)).toBe(await rootOfEntries(stand, 20_032))

  const late = await stand.enrol("late")
  // What a group that was rolled back leaves.
  await stand.pool.query("select nextval('statement_ids') from generate_series(1, 5)")
  await send(stand.intake.open(late.id), late.next())
  const small = await stand.seal()
  if (small.kind !== "sealed") throw new Error("a statement was not sealed")
  expect(small.block.treeSize).toBe(20_035)
  expect(formatHex(small.block.treeRoot)).toBe(await rootOfEntries(stand, 20_035))

  const { rows } = await stand.pool.query(
    "select count(*) as count, min(leaf_index) as first, max(leaf_index) as last, count(distinct statement_id) as statements from leaves",
  )
  expect(rows).toEqual([{ count: 20_035, first: 0, last: 20_034, statements: 20_035 }])
  const { rows: runs } = await stand.pool.query(
    `select count(*) as runs, sum(leaf_count)::bigint as leaves,
            (select count(*) from leaves where leaf_of(statement_id) = leaf_index and statement_of(leaf_index) = statement_id) as found,
            leaf_of(max(first_id + leaf_count)) as after, leaf_of(max(first_id) - 1) as gap, statement_of(20035) as beyond from leaf_runs`,
  )
  expect(runs).toEqual([{ runs: 3, leaves: 20_035, found: 20_035, after: null, gap: null, beyond: null }])
  const { rows: tiles } = await stand.pool.query(
    "select level, count(*) as count, sum(octet_length(hashes)) / 32 as hashes from tiles group by level order by level",
  )
  expect(tiles.map(({ level, count, hashes }) => [level, count, Number(hashes)])).toEqual([
    [0, 79, 20_035],
    [1, 1, 78],
  ])
  const { rows: arrivals } = await stand.pool.query(
    "select height, level, tile_index, octet_length(hashes) / 32 as hashes from arrival_tiles order by height",
  )
  expect(arrivals).toEqual([{ height: 0, level: 1, tile_index: 0, hashes: 78 }])
  await stand.close()
})
