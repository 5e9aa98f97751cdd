/** The time of a scenario: faster than the wall, or not bound to it at all. */
import type { Timer } from "./connection.ts"

export interface ScenarioClock {
  /** Time begins: the scenario's and, for this run, the wall's. */
  begin(): void
  /** Ms of scenario time since the beginning. */
  nowMs(): number
  /** Resolves at a moment of scenario time, or at once when that is past or the signal aborts. */
  sleepUntil(atMs: number, signal?: AbortSignal): Promise<void>
  /** For devices: of the wall, or of the scenario where nothing is bound to the wall. */
  readonly timer: Timer
  /** Ms of wall time since the beginning. */
  wallMs(): number
}

/** setTimeout takes no more. */
const timeoutMsMax = 2 ** 31 - 1

/** A clock that goes `speed` times as fast as the wall. */
export function makeWallClock(speed: number, wall: () => number = () => performance.now()): ScenarioClock {
  let startedAtMs = wall()
  const wallMs = (): number => wall() - startedAtMs
  return {
    begin: () => {
      startedAtMs = wall()
    },
    nowMs: () => wallMs() * speed,
    wallMs,
    timer: (delayMs, run) => {
      const timer = setTimeout(run, delayMs)
      return () => clearTimeout(timer)
    },
    async sleepUntil(atMs, signal) {
      for (;;) {
        const leftMs = atMs / speed - wallMs()
        if (leftMs <= 0 || signal?.aborted === true) return
        await sleep(Math.min(leftMs, timeoutMsMax), signal)
      }
    },
  }
}

/** @returns at the latest when the signal aborts */
export function sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve()
      return
    }
    const done = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener("abort", done)
      resolve()
    }
    const timer = setTimeout(done, delayMs)
    signal?.addEventListener("abort", done)
  })
}

interface Alarm {
  readonly atMs: number
  /** Of two for one moment the one that was set first rings first. */
  readonly order: number
  ring(): void
}

/**
 * A clock that jumps to the next thing that somebody waits for, as soon as nobody is at work. What happens in a moment,
 * and in which order, follows from what was set before, so that a run is the same each time.
 */
export class VirtualClock implements ScenarioClock {
  private readonly alarms: Alarm[] = []
  private readonly wall: () => number
  private startedAtMs: number
  private ms = 0
  private order = 0
  private working = 0
  private wake: () => void = () => {}

  constructor(wall: () => number = () => performance.now()) {
    this.wall = wall
    this.startedAtMs = wall()
  }

  begin(): void {
    this.startedAtMs = this.wall()
  }

  nowMs(): number {
    return this.ms
  }

  wallMs(): number {
    return this.wall() - this.startedAtMs
  }

  readonly timer: Timer = (delayMs, run) => this.set(this.ms + Math.max(0, delayMs), run)

  sleepUntil(atMs: number, signal?: AbortSignal): Promise<void> {
    if (atMs <= this.ms || signal?.aborted === true) return Promise.resolve()
    return new Promise((resolve) => {
      const done = (): void => {
        cancel()
        signal?.removeEventListener("abort", done)
        resolve()
      }
      const cancel = this.set(atMs, done)
      signal?.addEventListener("abort", done)
    })
  }

  /** Time stands while this goes on. */
  async during<T>(work: Promise<T>): Promise<T> {
    this.working += 1
    try {
      return await work
    } finally {
      this.working -= 1
      this.wake()
    }
  }

  /**
   * Lets time go until `end` settles. Rejects where it rejects, and where nobody works and nobody waits for a moment.
   *
   * @param onTime called before each moment; its work is done before anybody hears of the moment
   */
  async drive(end: Promise<unknown>, onTime: (atMs: number) => Promise<void>): Promise<void> {
    const state = { isOver: false }
    const over = end.finally(() => {
      state.isOver = true
      this.wake()
    })
    over.catch(() => {})
    let idle = 0
    while (!state.isOver) {
      if (this.working > 0) {
        await new Promise<void>((resolve) => (this.wake = resolve))
        idle = 0
        continue
      }
      // What was answered just now is still being taken in: promises run before this comes back.
      await new Promise<void>((resolve) => setImmediate(resolve))
      idle += 1
      if (this.working > 0 || idle < 2) continue
      const next = this.alarms[0]
      if (next === undefined) {
        if (idle > 1_000) throw new Error("the run waits for something that will never come")
        continue
      }
      idle = 0
      if (next.atMs > this.ms) {
        this.ms = next.atMs
        await onTime(this.ms)
      }
      while (this.alarms[0] !== undefined && this.alarms[0].atMs <= this.ms) this.take().ring()
    }
    await over
  }

  private set(atMs: number, ring: () => void): () => void {
    // Whole ms, so that what is due at the same time is taken together.
    const alarm: Alarm = { atMs: Math.ceil(atMs), order: (this.order += 1), ring }
    this.alarms.push(alarm)
    this.rise(this.alarms.length - 1)
    return () => {
      const at = this.alarms.indexOf(alarm)
      if (at >= 0) this.remove(at)
    }
  }

  private take(): Alarm {
    const [first] = this.alarms
    this.remove(0)
    return first!
  }

  /** A binary heap: the earliest in front. */
  private remove(at: number): void {
    const last = this.alarms.pop()!
    if (at === this.alarms.length) return
    this.alarms[at] = last
    this.rise(at)
    this.sink(at)
  }

  private rise(at: number): void {
    while (at > 0) {
      const parent = (at - 1) >>> 1
      if (!isBefore(this.alarms[at]!, this.alarms[parent]!)) return
      this.swap(at, parent)
      at = parent
    }
  }

  private sink(at: number): void {
    for (;;) {
      let least = at
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < this.alarms.length && isBefore(this.alarms[child]!, this.alarms[least]!)) least = child
      }
      if (least === at) return
      this.swap(at, least)
      at = least
    }
  }

  private swap(a: number, b: number): void {
    const one = this.alarms[a]!
    this.alarms[a] = this.alarms[b]!
    this.alarms[b] = one
  }
}

function isBefore(a: Alarm, b: Alarm): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
