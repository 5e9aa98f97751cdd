import { afterAll, beforeAll, expect, test } from "vitest"
import { algorithmEsp256 } from "../../chain/key.ts"
import { decodeReceipt } from "../../chain/receipt.ts"
import { negateS } from "../../chain/signature.ts"
import { encodeStatement } from "../../chain/statement.ts"
import { isRefusal, parseVerdictCode, statementVerdicts, verdictCodes } from "../../chain/verdict.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import { RawClient } from "../broker/raw-client.ts"
import { type ServiceStand, openServiceStand } from "../ingest/service-stand.ts"
import { TestDevice, untilTrue } from "../ingest/stand.ts"

let stand: ServiceStand
beforeAll(async () => {
  stand = await openServiceStand()
})
afterAll(() => stand.close())

/** How often each code was heard: by the devices, in receipts. */
const heard = new Map<number, number>()

/** Publishes all of it at once on one connection, and counts the receipts until an answer to a last question or the end. */
async function tell(device: string, messages: readonly Uint8Array[]): Promise<number[]> {
  const client = await RawClient.connect(stand.service.mqtt, device)
  await client.subscribe()
  const codes: number[] = []
  for (const bytes of messages) client.publish(bytes)
  // A question is no statement: its answer says that all before it is answered.
  client.publish(new Uint8Array(0))
  for (let questions = 0; questions < 2;) {
    const packet = await client.next().catch(() => null)
    if (packet === null) break
    if (packet.cmd !== "publish") continue
    const { code } = decodeReceipt(new Uint8Array(packet.payload as Buffer))
    if (code === 0) questions += 1
    else codes.push(code)
  }
  await client.destroy()
  for (const code of codes) heard.set(code, (heard.get(code) ?? 0) + 1)
  return codes
}

async function enrol(device: TestDevice): Promise<TestDevice> {
  const enrolments = [{ device: device.id, key: device.key.publicKey }]
  const [result] = await enrolDevices(stand.pool, stand.service.keys, enrolments)
  if (result?.kind !== "enrolled") throw new Error(`${device.id} was not enrolled`)
  return device
}

async function setStatus(device: string, status: string): Promise<void> {
  await stand.pool.query("update devices set status = $2 where device_id = $1", [device, status])
}

async function tellEverything(number: number): Promise<void> {
  const one = await enrol(new TestDevice(`counted-${number}`, algorithmEsp256, stand.service.keys.binding))
  const [first, second, third] = [one.next(), one.next(), one.next()]
  const ahead = one.next({ iat: 7_258_118_400 })
  const unread = one.next({ payload: Uint8Array.of(0xff) })
  const accepted = [first, second, first, third, ahead, unread, ahead].map(({ bytes }) => bytes)
  expect(await tell(one.id, accepted)).toEqual([1, 1, 2, 1, 4, 3, 2])

  const other = new TestDevice(`nobody-${number}`)
  const gap = one.sign({ seq: 99 })
  const next = one.sign()
  const refused: readonly (readonly [number, Uint8Array])[] = [
    [10, Uint8Array.of(1, 2, 3)],
    [11, new Uint8Array(70_000)],
    [12, one.sign({ iss: "another" }).bytes],
    [13, encodeStatement({ ...next, kid: new Uint8Array(8) }, next.signature)],
    [15, encodeStatement(next, first.signature)],
    [17, encodeStatement(next, negateS(next.signature))],
    [20, gap.bytes],
    [21, one.sign({ prev: other.sign().prev }).bytes],
    [22, one.sign({ seq: 3, prev: third.prev }).bytes],
  ]
  for (const [code, bytes] of refused) {
    // What stands behind a refusal is not received.
    expect(await tell(one.id, [first.bytes, bytes, next.bytes, bytes])).toEqual([2, code])
  }
  // Nobody enrolled it: told so already for asking, before it said anything.
  expect(await sayUnasked(other.id, other.sign().bytes)).toEqual([13])
  await setStatus(one.id, "suspended")
  expect(await sayUnasked(one.id, next.bytes)).toEqual([40])
  expect(await sayUnasked(one.id, first.bytes)).toEqual([2])
  await setStatus(one.id, "revoked")
  expect(await sayUnasked(one.id, next.bytes)).toEqual([14])
}

/** Without a subscription: refusals are sent all the same, and a PUBACK stands for an acceptance or a duplicate. */
async function sayUnasked(device: string, bytes: Uint8Array): Promise<number[]> {
  const client = await RawClient.connect(stand.service.mqtt, device)
  client.publish(bytes)
  const packet = await client.next()
  await client.destroy()
  const code = packet.cmd === "publish" ? decodeReceipt(new Uint8Array(packet.payload as Buffer)).code : 2
  heard.set(code, (heard.get(code) ?? 0) + 1)
  return [code]
}

test("Every refusal has a reason and is counted. received = accepted (1, 3, 4) + duplicate + refused by kind: in /metrics, in the database and by what the devices heard", async () => {
  await Promise.all([1, 2, 3, 4].map(tellEverything))
  // Every kind there is, so that none is left out of the sum.
  expect([...heard.keys()].toSorted((a, b) => a - b)).toEqual(
    statementVerdicts.map((verdict) => verdictCodes[verdict]).toSorted((a, b) => a - b),
  )

  const metrics = await stand.metrics()
  const counted = new Map(
    statementVerdicts.map((verdict) => [
      verdictCodes[verdict] as number,
      metrics.get(`tidemark_verdicts_total{verdict="${verdict}"}`),
    ]),
  )
  expect(Object.fromEntries(counted)).toEqual(Object.fromEntries(heard))
  const sum = [...heard.values()].reduce((all, count) => all + count, 0)
  expect(metrics.get("tidemark_statements_received_total")).toBe(sum)

  const { rows } = await stand.pool.query<{ code: number; count: number }>(
    "select code, sum(count)::bigint as count from refusals group by code",
  )
  const refused = [...heard].filter(([code]) => isRefusal(parseVerdictCode(code)!))
  expect(Object.fromEntries(rows.map(({ code, count }) => [code, count]))).toEqual(
    Object.fromEntries(refused),
  )
  const { rows: stored } = await stand.pool.query<{ code: number; count: number }>(
    "select code, count(*) as count from entries join devices using (device_id) group by code",
  )
  expect(Object.fromEntries(stored.map(({ code, count }) => [code, count]))).toEqual({
    1: heard.get(1),
    3: heard.get(3),
    4: heard.get(4),
  })
})

test("Every refusal has a reason: the database keeps it by device, and for a device that nobody knows without its name", async () => {
  const { rows } = await stand.pool.query("select code, count from refusals where device_id = ''")
  expect(rows).toEqual([{ code: 13, count: 4 }])
  await untilTrue(stand.pool, "(select count(*) from refusals where device_id = 'counted-1') >= 11")
})
