import { expect, onTestFinished, test } from "vitest"
import { Readiness } from "../../cli/readiness.ts"
import { RawClient } from "../broker/raw-client.ts"
import { type Proxy, openProxy } from "../ingest/proxy.ts"
import { openServiceStand } from "../ingest/service-stand.ts"

test("a part's trouble has the time of its beginning, however often it is said", () => {
  let nowMs = Date.UTC(2025, 5, 1, 8)
  const readiness = new Readiness(["database", "seal"], () => nowMs)
  nowMs += 1_000
  readiness.fail("database", "away")
  nowMs += 1_000
  readiness.fail("database", "still away")
  readiness.mend("seal")
  expect(readiness.isReady).toBe(false)
  expect(readiness.parts()).toEqual([
    { part: "database", isReady: false, since: "2025-06-01T08:00:01.000Z", trouble: "still away" },
    { part: "seal", isReady: true, since: "2025-06-01T08:00:00.000Z", trouble: null },
  ])
  nowMs += 1_000
  readiness.mend("database")
  expect(readiness.isReady).toBe(true)
  expect(readiness.parts()[0]).toMatchObject({ isReady: true, since: "2025-06-01T08:00:03.000Z" })
})

test("/readyz names the database and since when it is away, tidemark_ready is 0, and both come back", async () => {
  let proxy: Proxy | null = null
  const stand = await openServiceStand({ through: async (url) => (proxy = await openProxy(url)).url })
  onTestFinished(async () => {
    await stand.close()
    await proxy!.close()
  })
  const ready = async () => (await fetch(`http://127.0.0.1:${stand.service.http}/readyz`)).json()
  const gauge = async (): Promise<unknown> => (await stand.metrics()).get("tidemark_ready")
  expect(await ready()).toMatchObject({ status: "ready", parts: [{ part: "database", isReady: true }, {}] })
  expect(await gauge()).toBe(1)
  proxy!.cut()
  const client = await RawClient.connect(stand.service.mqtt, "k7")
  client.publish("")
  while ((await stand.ready()).status === 200) await new Promise((resolve) => setImmediate(resolve))
  expect(await ready()).toMatchObject({
    status: "not ready",
    parts: [
      { part: "database", isReady: false, since: expect.stringMatching(/^\d{4}-.*Z$/) },
      { isReady: true },
    ],
  })
  expect(await gauge()).toBe(0)
  proxy!.restore()
  await client.expectReceipt()
  expect(await stand.ready()).toMatchObject({ status: 200 })
  expect(await gauge()).toBe(1)
})
