/** Sealing by the clock: node-cron in UTC, and what was missed is made up for at the start. */
import { createTask, validate, type ScheduledTask } from "node-cron"

export interface Schedule {
  /** Waits for a seal that is under way. */
  stop(): Promise<void>
}

export interface ScheduleOptions {
  /** Five fields of cron, in UTC; `0 * * * *` is every hour. */
  readonly expression: string
  /** Called for each slot with its instant (Unix ms by this process's clock), never twice at the same time. */
  readonly run: (slotMs: number) => Promise<void>
  /** What a run threw: the schedule goes on. */
  readonly onError: (error: Error) => void
}

/** Throws a RangeError on an expression that node-cron does not take. */
export function checkSchedule(expression: string): void {
  const fields = expression.trim().split(/\s+/).length
  if (fields < 5 || fields > 6 || !validate(expression)) {
    throw new RangeError(`"${expression}" is no schedule: five fields of cron in UTC, such as "0 * * * *"`)
  }
}

const minuteMs = 60_000
/**
 * How far back a missed slot is looked for: one block spans a downtime however long, so the latest slot is enough, and 32
 * days hold one of every monthly schedule. At 24 µs a minute looked at that is a second at the most.
 */
const lookBackMinutesMax = 32 * 24 * 60

/** The latest slot in (afterMs, nowMs], or null: what was missed while the service was down. Whole minutes only. */
export function findMissedSlot(expression: string, afterMs: number, nowMs: number): number | null {
  const task = createTask(expression, () => {}, { timezone: "Etc/UTC" })
  try {
    let slotMs = Math.floor(nowMs / minuteMs) * minuteMs
    for (let left = lookBackMinutesMax; left > 0 && slotMs > afterMs; left--) {
      if (task.match(new Date(slotMs))) return slotMs
      slotMs -= minuteMs
    }
    return null
  } finally {
    void task.destroy()
  }
}

export function startSchedule({ expression, run, onError }: ScheduleOptions): Schedule {
  checkSchedule(expression)
  let running: Promise<void> = Promise.resolve()
  const task: ScheduledTask = createTask(
    expression,
    ({ date }) => {
      // A slot that comes while the one before is being sealed waits for it.
      running = running.then(() => run(date.getTime())).catch((error: unknown) => onError(error as Error))
      return running
    },
    // A slot that this process was too late for (by default over a second: asleep, stopped, busy) is not given up but
    // run late, the last one if there were several.
    { timezone: "Etc/UTC", missedExecutionTolerance: Number.MAX_SAFE_INTEGER },
  )
  // The block of the last one spans those before; without a listener node-cron writes to the console.
  task.on("execution:missed", () => {})
  void task.start()
  return {
    stop: async () => {
      await task.destroy()
      await running
    },
  }
}
