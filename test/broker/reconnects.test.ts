import { expect, test } from "vitest"
import { Reconnects } from "../../broker/reconnects.ts"
import { RawClient } from "./raw-client.ts"
import { ScriptedSubmit, acceptAll } from "./scripted-submit.ts"
import { standBroker } from "./stand.ts"

/** A clock that goes when it is told to, and runs what is due on the way. */
class Clock {
  nowMs = 1_000_000
  timers: { readonly atMs: number; readonly run: () => void }[] = []

  readonly timer = (delayMs: number, run: () => void): (() => void) => {
    const one = { atMs: this.nowMs + delayMs, run }
    this.timers.push(one)
    return () => (this.timers = this.timers.filter((other) => other !== one))
  }

  advance(ms: number): void {
    const endMs = this.nowMs + ms
    for (;;) {
      const next = this.timers.filter((one) => one.atMs <= endMs).toSorted((a, b) => a.atMs - b.atMs)[0]
      if (next === undefined) break
      this.nowMs = next.atMs
      this.timers = this.timers.filter((other) => other !== next)
      next.run()
    }
    this.nowMs = endMs
  }
}

function stand(perSecondMax = 10) {
  const clock = new Clock()
  const entered: string[] = []
  const left: string[] = []
  let delayed = 0
  const reconnects = new Reconnects({
    perSecondMax,
    now: () => clock.nowMs,
    timer: clock.timer,
    delayed: () => (delayed += 1),
  })
  const arrive = (device: string, name: string): void =>
    reconnects.arrive(
      device,
      () => entered.push(name),
      () => left.push(name),
    )
  return { clock, entered, left, reconnects, arrive, delayed: () => delayed }
}

test("ten connects at once enter at once, the eleventh waits a tenth of a second", () => {
  const { clock, entered, left, arrive, delayed } = stand()
  for (let i = 1; i <= 11; i++) arrive("k7", `${i}`)
  expect(entered).toHaveLength(10)
  expect(delayed()).toBe(1)
  clock.advance(99)
  expect(entered).toHaveLength(10)
  clock.advance(1)
  expect(entered.at(-1)).toBe("11")
  expect(left).toEqual([])
})

test("a device that connects once a second is never delayed", () => {
  const { clock, entered, arrive, delayed } = stand()
  for (let i = 0; i < 100; i++) {
    arrive("k7", `${i}`)
    clock.advance(1_000)
  }
  expect(entered).toHaveLength(100)
  expect(delayed()).toBe(0)
})

test("a device that connects again as soon as it may gets ten a second, and no other device waits for it", () => {
  const { clock, entered, arrive } = stand()
  const startMs = clock.nowMs
  for (let i = 0; i < 110; i++) {
    const before = entered.length
    arrive("bad", `bad ${i}`)
    arrive(`good${i}`, `good ${i}`)
    expect(entered).toContain(`good ${i}`)
    while (!entered.slice(before).includes(`bad ${i}`)) clock.advance(1)
  }
  expect(clock.nowMs - startMs).toBe(10_000)
})

test("of those that wait the newest enters, in the turn of the oldest", () => {
  const { clock, entered, left, arrive } = stand(1)
  arrive("k7", "first")
  arrive("k7", "second")
  clock.advance(999)
  arrive("k7", "third")
  arrive("k7", "fourth")
  expect(left).toEqual(["second", "third"])
  clock.advance(1)
  expect(entered).toEqual(["first", "fourth"])
})

test("memory is bounded by the connects of a second, whatever ids are made up", () => {
  const { clock, reconnects, arrive } = stand()
  let sizeMax = 0
  for (let i = 0; i < 20_000; i++) {
    arrive(`device${i}`, `${i}`)
    clock.advance(1)
    sizeMax = Math.max(sizeMax, reconnects.size)
  }
  expect(sizeMax).toBeLessThan(1_000)
})

test("after closing nobody enters who waited", () => {
  const { clock, entered, reconnects, arrive } = stand(1)
  arrive("k7", "first")
  arrive("k7", "second")
  reconnects.close()
  clock.advance(10_000)
  expect(entered).toEqual(["first"])
})

test("over TCP a device that connects too often waits, is then served, and is not refused", async () => {
  const broker = await standBroker(new ScriptedSubmit(acceptAll), { connectsPerSecondMax: 2 })
  for (let i = 0; i < 4; i++) {
    const client = await RawClient.connect(broker.port, "k7")
    expect(await client.ping()).toEqual([])
  }
  expect(broker.delays.count).toBeGreaterThanOrEqual(1)
  expect(broker.refusals).toEqual([])
})
