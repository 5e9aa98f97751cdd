import { expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import { entryOf } from "../../chain/statement.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { openIntake } from "../../ingest/intake.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import { auditLog } from "../ingest/log-audit.ts"
import { TestDevice, openStand, send } from "../ingest/stand.ts"

test("Every accepted statement is sealed, in exactly one block, at the next sealing: all that was committed before its `to` is in it, under load of two services and while devices are enrolled", async () => {
  const stand = await openStand()
  const pool = openPool(stand.url, 8)
  const other = openIntake({ pool, keys: stand.keys })
  const stop = new AbortController()
  const clock = async (): Promise<number> => {
    const { rows } = await pool.query<{ ms: number }>(
      "select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as ms",
    )
    return rows[0]!.ms
  }

  /** Each acknowledged entry, and an instant by which it was committed for certain. */
  const committed: { readonly entry: string; readonly byMs: number }[] = []
  const devices = await Promise.all(Array.from({ length: 6 }, (_, number) => stand.enrol(`load-${number}`)))
  const writing = devices.map(async (device, number) => {
    const place = (number % 2 === 0 ? stand.intake : other).open(device.id)
    while (!stop.signal.aborted) {
      const batch = Array.from({ length: 1 + number }, () => device.next())
      const receipts = await Promise.all(batch.map((statement) => send(place, statement)))
      if (receipts.some(({ code }) => code !== 1)) throw new Error("an honest statement was not accepted")
      const byMs = await clock()
      for (const { bytes } of batch) committed.push({ entry: formatHex(entryOf(bytes)), byMs })
    }
  })
  const enrolling = (async () => {
    for (let number = 0; !stop.signal.aborted; number++) {
      const { id, key } = new TestDevice(`late-${number}`)
      const [result] = await enrolDevices(stand.pool, stand.keys, [{ device: id, key: key.publicKey }])
      if (result?.kind !== "enrolled") throw new Error("a device was not enrolled")
      committed.push({ entry: formatHex(result.entry), byMs: await clock() })
    }
  })()
  for (let round = 0; round < 15; round++)
    expect(await stand.seal({ isEmptyAllowed: true })).toMatchObject({ kind: "sealed" })
  stop.abort()
  await Promise.all([...writing, enrolling])

  // One block, leaves without holes, ids in order of chain and of log: the audit rejects anything else.
  const before = await auditLog(stand.pool, stand.keys)
  expect(before.manifests).toHaveLength(15)
  let checked = 0
  for (const { entry, byMs } of committed) {
    const next = before.manifests.findIndex(({ toMs }) => toMs > byMs)
    const height = before.heightOf.get(entry) ?? Infinity
    if (next >= 0) checked += 1
    expect(height).toBeLessThanOrEqual(next < 0 ? Infinity : next)
  }
  expect(checked).toBeGreaterThan(100)

  await stand.seal({ isEmptyAllowed: true })
  const after = await auditLog(stand.pool, stand.keys)
  expect(after.unsealed.size).toBe(0)
  const { rows } = await stand.pool.query<{ count: number }>("select count(*) as count from entries")
  expect(after.heightOf.size).toBe(rows[0]!.count)
  expect(new Set(committed.map(({ entry }) => after.heightOf.has(entry)))).toEqual(new Set([true]))
  await other.close()
  await pool.end()
  await stand.close()
})
