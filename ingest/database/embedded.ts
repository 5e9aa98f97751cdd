import { setTimeout as wait } from "node:timers/promises"
import { adviseOn, EmbeddedDatabaseError } from "./embedded/fault.ts"
import { roleName } from "./embedded/cluster.ts"
import { Holder } from "./embedded/holder.ts"
import { binariesFor, locateCluster, type LocatedCluster } from "./embedded/locate.ts"
import {
  endOrphans,
  isPostmasterAlive,
  readPidFile,
  removeSocketFolder,
  stopPostmaster,
} from "./embedded/postmaster.ts"
import { holdServer, type HeldServer } from "./embedded/server.ts"

export { EmbeddedDatabaseError, type EmbeddedDatabaseFault } from "./embedded/fault.ts"

export interface EmbeddedDatabase {
  /** A postgres:// URL with its password, for `pg`. Never to be logged. */
  readonly url: string
  /** Another process of ours had started the server. */
  readonly attached: boolean
  /** The server was found alive after its starter had died, and nobody held it. */
  readonly adopted: boolean
  /** The postmaster's process. */
  readonly pid: number
  /** Lets go. The last holder stops the server (SIGINT: fast shutdown) and waits for its end. */
  close(): Promise<void>
}

export interface EmbeddedOptions {
  readonly dataFolder: string
  /** false: refuses to make a cluster where none is. */
  readonly create: boolean
  /** Is told what takes long, and what was mended. */
  readonly say: (line: string) => void
  /** For root: where the database goes if an unprivileged account cannot reach the data folder. */
  readonly elsewhere?: string
}

const reviveAgainMs = 2_000

/**
 * Starts, attaches to, or adopts the Postgres of this data folder.
 *
 * @throws EmbeddedDatabaseError
 */
export async function openEmbedded(options: EmbeddedOptions): Promise<EmbeddedDatabase> {
  const { dataFolder, create, say, elsewhere } = options
  try {
    const located = await locateCluster(dataFolder, create, elsewhere, say)
    return new OpenDatabase(located, await holdServer(located, say), say)
  } catch (error) {
    throw explainSystemError(error, dataFolder)
  }
}

/**
 * A held server. While it is open, a server that was killed is started again, on the same port: who writes to it sees
 * broken connections, connects again and finds what was committed.
 */
class OpenDatabase implements EmbeddedDatabase {
  readonly #located: LocatedCluster
  #server: HeldServer
  readonly #say: (line: string) => void
  readonly #closed = new AbortController()
  #closing: Promise<void> | undefined
  #reviving: Promise<void> = Promise.resolve()
  readonly attached: boolean
  readonly adopted: boolean

  constructor(located: LocatedCluster, server: HeldServer, say: (line: string) => void) {
    this.#located = located
    this.#server = server
    this.#say = say
    this.attached = server.attached
    this.adopted = server.adopted
    void this.#watch()
  }

  get url(): string {
    const { password, port } = this.#server
    return `postgres://${roleName}:${encodeURIComponent(password)}@127.0.0.1:${port}/${roleName}`
  }

  get pid(): number {
    return this.#server.pid
  }

  async #watch(): Promise<void> {
    await this.#server.holder.whenLost
    if (!this.#closed.signal.aborted) this.#reviving = this.#revive()
  }

  async #revive(): Promise<void> {
    const { port } = this.#server
    this.#say("The connection to Postgres broke (it crashed, or was stopped): looking for it")
    while (!this.#closed.signal.aborted) {
      try {
        this.#server = await holdServer(this.#located, this.#say, port)
        if (this.#server.port !== port) this.#say(`Postgres has port ${this.#server.port} now, not ${port}`)
        this.#say("Postgres answers again")
        void this.#watch()
        return
      } catch (error) {
        this.#say(error instanceof Error ? error.message : String(error))
      }
      const pause = { signal: this.#closed.signal, ref: false }
      await wait(reviveAgainMs, undefined, pause).catch(() => undefined)
    }
  }

  close(): Promise<void> {
    this.#closed.abort()
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { home, marks } = this.#located
    // A start that is under way cannot be called back: it is waited for, and its server stopped.
    await this.#reviving
    const pidFile = await readPidFile(home)
    const holder = await this.#letGo()
    if (holder !== undefined) {
      const binaries = process.platform === "win32" ? await binariesFor(this.#located) : undefined
      await stopPostmaster(pidFile?.pid ?? this.#server.pid, home, binaries, marks, this.#say)
      // The server is gone, and this connection with it; while it stood, nobody could begin to hold.
      await holder.disconnect()
    }
    if (pidFile !== undefined && isPostmasterAlive(pidFile.pid, marks)) return
    await endOrphans(home, marks, this.#say)
    if (pidFile !== undefined) await removeSocketFolder(home, pidFile.socketFolder)
  }

  /** @returns the connection that now holds the server alone, if we were the last */
  async #letGo(): Promise<Holder | undefined> {
    let { holder } = this.#server
    try {
      if (holder.lost) {
        // The server crashed under us, and may be back: then somebody has to be its last holder.
        const pidFile = await readPidFile(this.#located.home)
        if (pidFile === undefined || !isPostmasterAlive(pidFile.pid, this.#located.marks)) return undefined
        holder = await Holder.connect(pidFile.port, this.#server.password)
      }
      if (await holder.letGo()) return holder
    } catch {
      // It went away while we let it go.
    }
    await holder.disconnect()
    return undefined
  }
}

/** What the file system says about the folder, in words; any other error as it is. */
function explainSystemError(error: unknown, dataFolder: string): unknown {
  if (error instanceof EmbeddedDatabaseError || !(error instanceof Error)) return error
  const { code, message } = error as NodeJS.ErrnoException
  if (!["EACCES", "EPERM", "ENOSPC", "EROFS", "EDQUOT", "EIO", "ENOTDIR", "EEXIST"].includes(code ?? ""))
    return error
  return new EmbeddedDatabaseError(
    "disk",
    `The database in ${dataFolder} cannot be opened: ${message}. ${adviseOn("disk")}`,
    { cause: error },
  )
}
