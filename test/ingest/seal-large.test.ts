import { expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import { Frontier, hashLeaf } from "../../chain/merkle.ts"
import { sha256Native } from "../../ingest/native.ts"
import { type Stand, openStand, send } from "./stand.ts"

/** So many statements' rows of enrolled devices, past the intake: a seal reads nothing of a device's but these. */
async function insertRows({ pool }: Stand, devices: readonly string[], count: number): Promise<void> {
  await pool.query(
    `with n as (select nextval('statement_ids') as id, g from generate_series(1, $2::int) g),
       at as (select date_trunc('milliseconds', clock_timestamp()) as at),
       e as (insert into entries (id, device_id, seq, entry, received_at, signed_digest, code, readings, starts_at, ends_at)
         select id, ($1::text[])[1 + (g - 1) % cardinality($1)], (g - 1) / cardinality($1) + 1, sha256(g::text::bytea), at, sha256(g::text::bytea), 1, 3, 1.7e9, 1.7e9 + 2
         from n, at order by id returning id, received_at, device_id)
     insert into series (statement_id, position, received_at, device_id, metric, name, kind, starts_at, ends_at, times, numbers, ahead)
     select id, 0, received_at, device_id, 'm', 'm', 'number', 1.7e9, 1.7e9 + 2, array[1.7e9, 1.7e9 + 1, 1.7e9 + 2], array[1, 2, 3], false from e`,
    [devices, count],
  )
}

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
  await insertRows(
    stand,
    devices.map(({ id }) => id),
    20_000,
  )
  const progress: number[] = []
  const large = await stand.seal({ onProgress: (statements) => progress.push(statements) })
  if (large.kind !== "sealed") throw new Error("20,000 statements were not sealed")
  expect(progress).toEqual([5_000, 10_000, 15_000, 20_000, 20_031])
  expect(large.block.summary).toMatchObject({ statements: 20_000, readings: 60_000, devices: 30 })
  expect(large.block.treeSize).toBe(20_032)
  expect(formatHex(large.block.treeRoot)).toBe(await rootOfEntries(stand, 20_032))

  const late = await stand.enrol("late")
  await send(stand.intake.open(late.id), late.next())
  const small = await stand.seal()
  if (small.kind !== "sealed") throw new Error("a statement was not sealed")
  expect(small.block.treeSize).toBe(20_035)
  expect(formatHex(small.block.treeRoot)).toBe(await rootOfEntries(stand, 20_035))

  const { rows } = await stand.pool.query(
    "select count(*) as count, min(leaf_index) as first, max(leaf_index) as last, count(distinct statement_id) as statements from leaves",
  )
  expect(rows).toEqual([{ count: 20_035, first: 0, last: 20_034, statements: 20_035 }])
  const { rows: tiles } = await stand.pool.query(
    "select level, count(*) as count, sum(octet_length(hashes)) / 32 as hashes from tiles group by level order by level",
  )
  expect(tiles.map(({ level, count, hashes }) => [level, count, Number(hashes)])).toEqual([
    [0, 79, 20_035],
    [1, 1, 78],
  ])
  await stand.close()
})
