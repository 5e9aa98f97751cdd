import { afterEach, beforeEach, expect, it, test, vi } from "vitest"
import { ReaderPace, type PaceFault } from "../../research/reader-pace.ts"

let faults: PaceFault[]

beforeEach(() => {
  faults = []
  vi.useFakeTimers()
})
afterEach(() => vi.useRealTimers())

const limits = { bytesPerSecondMin: 1_000, windowMs: 10_000, waitMsMax: 100_000 }
const open = () => new ReaderPace(limits, (fault) => faults.push(fault))

/** Offers a chunk that is taken after this time. */
function give(pace: ReaderPace, bytes: number, afterMs: number): void {
  pace.offer(bytes)
  vi.advanceTimersByTime(afterMs)
  pace.taken()
}

it("field S6: a reader at 51 bytes/s that takes something every second is cut when its window is spent", () => {
  const pace = open()
  for (let second = 0; second < 12; second++) give(pace, 51, 1_000)
  expect(faults[0]).toBe("slow-reader")
})

test("a reader at the least rate goes on, whatever the size of its chunks", () => {
  for (const bytes of [100, 1_000, 20_000]) {
    const pace = open()
    for (let given = 0; given < 80_000; given += bytes) give(pace, bytes, bytes)
  }
  expect(faults).toEqual([])
})

test("a reader that takes nothing is cut after its window and what the chunk may take", () => {
  const pace = open()
  pace.offer(2_000)
  vi.advanceTimersByTime(11_999)
  expect(faults).toEqual([])
  vi.advanceTimersByTime(1)
  expect(faults).toEqual(["slow-reader"])
})

test("what a reader saved by being fast is no more than the window", () => {
  const pace = open()
  for (let chunk = 0; chunk < 1_000; chunk++) give(pace, 65_536, 1)
  pace.offer(0)
  vi.advanceTimersByTime(10_000)
  expect(faults).toEqual(["slow-reader"])
})

test("in all a reader is waited for no longer than an answer may take", () => {
  const pace = open()
  for (let chunk = 0; chunk < 11; chunk++) give(pace, 10_000, 9_500)
  expect(faults[0]).toBe("long-reader")
})

test("the time in which we compute is not the reader's", () => {
  const pace = open()
  for (let chunk = 0; chunk < 20; chunk++) {
    give(pace, 10, 1)
    vi.advanceTimersByTime(60_000)
  }
  expect(faults).toEqual([])
})
