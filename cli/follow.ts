/** `tidemark follow URL`: a copy of a log, and the proof where it has signed two histories. */
import { setTimeout as pause } from "node:timers/promises"
import type { Command } from "commander"
import { formatVkey } from "../chain/note.ts"
import { type Followed } from "../verify/follow.ts"
import { describeFollowed, formatFollowed, isWell } from "../verify/follow-report.ts"
import { LogAway } from "../verify/follow-source.ts"
import { MirrorFault } from "../verify/mirror.ts"
import { Follower, type Pass } from "./follow-run.ts"
import { type FollowServer, startFollowServer } from "./follow-server.ts"
import { explainPort } from "./connecting.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { addCommand, jsonOption, parseCount, parseHost, parsePort } from "./option.ts"
import { Progress, formatBar, formatNumber, ignoreBrokenPipe, print, say } from "./output.ts"
import { formatHttp } from "./listening.ts"
import { waitForSignal } from "./signal.ts"
import { readGivenPolicy } from "./verify-evidence.ts"

interface FollowCommandOptions {
  readonly data: string
  readonly policy?: string
  readonly logKey?: string
  readonly once?: true
  readonly every: number
  readonly compare: readonly string[]
  readonly serve?: number
  readonly host: string
  readonly growth: number
  readonly json: boolean
}

/** A log of one block an hour and a leaf a second could be away for a year and a half. */
const growthMax = 50_000_000
const timeoutMs = 10_000
/** Between three tries. */
const waitsMs = [500, 3_000]

export function addFollow(program: Command): void {
  addCommand(
    program,
    "follow",
    "copy another organisation's log as it grows, and prove it where it shows two histories",
  )
    .argument("<url>", "the log's prefix, or the address of a service that publishes it under log/")
    .requiredOption("--data <folder>", "the copy, and what the log is held to; a folder of its own")
    .option("--log-key <vkey>", "the log's key, as its operator published it")
    .option("--policy <file>", "the logs and witnesses that you trust, a C2SP tlog-policy")
    .option("--once", "look once, and exit 1 unless all is well")
    .option("--every <seconds>", "between two looks", parseCount(1, 86_400), 60)
    .option(
      "--compare <place>",
      "where others are shown this log: a mirror, a witness, or a file with a checkpoint; as often as needed",
      (place: string, places: readonly string[]) => [...places, place],
      [],
    )
    .option("--serve <port>", "show the copy to others over HTTP; 0 takes a free port", parsePort)
    .option("--host <host>", "where it is shown", parseHost, "127.0.0.1")
    .option("--growth <leaves>", "the most that is copied at once", parseCount(1, 2 ** 40), growthMax)
    .addOption(jsonOption())
    .action(runFollow)
}

async function runFollow(url: string, options: FollowCommandOptions): Promise<void> {
  const { data, once, every, serve, host, json } = options
  if (!/^https?:\/\/[^\s]+$/.test(url)) throw new UsageFault(`${url}: a log has a URL, http:// or https://`)
  ignoreBrokenPipe()
  const stopping = new AbortController()
  if (once === undefined) void waitForSignal().then(() => stopping.abort())
  const show = new Show(json, once === undefined)
  const open = openFollower(url, options)
  let server: FollowServer | null = null
  try {
    for (;;) {
      const found = await look(open, show)
      if (found.follower !== null && serve !== undefined && server === null) {
        server = await startFollowServer({
          mirror: found.follower.mirror,
          host,
          port: serve,
          status: () => show.status,
        }).catch((error: unknown) => {
          throw explainPort(error, "HTTP", serve, "--serve")
        })
        say(`${data} is shown at ${formatHttp({ host, port: server.port })}`)
      }
      process.exitCode = show.status.isWell ? 0 : 1
      // Two histories stay two. The copy is shown on, and so is the proof.
      if (once === true || (show.isSplit && server === null)) return
      if (!(await rest(every, stopping.signal))) return
    }
  } finally {
    await server?.close()
  }
}

