import * as fc from "fast-check"
import { afterAll, beforeAll, expect, test } from "vitest"
import { equalBytes, formatHex } from "../../chain/bytes.ts"
import { checkSignature } from "../../chain/signature.ts"
import { type Statement, decodeStatement, entryOf, signedBytesOf } from "../../chain/statement.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { type Intake, openIntake } from "../../ingest/intake.ts"
import { type Stand, type TestDevice, offer, openStand } from "../ingest/stand.ts"

let stand: Stand
let other: { readonly intake: Intake; readonly close: () => Promise<void> }
beforeAll(async () => {
  stand = await openStand()
  const pool = openPool(stand.url, 4)
  const intake = openIntake({ pool, keys: stand.keys })
  other = {
    intake,
    close: async () => {
      await intake.close()
      await pool.end()
    },
  }
})
afterAll(async () => {
  await other.close()
  await stand.close()
})

interface StoredRow {
  readonly seq: number
  readonly bytes: Uint8Array
}

async function storedOf(device: string): Promise<StoredRow[]> {
  const { rows } = await stand.pool.query<StoredRow>(
    "select e.seq, s.bytes from entries e join statements s using (id) where e.device_id = $1 order by e.id",
    [device],
  )
  return rows
}

function expectOneHistory(device: TestDevice, rows: readonly StoredRow[]): void {
  let entry = Uint8Array.from(device.empty.entry)
  for (const [index, { seq, bytes }] of rows.entries()) {
    const decoded = decodeStatement(Uint8Array.from(bytes))
    if (decoded.kind !== "statement") throw new Error("what is stored can be read")
    expect([seq, formatHex(decoded.statement.prev)]).toEqual([index + 1, formatHex(entry)])
    entry = Uint8Array.from(entryOf(bytes))
  }
}

test("A device has one history: whatever two holders of its key send, together and by two services, no gap and no fork is stored", async () => {
  let run = 0
  const step = fc.record({
    holder: fc.constantFrom(0, 1),
    index: fc.nat({ max: 5 }),
    isElsewhere: fc.boolean(),
    isNewConnection: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 30 }), async (steps) => {
      const device = await stand.enrol(`two-holders-${run++}`)
      const histories = [0, 1].map((holder) => {
        device.goOnFrom({ head: device.empty })
        return Array.from({ length: 6 }, () => device.next({ iat: 1_700_000_000 + holder }))
      })
      const places = [stand.intake.open(device.id), other.intake.open(device.id)]
      const sent = steps.map(({ holder, index, isElsewhere, isNewConnection }) => {
        const at = isElsewhere ? 1 : 0
        if (isNewConnection) places[at] = (isElsewhere ? other.intake : stand.intake).open(device.id)
        return offer(places[at]!, histories[holder]![index]!.bytes)
      })
      const receipts = await Promise.all(sent)
      const rows = await storedOf(device.id)
      expectOneHistory(device, rows)
      const accepted = receipts.filter((receipt) => receipt?.code === 1)
      expect(accepted).toHaveLength(rows.length)
      await expectEvidence(device.id, receipts.filter((receipt) => receipt?.code === 22).length, rows)
    }),
    { numRuns: 25 },
  )
})

/** Each fork left a pair that shows, by the key alone, that it signed two histories. */
async function expectEvidence(device: string, forks: number, rows: readonly StoredRow[]): Promise<void> {
  const { rows: kept } = await stand.pool.query<{ seq: number; stored: Uint8Array; other: Uint8Array }>(
    "select seq, stored, other from forks where device_id = $1",
    [device],
  )
  expect(kept.length > 0).toBe(forks > 0)
  for (const { seq, stored, other: second } of kept) {
    expect(equalBytes(stored, rows[seq - 1]!.bytes)).toBe(true)
    const [one, two] = [stored, second].map(readSigned)
    expect([one!.seq, formatHex(one!.prev)]).toEqual([two!.seq, formatHex(two!.prev)])
    expect(equalBytes(signedBytesOf(one!), signedBytesOf(two!))).toBe(false)
  }
}

function readSigned(bytes: Uint8Array): Statement {
  const decoded = decodeStatement(Uint8Array.from(bytes))
  if (decoded.kind !== "statement") throw new Error("evidence can be read")
  return decoded.statement
}

test("A device has one history: two histories leave evidence that anybody can check", async () => {
  const device = await stand.enrol("two-histories")
  const [first, second] = [device.sign({ iat: 1 }), device.sign({ iat: 2 })]
  expect(await offer(stand.intake.open(device.id), first.bytes)).toMatchObject({ code: 1 })
  expect(await offer(stand.intake.open(device.id), second.bytes)).toMatchObject({
    code: 22,
    head: { seq: 1 },
  })
  const { rows } = await stand.pool.query("select stored, other from forks where device_id = $1", [device.id])
  expect(rows).toHaveLength(1)
  for (const bytes of [rows[0].stored, rows[0].other] as Uint8Array[]) {
    const statement = readSigned(bytes)
    const { publicKey } = device.key
    expect(
      checkSignature(publicKey, statement.algorithm, signedBytesOf(statement), statement.signature),
    ).toBe("good")
  }
})

test("A device has one history: the database itself takes no second statement for a place, and no change", async () => {
  const device = await stand.enrol("constrained")
  await offer(stand.intake.open(device.id), device.next().bytes)
  const again = `insert into entries (id, device_id, seq, entry, received_at, signed_digest, code, readings)
    select nextval('statement_ids'), device_id, seq, sha256('x'), received_at, signed_digest, code, 0 from entries where device_id = $1`
  await expect(stand.pool.query(again, [device.id])).rejects.toMatchObject({ code: "23505" })
  for (const table of [
    "entries",
    "statements",
    "series",
    "forks",
    "blocks",
    "leaf_runs",
    "arrival_tiles",
    "sealed_heads",
    "checkpoints",
    "cosignatures",
    "witness_policies",
    "witnessed",
  ]) {
    await expect(stand.pool.query(`delete from ${table}`)).rejects.toMatchObject({ code: "TM001" })
    await expect(stand.pool.query(`truncate ${table} cascade`)).rejects.toMatchObject({ code: "TM001" })
  }
  await expect(stand.pool.query("update entries set seq = seq")).rejects.toMatchObject({ code: "TM001" })
  await expect(stand.pool.query("update statements set bytes = bytes")).rejects.toMatchObject({
    code: "TM001",
  })
})
