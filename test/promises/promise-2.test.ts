import { afterAll, beforeAll, expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import { algorithmEsp256 } from "../../chain/key.ts"
import { findKey } from "../../chain/link.ts"
import { checkSignature, negateS } from "../../chain/signature.ts"
import { decodeStatement, encodeStatement, signStatement, signedBytesOf } from "../../chain/statement.ts"
import { readDevices } from "../../ingest/registry.ts"
import { type Stand, TestDevice, ask, offer, openStand } from "../ingest/stand.ts"

let stand: Stand
beforeAll(async () => {
  stand = await openStand()
})
afterAll(() => stand.close())

test("Nothing enters unsigned: of what others sign, of flipped bits and of swapped keys nothing is stored", async () => {
  const [ed, ec] = [await stand.enrol("signed-ed"), await stand.enrol("signed-ec", algorithmEsp256)]
  const stranger = new TestDevice("stranger")
  for (const device of [ed, ec]) {
    const good = device.sign()
    const forged: [Uint8Array, number[]][] = []
    // Every byte of the signature, and a bit of every byte of the statement.
    for (let at = 0; at < good.bytes.length; at++) {
      const flipped = Uint8Array.from(good.bytes)
      flipped[at]! ^= 1 << (at % 8)
      forged.push([flipped, [10, 12, 13, 15, 17]])
    }
    forged.push([encodeStatement(good, new Uint8Array(64)), [15]])
    forged.push([encodeStatement(good, new Uint8Array(64).fill(0xff)), [15]])
    forged.push([encodeStatement(good, stranger.sign().signature), [15]])
    // Another device's key, by its own kid and by this device's.
    const other = device === ed ? ec : ed
    forged.push([signStatement(good, other.key).bytes, [13]])
    forged.push([signStatement(good, stranger.key).bytes, [13]])
    forged.push([encodeStatement(good, signStatement(good, stranger.key).signature), [15]])
    const receipts = await Promise.all(forged.map(([bytes]) => offer(stand.intake.open(device.id), bytes)))
    for (const [index, receipt] of receipts.entries()) expect(forged[index]![1]).toContain(receipt?.code)
    expect(await offer(stand.intake.open(device.id), good.bytes)).toMatchObject({ code: 1, seq: 1 })
  }
  ec.goOnFrom(await ask(stand.intake.open(ec.id)))
  const next = ec.sign()
  const high = encodeStatement(next, negateS(next.signature))
  expect(await offer(stand.intake.open(ec.id), high)).toMatchObject({ code: 17, head: { seq: 1 } })
  expect(await offer(stand.intake.open(ec.id), next.bytes)).toMatchObject({ code: 1, seq: 2 })
})

async function storedBytes(device: string): Promise<Uint8Array[]> {
  const { rows } = await stand.pool.query<{ bytes: Uint8Array }>(
    "select s.bytes from entries e join statements s using (id) where e.device_id = $1 order by e.seq",
    [device],
  )
  return rows.map(({ bytes }) => Uint8Array.from(bytes))
}

test("Nothing enters unsigned: each stored statement verifies, by another's arithmetic, under a key that was enrolled for that device at that seq", async () => {
  const devices = await Promise.all(
    Array.from({ length: 12 }, (_, number) =>
      stand.enrol(`honest-${number}`, number % 2 === 0 ? algorithmEsp256 : undefined),
    ),
  )
  const sent = devices.flatMap((device, number) => {
    const place = stand.intake.open(device.id)
    const pretender = devices[(number + 1) % devices.length]!
    return [
      ...Array.from({ length: 8 }, () => offer(place, device.next().bytes)),
      offer(stand.intake.open(device.id), signStatement(device.sign(), pretender.key).bytes),
    ]
  })
  await Promise.all(sent)
  const records = await readDevices(stand.pool, null)
  let checked = 0
  for (const [id, record] of records) {
    for (const bytes of await storedBytes(id)) {
      const decoded = decodeStatement(bytes)
      if (decoded.kind !== "statement") throw new Error("what is stored can be read")
      const { statement } = decoded
      const finding = findKey(record.keys, statement.kid, statement.seq)
      if (finding.kind !== "key") throw new Error(`statement ${statement.seq} of ${id} stands under no key`)
      const message = signedBytesOf(statement)
      const { key } = finding.deviceKey
      expect(checkSignature(key, statement.algorithm, message, statement.signature)).toBe("good")
      expect([statement.iss, finding.isRevokedBeyond]).toEqual([id, false])
      checked += 1
    }
  }
  expect(checked).toBe(3 + 12 * 8)
})

test("Nothing enters unsigned: the bytes that were signed are the bytes that are stored", async () => {
  const device = await stand.enrol("verbatim")
  const place = stand.intake.open(device.id)
  const statements = Array.from({ length: 20 }, () => device.next())
  await Promise.all(statements.map(({ bytes }) => offer(place, bytes)))
  const stored = await storedBytes(device.id)
  expect(stored.map(formatHex)).toEqual(statements.map(({ bytes }) => formatHex(bytes)))
})
