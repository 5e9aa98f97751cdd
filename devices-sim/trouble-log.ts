/** When a device says what is wrong: at once where the reason is new, and then at growing intervals while it lasts. */
import type { Trouble } from "./trouble.ts"

const againMsMin = 60_000
const againMsMax = 3_600_000

interface Said {
  nextAtMs: number
  intervalMs: number
  /** Since the last line about it. */
  silent: number
}

export class TroubleLog {
  private readonly write: (line: string) => void
  private readonly said = new Map<string, Said>()

  /** @param write takes one line without its end */
  constructor(write: (line: string) => void) {
    this.write = write
  }

  /** @param nowMs of a clock that only goes forward */
  tell({ reason, words }: Trouble, nowMs: number): void {
    const said = this.said.get(reason)
    if (said === undefined) {
      this.said.set(reason, { nextAtMs: nowMs + againMsMin, intervalMs: againMsMin, silent: 0 })
      this.write(words)
      return
    }
    said.silent += 1
    if (nowMs < said.nextAtMs) return
    this.write(`${words} (${said.silent} times since this was last said)`)
    said.intervalMs = Math.min(2 * said.intervalMs, againMsMax)
    said.nextAtMs = nowMs + said.intervalMs
    said.silent = 0
  }

  /** It is over: says so if anything was said. */
  clear(words: string): void {
    if (this.said.size === 0) return
    this.said.clear()
    this.write(words)
  }
}
