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

class OpenDatabase implements EmbeddedDatabase {
  readonly #located: LocatedCluster
  readonly #server: HeldServer
  readonly #say: (line: string) => void
  #closing: Promise<void> | undefined

  constructor(located: LocatedCluster, server: HeldServer, say: (line: string) => void) {
    this.#located = located
    this.#server = server
    this.#say = say
  }

  get url(): string {
    const { password, port } = this.#server
    return `postgres://${roleName}:${encodeURIComponent(password)}@127.0.0.1:${port}/${roleName}`
  }

  get attached(): boolean {
    return this.#server.attached
  }

  get adopted(): boolean {
    return this.#server.adopted
  }

  get pid(): number {
    return this.#server.pid
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { home, marks } = this.#located
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
