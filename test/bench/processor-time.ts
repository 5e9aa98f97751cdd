/**
 * Processor time of processes, from /proc (proc(5)): what a machine that others use too can still compare. Where there is
 * no /proc, null, and the bench says so.
 */
import { execFileSync } from "node:child_process"
import { readFileSync, readdirSync } from "node:fs"

export const hasProcessorTime = process.platform === "linux"

/** Of the clock in which /proc counts: 100 nearly everywhere. */
const ticksPerSecond = hasProcessorTime ? readTicksPerSecond() : 100

function readTicksPerSecond(): number {
  try {
    return Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" })) || 100
  } catch {
    return 100
  }
}

interface ProcessTimes {
  readonly parent: number
  /** Of all its threads, in user and kernel mode. */
  readonly own: number
  /** Of its children that have ended and were waited for. */
  readonly ended: number
}

/** Ticks; null where the process is gone. */
function readTimes(pid: number): ProcessTimes | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
    // The name before may hold blanks and brackets.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    const at = (index: number): number => Number(fields[index])
    return { parent: at(1), own: at(11) + at(12), ended: at(13) + at(14) }
  } catch {
    return null
  }
}

/** Seconds that a process has used so far, with all its threads and without its children. */
export function readProcessSeconds(pid: number): number | null {
  if (!hasProcessorTime) return null
  const times = readTimes(pid)
  return times === null ? null : times.own / ticksPerSecond
}

/**
 * Seconds that a process and its children have used so far: of a postmaster, all its backends and background writers, those
 * that have ended too.
 */
export function readFamilySeconds(pid: number): number | null {
  if (!hasProcessorTime) return null
  const head = readTimes(pid)
  if (head === null) return null
  let ticks = head.own + head.ended
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue
    const times = readTimes(Number(name))
    if (times !== null && times.parent === pid) ticks += times.own + times.ended
  }
  return ticks / ticksPerSecond
}

/** The most memory that a process has had, and what it has now; null without /proc, or where the process is gone. */
export function readMemoryBytes(pid: number): { readonly peak: number; readonly now: number } | null {
  if (!hasProcessorTime) return null
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1")
    const bytes = (name: string): number =>
      1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1])
    const [peak, now] = [bytes("VmHWM"), bytes("VmRSS")]
    // Of a zombie neither is told.
    return Number.isNaN(peak) ? null : { peak, now }
  } catch {
    return null
  }
}
