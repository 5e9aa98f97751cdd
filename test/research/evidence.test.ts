import { afterAll, beforeAll, expect, test } from "vitest"
import { type Stand, send } from "../ingest/stand.ts"
import { readEvidence } from "../verify/evidence-file.ts"
import { openWholeLog } from "../verify/log.ts"
import { makeEvidence, trustIn } from "./evidence-pictures.ts"
import { type ResearchStand, openResearchStand } from "./research-stand.ts"

let whole: Stand
beforeAll(async () => {
  whole = await openWholeLog()
})
afterAll(() => whole.close())

test("evidence of a log with some of everything is verified: rotations, revocations, forks, what could not be read", async () => {
  const { pool, keys } = whole
  const read = async (device: string, from = 0, to = 2) =>
    readEvidence(await makeEvidence(pool, keys, device, from, to), trustIn(keys))
  expect(await read("k1")).toMatchObject({ kind: "verified", statements: 6, readings: 18, status: "active" })
  expect(await read("k2")).toMatchObject({ statements: 5, unread: 1, ahead: 1, opaque: 1, readings: 20 })
  const rotated = await read("k3")
  expect(rotated).toMatchObject({ statements: 4, revoked: [{ from: 4, to: 4 }] })
  expect(
    rotated.kind === "verified" && rotated.keys.map(({ introducedBy, signed }) => [introducedBy, signed]),
  ).toEqual([
    ["operator", { from: 1, to: 2 }],
    ["old-key", { from: 3, to: 4 }],
  ])
  expect(await read("k4", 2, 2)).toMatchObject({ statements: 1, lost: 1, status: "suspended" })
  expect(await read("k5", 1, 1)).toMatchObject({ statements: 0, keys: [{ isPossessionProven: true }] })
})

let research: ResearchStand
beforeAll(async () => {
  research = await openResearchStand()
})
afterAll(() => research.close())

test("evidence that cannot be made is a problem that names the parameter and the rule", async () => {
  expect(await research.refused("/v1/evidence?device=k1")).toMatchObject({ status: 404 })
  await research.enrol("k2")
  await research.seal()
  expect(await research.refused("/v1/evidence")).toMatchObject({ status: 400, parameter: "device" })
  expect(await research.refused("/v1/evidence?device=nobody")).toMatchObject({
    status: 404,
    parameter: "device",
  })
  expect(await research.refused("/v1/evidence?device=k2&to=7")).toMatchObject({
    status: 400,
    parameter: "to",
    rule: "the last sealed block is 0, and 7 is above it",
  })
  expect(await research.refused("/v1/evidence?device=k2&from=1&to=0")).toMatchObject({ parameter: "from" })
  expect(await research.refused("/v1/evidence?device=k2&blocks=1")).toMatchObject({ parameter: "blocks" })
})

test("a gap over hundreds of leaves is covered from stored tiles, of the log and of arrivals", async () => {
  const { pool, keys } = research
  const k1 = await research.enrol("k1")
  const place = research.intake.open("k1")
  await Promise.all(Array.from({ length: 300 }, () => send(place, k1.next())))
  await research.seal()
  const trust = trustIn(keys)
  const file = await makeEvidence(pool, keys, "k2", 0, 1)
  // The 300 statements of another device are a few nodes.
  expect(file.length).toBeLessThan(4_000)
  expect(readEvidence(file, trust)).toMatchObject({ kind: "verified", statements: 0 })
  expect(readEvidence(await makeEvidence(pool, keys, "k1", 1, 1), trust)).toMatchObject({ statements: 300 })
  // A block whose arrivals have no tiles: they are computed from its entries.
  const client = await pool.connect()
  await client.query("begin; set local session_replication_role = replica; delete from arrival_tiles")
  expect(await makeEvidence(client, keys, "k2", 0, 1)).toEqual(file)
  await client.query("rollback")
  client.release()
})
