import { expect, test } from "vitest"
import { Watchdog, findStallFault, hold, stallMsMax } from "./watchdog.ts"

/** Turns of the event loop for so long. */
async function idle(ms: number): Promise<void> {
  const untilMs = performance.now() + ms
  while (performance.now() < untilMs) await new Promise((resolve) => setImmediate(resolve))
}

test("a planted loop of 300 ms trips the watchdog, whatever else the machine does", async () => {
  const watchdog = await Watchdog.open()
  await idle(100)
  hold(300)
  await idle(50)
  const stall = watchdog.close()
  expect(stall.longestMs).toBeGreaterThan(stallMsMax)
  expect(findStallFault(stall)).toContain("the event loop stood still for ")
})

test("work that gives way, and what the test itself does, trip nothing", async () => {
  const watchdog = await Watchdog.open()
  for (let turn = 0; turn < 20; turn++) {
    hold(20)
    await idle(1)
  }
  watchdog.apart(() => hold(300))
  await idle(50)
  const stall = watchdog.close()
  expect(stall.longestMs).toBeLessThan(150)
  expect(findStallFault(stall)).toBe(null)
})
