/** `tidemark follow URL`: a copy of a log, and the proof where it has signed two histories. */
import { setTimeout as pause } from "node:timers/promises"
import type { Command } from "commander"
import { formatVkey } from "../chain/note.ts"
import { LogAway } from "../verify/follow-source.ts"
import { MirrorFault } from "../verify/mirror.ts"
import { Follower, checkFollowFolder } from "./follow-run.ts"
import { lockFolder } from "./folder-lock.ts"
import { Show } from "./follow-show.ts"
import { type FollowServer, startFollowServer } from "./follow-server.ts"
import { explainPort } from "./connecting.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { addCommand, jsonOption, parseCount, parseHost, parsePort } from "./option.ts"
import { Progress, formatBar, formatNumber, print, say } from "./output.ts"
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
  readonly stale?: number
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
      "what others were shown of this log: a mirror, a witness, or a file with a checkpoint (a note, a tlog-proof, evidence); as often as needed",
      (place: string, places: readonly string[]) => [...places, place],
      [],
    )
    .option(
      "--stale <hours>",
      "it is wrong if the log has not grown for so long; this one grows with each block, also an empty one",
      parseCount(1, 100_000),
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
  await checkFollowFolder(data)
  const release = await lockFolder(data)
  const stopping = new AbortController()
  if (once === undefined) void waitForSignal().then(() => stopping.abort())
  const show = new Show({
    isJson: json,
    isTimed: once === undefined,
    staleMs: staleMsOf(options),
    print,
    nowMs: Date.now,
  })
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
    await release()
  }
}

function staleMsOf({ stale }: FollowCommandOptions): number {
  return stale === undefined ? Number.POSITIVE_INFINITY : stale * 3_600_000
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
      nowMs: Date.now,
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