type Open = () => Promise<Follower>

function openFollower(url: string, options: FollowCommandOptions): Open {
  let follower: Follower | null = null
  return async () => {
    if (follower !== null) return follower
    const progress = new Progress()
    follower = await Follower.open({
      url,
      folder: options.data,
      trust: await readGivenPolicy(options),
      compare: options.compare,
      growthMax: options.growth,
      limits: { timeoutMs, waitsMs, wait: (ms) => pause(ms) },
      onProgress: (done, total) => {
        if (done < total)
          progress.update(`${formatBar(done, total)}  ${formatNumber(done)} of ${formatNumber(total)} leaves`)
        else progress.done()
      },
    })
    say(`following ${formatVkey(follower.log)} at ${url}`)
    if (follower.isOnItsWord)
      say(
        `  the log has named this key itself: compare it with what its operator gave you. From now on the log is held to it`,
      )
    return follower
  }
}

/** One look; while the log has never been reached there is nobody to look yet. */
async function look(open: Open, show: Show): Promise<{ readonly follower: Follower | null }> {
  try {
    const follower = await open()
    show.pass(follower, await follower.pass())
    return { follower }
  } catch (error) {
    if (error instanceof MirrorFault) throw new CommandFault(error.message, null, { cause: error })
    if (!(error instanceof LogAway)) throw error
    show.away(error)
    return { follower: null }
  }
}

/** False where it was told to stop. */
async function rest(seconds: number, signal: AbortSignal): Promise<boolean> {
  try {
    await pause(seconds * 1000, undefined, { signal })
    return true
  } catch (error) {
    if (signal.aborted) return false
    throw error
  }
}

/** Says what has changed since the last look, and keeps what is said of it to others. */
class Show {
  private readonly isJson: boolean
  private readonly isTimed: boolean
  private last = ""
  private current: { isWell: boolean; said: Record<string, unknown> } = { isWell: false, said: {} }
  isSplit = false

  /** @param isTimed whether each line says when: of a process that stays */
  constructor(isJson: boolean, isTimed: boolean) {
    this.isJson = isJson
    this.isTimed = isTimed
  }

  get status(): { readonly isWell: boolean; readonly said: Readonly<Record<string, unknown>> } {
    return this.current
  }

  pass({ policy }: Follower, { followed, compared }: Pass): void {
    const all: readonly Followed[] = [followed, ...compared.map((one) => one.followed)]
    const wasSaid = this.isSplit && all.every(({ kind }) => kind === "was-split")
    this.isSplit = all.some(({ kind }) => kind === "split" || kind === "was-split")
    const said = {
      ...describeFollowed(followed, policy),
      compared: compared.map((one) => ({ where: one.where, ...describeFollowed(one.followed, policy) })),
    }
    const lines = [
      ...formatFollowed(followed, policy),
      ...compared.flatMap((one) =>
        formatFollowed(one.followed, policy).map((line) => `${one.where}: ${line}`),
      ),
    ]
    this.say(all.every(isWell), said, wasSaid ? null : lines)
  }

  away(error: LogAway): void {
    this.say(false, { kind: "away", rule: error.message }, [`the log is away: ${error.message}`])
  }

  /** @param lines null: it has been said */
  private say(isAllWell: boolean, said: Record<string, unknown>, lines: readonly string[] | null): void {
    this.current = { isWell: isAllWell, said }
    const printed = this.isJson ? JSON.stringify(said) : (lines ?? []).join("\n")
    if (lines === null || printed === this.last) return
    this.last = printed
    const at = new Date().toISOString()
    if (this.isJson) print(this.isTimed ? JSON.stringify({ at, ...said }) : printed)
    else for (const line of lines) print(this.isTimed ? `${at.slice(0, 19)}Z  ${line}` : line)
  }
}
