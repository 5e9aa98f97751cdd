/** A follower of one log: which log it is held to be, where it is, and a pass over it and over what others were shown. */
import { access } from "node:fs/promises"
import { join } from "node:path"
import { formatHex } from "../chain/bytes.ts"
import { type NoteKey, formatVkey, parseNote, parseVkey, verifyNote } from "../chain/note.ts"
import { type TlogPolicy, parseTlogPolicy, policyOfLog } from "../chain/tlog-policy.ts"
import { originHash } from "../chain/tlog-witness.ts"
import { sha256Native, verifyNative } from "../ingest/native.ts"
import { HttpLog, LogAway, type LogSource, type SourceLimits, readEither } from "../verify/follow-source.ts"
import { type FollowOptions, type Followed, compareCheckpoint, followLog } from "../verify/follow.ts"
import { isWell } from "../verify/follow-report.ts"
import { Mirror } from "../verify/mirror.ts"
import { readCheckpointIn } from "./checkpoint-in-file.ts"
import { CommandFault } from "./fault.ts"

export interface FollowerOptions {
  /** The log's prefix, or the address of a service that has its log under `log/`. */
  readonly url: string
  readonly folder: string
  /** What its user trusts; null: the key that the folder holds, or else the one that the log names itself. */
  readonly trust: TlogPolicy | null
  /** Where others were shown this log: addresses of mirrors and witnesses, or files that hold a checkpoint. */
  readonly compare: readonly string[]
  readonly growthMax: number
  readonly limits: SourceLimits
  /** Unix ms. */
  readonly nowMs: () => number
  readonly onProgress?: (done: number, total: number) => void
}

export interface Pass {
  /** When the log was last seen to grow, Unix ms; null where it never was. */
  readonly grownAtMs: number | null
  readonly followed: Followed
  readonly compared: readonly { readonly where: string; readonly followed: Followed }[]
}

export class Follower {
  readonly mirror: Mirror
  /** Of this one log, with the user's witnesses. */
  readonly policy: TlogPolicy
  /** The log has named its key itself, and nobody has said that it is the right one. */
  readonly isOnItsWord: boolean
  private readonly options: FollowerOptions
  private readonly source: LogSource
  private isKept: boolean

  private constructor(options: FollowerOptions, mirror: Mirror, source: LogSource, found: FoundTrust) {
    this.options = options
    this.mirror = mirror
    this.source = source
    this.policy = found.policy
    this.isKept = found.isKept
    this.isOnItsWord = found.isOnItsWord
  }

  /**
   * Rejects with a CommandFault where there is nothing to follow, and with a LogAway where the log must be asked what it is
   * and cannot be reached.
   */
  static async open(options: FollowerOptions): Promise<Follower> {
    const { url, folder, limits } = options
    await checkFollowFolder(folder)
    const mirror = new Mirror(folder)
    let found: Promise<HttpLog> | null = null
    const find = (): Promise<HttpLog> => {
      found ??= HttpLog.find(url, limits).catch((error: unknown) => {
        found = null
        throw error
      })
      return found
    }
    return new Follower(options, mirror, readFound(find), await findTrust(mirror, find, options))
  }

  get log(): NoteKey {
    return this.policy.logs[0]!
  }

  async pass(): Promise<Pass> {
    const { growthMax, nowMs, onProgress, compare } = this.options
    const options: FollowOptions = {
      mirror: this.mirror,
      log: this.log,
      growthMax,
      nowMs,
      verify: verifyNative,
      sha256: sha256Native,
      ...(onProgress === undefined ? {} : { onProgress }),
    }
    const followed = await followLog(this.source, options)
    // From the first checkpoint that it has signed: a key that was mistyped is not kept.
    if (isWell(followed) && !this.isKept) {
      await this.mirror.writeKey(formatVkey(this.log))
      this.isKept = true
    }
    const compared: { where: string; followed: Followed }[] = []
    for (const where of compare) compared.push({ where, followed: await this.compare(where, options) })
    return { grownAtMs: await this.mirror.readGrownAtMs(), followed, compared }
  }

  private async compare(where: string, options: FollowOptions): Promise<Followed> {
    try {
      if (!/^https?:/.test(where)) {
        const note = await readCheckpointIn(where)
        return await compareCheckpoint(note, this.source, options)
      }
      const witnessed = `${formatHex(originHash(this.log.name))}/`
      const other = await HttpLog.find(where, this.options.limits, ["", "log/", witnessed])
      return await compareCheckpoint(await other.readCheckpoint(), readEither(other, this.source), options)
    } catch (error) {
      if (error instanceof LogAway) return { kind: "away", rule: error.message }
      throw error
    }
  }
}

/** A follower's folder is not that of a log's operator, who would follow itself into its own files. */
export async function checkFollowFolder(folder: string): Promise<void> {
  if (await isThere(join(folder, "keys")))
    throw new CommandFault(
      `${folder} is the folder of a log's operator`,
      "name another with --data: a follower is somebody else",
    )
}

/** A log that is looked for when it is first asked. */
function readFound(find: () => Promise<HttpLog>): LogSource {
  return {
    readCheckpoint: async () => (await find()).readCheckpoint(),
    readTile: async (level, index, width) => (await find()).readTile(level, index, width),
    readEntries: async (index, width) => (await find()).readEntries(index, width),
  }
}

interface FoundTrust {
  readonly policy: TlogPolicy
  /** The folder holds the key already. */
  readonly isKept: boolean
  readonly isOnItsWord: boolean
}

/** The key that the folder holds; else the user's; else the log's own word. */
async function findTrust(
  mirror: Mirror,
  find: () => Promise<HttpLog>,
  { folder, trust }: FollowerOptions,
): Promise<FoundTrust> {
  const kept = await mirror.readKey()
  const keptKey = kept === null ? null : parseVkey(kept.trimEnd())
  if (kept !== null && keptKey === null)
    throw new CommandFault(`${join(folder, "log.vkey")} is no vkey: restore it from a backup`)
  if (keptKey !== null) {
    if (trust !== null && !trust.logs.some((log) => formatVkey(log) === formatVkey(keptKey)))
      throw new CommandFault(
        `${folder} follows ${formatVkey(keptKey)}, which is not what you trust`,
        "name another folder with --data",
      )
    return {
      policy: { ...(trust ?? policyOfLog(keptKey)), logs: [keptKey] },
      isKept: true,
      isOnItsWord: false,
    }
  }
  if (trust !== null) return { policy: await chooseLog(trust, find), isKept: false, isOnItsWord: false }
  const source = await find()
  const named = await source.readPolicy()
  const parsed = named === null ? null : parseTlogPolicy(named)
  const [log, ...others] = parsed?.kind === "policy" ? parsed.policy.logs : []
  if (log === undefined || others.length > 0)
    throw new CommandFault(
      `the log at ${source.prefix} does not name its key`,
      "name it with --log-key, as its operator published it, or a C2SP tlog-policy with --policy",
    )
  return { policy: policyOfLog(log), isKept: false, isOnItsWord: true }
}

/** Of the logs that the user trusts the one whose key has signed what is served. */
async function chooseLog(trust: TlogPolicy, find: () => Promise<HttpLog>): Promise<TlogPolicy> {
  if (trust.logs.length === 1) return trust
  const source = await find()
  const bytes = await source.readCheckpoint()
  const note = parseNote(new TextDecoder().decode(bytes))
  const log = note === null ? undefined : verifyNote(note, trust.logs, verifyNative)?.[0]
  if (log === undefined)
    throw new CommandFault(`the checkpoint at ${source.prefix} is not signed by any log that you trust`)
  return { ...trust, logs: [log] }
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
