/**
 * The longest stall of a process's event loop. Time in which the system let the thread wait for a processor is not counted,
 * nor what an idle process next to it had to wait through: what is left is what the process did to itself.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { openSync, readSync } from "node:fs"

/** A stall above this fails a test: nothing may hold the main thread for more than 50 ms, and a test machine is noisy. */
export const stallMsMax = 250

const beatMs = 10

export interface Stall {
  readonly longestMs: number
  /** Unix ms at which it ended; 0: there was none. */
  readonly atMs: number
}

/** ms that this thread has used a processor, and that it has waited for one; null where the system does not say. */
function readThreadTimes(): { readonly usedMs: number; readonly waitedMs: number } | null {
  if (times === null) return null
  // One buffer for all: a file of unknown size costs 64 KiB at each look otherwise, which a soak takes for a leak.
  const length = readSync(times, text, 0, text.length, 0)
  const [used, waited] = text.toString("latin1", 0, length).split(" ")
  return { usedMs: Number(used) / 1e6, waitedMs: Number(waited) / 1e6 }
}

const text = Buffer.alloc(128)
const times = openTimes()

function openTimes(): number | null {
  try {
    return openSync("/proc/thread-self/schedstat", "r")
  } catch {
    return null
  }
}

function readWaitedMs(): number | null {
  return readThreadTimes()?.waitedMs ?? null
}

function readUsedMs(): number {
  const { user, system } = process.cpuUsage()
  return readThreadTimes()?.usedMs ?? (user + system) / 1_000
}

interface Interval {
  readonly fromMs: number
  readonly toMs: number
}

/** The same heartbeat in a process that does nothing else: what stops it too stopped the machine. */
const control = `
const { readFileSync } = require("node:fs")
const waited = () => {
  try { return Number(readFileSync("/proc/thread-self/schedstat", "latin1").split(" ")[1]) / 1e6 } catch { return 0 }
}
let last = performance.now(), before = waited()
setInterval(() => {
  const now = performance.now(), wait = waited()
  const stall = now - last - ${beatMs} - (wait - before)
  if (stall > ${2 * beatMs}) process.send([performance.timeOrigin + now - stall, performance.timeOrigin + now])
  last = now
  before = wait
}, ${beatMs})
process.on("disconnect", () => process.exit())
process.send("ready")
`

export class Watchdog {
  private readonly child: ChildProcess
  private readonly outside: Interval[] = []
  private readonly own: Interval[] = []
  private readonly timer: NodeJS.Timeout
  private lastMs = performance.now()
  private waitedMs = readWaitedMs()
  /** Of the test itself, since the last beat. */
  private apartMs = 0

  private constructor(child: ChildProcess) {
    this.child = child
    child.on("message", (message: unknown) => {
      if (!Array.isArray(message)) return
      const [fromMs, toMs] = message as [number, number]
      this.outside.push({ fromMs, toMs })
    })
    this.timer = setInterval(() => this.beat(), beatMs)
    // Whoever watches may end first.
    this.timer.unref()
    child.unref()
    child.channel?.unref()
  }

  static async open(): Promise<Watchdog> {
    const child = spawn(process.execPath, ["-e", control], { stdio: ["ignore", "ignore", "ignore", "ipc"] })
    await new Promise((resolve) => child.once("message", resolve))
    return new Watchdog(child)
  }

  /** What a test does in the process that it watches is not the process's. */
  apart<T>(work: () => T): T {
    const beganMs = performance.now()
    try {
      return work()
    } finally {
      this.apartMs += performance.now() - beganMs
    }
  }

  /** What was before is forgotten. */
  restart(): void {
    this.beat()
    this.own.splice(0)
  }

  /** The longest so far. */
  longest(): Stall {
    this.beat()
    let longest: Stall = { longestMs: 0, atMs: 0 }
    for (const stall of this.own) {
      const excused = this.outside.reduce((all, one) => all + overlapOf(stall, one), 0)
      const longestMs = stall.toMs - stall.fromMs - excused
      if (longestMs > longest.longestMs) longest = { longestMs, atMs: stall.toMs }
    }
    return longest
  }

  /** Stops watching, and gives the longest. */
  close(): Stall {
    const longest = this.longest()
    clearInterval(this.timer)
    this.child.disconnect()
    return longest
  }

  private beat(): void {
    const nowMs = performance.now()
    const waitedMs = readWaitedMs()
    const waiting = waitedMs === null || this.waitedMs === null ? 0 : waitedMs - this.waitedMs
    const stallMs = nowMs - this.lastMs - beatMs - waiting - this.apartMs
    const toMs = performance.timeOrigin + nowMs
    if (stallMs > 2 * beatMs) this.own.push({ fromMs: toMs - stallMs, toMs })
    this.lastMs = nowMs
    this.waitedMs = waitedMs
    this.apartMs = 0
  }
}

function overlapOf(one: Interval, other: Interval): number {
  return Math.max(0, Math.min(one.toMs, other.toMs) - Math.max(one.fromMs, other.fromMs))
}

/** Holds the thread for so much of a processor's time: what the watchdog must find. */
export function hold(ms: number): void {
  const untilMs = readUsedMs() + ms
  while (readUsedMs() < untilMs);
}

/** A sentence where a stall was too long, for a soak's list of faults; else null. */
export function findStallFault({ longestMs }: Stall): string | null {
  return longestMs <= stallMsMax
    ? null
    : `the event loop stood still for ${Math.round(longestMs)} ms; ${stallMsMax} ms is the limit`
}
