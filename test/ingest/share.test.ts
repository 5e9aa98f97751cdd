import { afterEach, expect, test } from "vitest"
import { encodePack } from "../../chain/senml.ts"
import { type Stand, openStand, offer, send } from "./stand.ts"

let stand: Stand
afterEach(() => stand.close())

test("a device that floods with large statements fills no group: who comes behind it is not kept waiting, and its order is kept", async () => {
  const judged: string[] = []
  stand = await openStand({
    events: { judged: (device, verdict, _rule, seq) => judged.push(`${device} ${seq} ${verdict}`) },
  })
  const flooding = await stand.enrol("flooding")
  const modest = await stand.enrol("modest")
  const times = Array.from({ length: 3_500 }, (_, index) => 1_760_000_000 + index)
  const payload = encodePack([{ kind: "number", name: "x", unit: null, times, values: times }])
  const flood = stand.intake.open("flooding")
  const large = Array.from({ length: 40 }, () => flooding.next({ payload }))
  expect(large[0]!.bytes.length).toBeGreaterThan(32_768)
  const answers = large.map((statement) => send(flood, statement))
  const receipt = await send(stand.intake.open("modest"), modest.next())
  expect(receipt.code).toBe(1)
  // One of the large ones may be on its way when the small one comes, and one goes with it.
  expect(judged.indexOf("modest 1 accepted")).toBeLessThanOrEqual(2)
  const codes = (await Promise.all(answers)).map(({ code, head }) => [code, head.seq])
  expect(codes).toEqual(large.map((_, index) => [1, index + 1]))
})

test("messages of a device that wait for their share stay in order, questions and a newer connection among them", async () => {
  stand = await openStand()
  const device = await stand.enrol("flooding")
  const payload = encodePack([
    { kind: "text", name: "x", unit: null, times: [1_760_000_000], values: ["x".repeat(50_000)] },
  ])
  const old = stand.intake.open("flooding")
  const statements = Array.from({ length: 6 }, () => device.next({ payload }))
  const before = statements.map((statement) => offer(old, statement.bytes))
  const question = stand.intake.open("flooding").submit({ kind: "question" })
  // What was sent before the newer connection spoke is judged before it.
  expect((await Promise.all(before)).map((receipt) => receipt?.code)).toEqual([1, 1, 1, 1, 1, 1])
  expect(await question).toMatchObject({ kind: "receipt", code: 0 })
})
