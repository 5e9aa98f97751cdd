import { expect, test } from "vitest"
import { VirtualClock } from "../../devices-sim/scenario-clock.ts"

test("virtual time jumps from one moment to the next, and everybody wakes in the order of their moments", async () => {
  const clock = new VirtualClock()
  const woken: string[] = []
  const moments: number[] = []
  const sleeper = async (name: string, ...times: number[]): Promise<void> => {
    for (const atMs of times) {
      await clock.sleepUntil(atMs)
      woken.push(`${name} ${clock.nowMs()}`)
    }
  }
  const cancel = clock.timer(15, () => woken.push("never"))
  const all = Promise.all([sleeper("a", 10, 3_600_000), sleeper("b", 5, 10, 20)])
  cancel()
  await clock.drive(all, async (atMs) => {
    await Promise.resolve()
    moments.push(atMs)
  })
  // For the same moment a was set first.
  expect(woken).toEqual(["b 5", "a 10", "b 10", "b 20", "a 3600000"])
  expect(moments).toEqual([5, 10, 20, 3_600_000])
})

test("virtual time stands while somebody is at work outside", async () => {
  const clock = new VirtualClock()
  const seen: number[] = []
  const work = async (): Promise<void> => {
    await clock.sleepUntil(10)
    const answered = new Promise<void>((resolve) => {
      setTimeout(resolve, 5)
    })
    await clock.during(answered)
    seen.push(clock.nowMs())
  }
  await clock.drive(Promise.all([work(), clock.sleepUntil(1_000)]), () => Promise.resolve())
  expect(seen).toEqual([10])
  expect(clock.nowMs()).toBe(1_000)
})

test("a sleeper is woken by an abort, and who waits for nothing that can come is told", async () => {
  const clock = new VirtualClock()
  const controller = new AbortController()
  const sleeping = clock.sleepUntil(1e9, controller.signal)
  controller.abort()
  await sleeping
  expect(clock.nowMs()).toBe(0)
  await expect(clock.drive(new Promise(() => {}), () => Promise.resolve())).rejects.toThrow("will never come")
})
