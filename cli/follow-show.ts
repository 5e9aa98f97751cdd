/** What `tidemark follow` says of its looks at a log: to who runs it, and to who asks for its health. */
import type { Followed } from "../verify/follow.ts"
import { describeFollowed, formatFollowed, isWell } from "../verify/follow-report.ts"
import type { LogAway } from "../verify/follow-source.ts"
import type { Follower, Pass } from "./follow-run.ts"

export interface ShowOptions {
  readonly isJson: boolean
  /** Each line says when: of a process that stays. */
  readonly isTimed: boolean
  /** A log that has not grown for so long is not well. */
  readonly staleMs: number
  readonly print: (line: string) => void
  /** Unix ms. */
  readonly nowMs: () => number
}

/** Says what has changed since the last look, and keeps what is said of it to others. */
export class Show {
  private readonly options: ShowOptions
  private last = ""
  private current: { isWell: boolean; said: Record<string, unknown> } = { isWell: false, said: {} }
  isSplit = false

  constructor(options: ShowOptions) {
    this.options = options
  }

  get status(): { readonly isWell: boolean; readonly said: Readonly<Record<string, unknown>> } {
    return this.current
  }

  pass({ policy }: Pick<Follower, "policy">, { grownAtMs, followed, compared }: Pass): void {
    const all: readonly Followed[] = [followed, ...compared.map((one) => one.followed)]
    const wasSaid = this.isSplit && all.every(({ kind }) => kind === "was-split")
    this.isSplit = all.some(({ kind }) => kind === "split" || kind === "was-split")
    const isStale = grownAtMs !== null && this.options.nowMs() - grownAtMs >= this.options.staleMs
    const said = {
      ...describeFollowed(followed, policy),
      grownAt: formatMs(grownAtMs),
      isStale,
      compared: compared.map((one) => ({ where: one.where, ...describeFollowed(one.followed, policy) })),
    }
    const lines = [
      ...formatFollowed(followed, policy),
      ...(isStale ? [`the log is stale: it has not grown since ${formatMs(grownAtMs)}`] : []),
      ...compared.flatMap((one) =>
        formatFollowed(one.followed, policy).map((line) => `${one.where}: ${line}`),
      ),
    ]
    this.say(all.every(isWell) && !isStale, said, wasSaid ? null : lines)
  }

  away(error: LogAway): void {
    const rule = error.message
    this.say(false, { kind: "away", rule }, [`not to be reached: ${rule}`])
  }

  /** @param lines null: it has been said */
  private say(isAllWell: boolean, said: Record<string, unknown>, lines: readonly string[] | null): void {
    const { isJson, isTimed, print, nowMs } = this.options
    this.current = { isWell: isAllWell, said }
    const printed = isJson ? JSON.stringify(said) : (lines ?? []).join("\n")
    if (lines === null || printed === this.last) return
    this.last = printed
    const at = new Date(nowMs()).toISOString()
    if (isJson) print(isTimed ? JSON.stringify({ at, ...said }) : printed)
    else for (const line of lines) print(isTimed ? `${at.slice(0, 19)}Z  ${line}` : line)
  }
}

function formatMs(atMs: number | null): string | null {
  return atMs === null ? null : new Date(atMs).toISOString()
}
