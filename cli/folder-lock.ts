/**
 * One process at a time does something in a folder. This is Lamport's bakery with a file for each who wants the lock: no
 * name is used twice, so the file of a process that died can be removed by anybody, and never takes a lock from a living
 * one. It holds between processes that see each other: not between containers or machines that share the folder.
 */
import { randomBytes } from "node:crypto"
import { mkdir, readdir, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { isNamedProcessAlive, isPidTaken, nameProcess } from "../ingest/database/embedded/processes.ts"
import { CommandFault } from "./fault.ts"

export type Release = () => Promise<void>

const lookAgainMs = 20

/** Takes the folder, or gives the process that has it. The folder is made where it is not there. */
export async function tryFolder(folder: string, name: string): Promise<Release | number> {
  const wish = await Wish.begin(folder, name)
  const ahead = await wish.waitForTurn((pid) => pid)
  if (ahead === null) return () => wish.end()
  await wish.end()
  return ahead
}

/**
 * Takes the folder for as long as this process works on it, and gives the function that lets it go.
 *
 * @throws CommandFault where a process that lives has it
 */
export async function lockFolder(folder: string): Promise<Release> {
  const taken = await tryFolder(folder, "folder")
  if (typeof taken === "function") return taken
  throw new CommandFault(
    `process ${taken} works on ${folder} already`,
    "wait for its end, stop it, or name another folder",
  )
}

/** The same, but waits while another process has it; `onWait` is told once which one. */
export async function waitForFolder(
  folder: string,
  name: string,
  onWait: (pid: number) => void,
): Promise<Release> {
  const wish = await Wish.begin(folder, name)
  let isTold = false
  await wish.waitForTurn((pid) => {
    if (!isTold) onWait(pid)
    isTold = true
    return null
  })
  return () => wish.end()
}

/** The process that has the folder, or is about to; null where there is none. */
export async function findLockHolder(folder: string, name: string): Promise<number | null> {
  return (await listWishes(folder, name))[0]?.pid ?? null
}

/** What a file name says of a process that wants the lock: `folder.lock-<pid>-<start>-<chance>-<ticket>`. */
interface Wished {
  readonly file: string
  readonly pid: number
  readonly id: string
  /** Null while it chooses. */
  readonly ticket: number | null
}

class Wish {
  private readonly folder: string
  private readonly name: string
  private readonly id: string
  private readonly ticket: number

  private constructor(folder: string, name: string, id: string, ticket: number) {
    this.folder = folder
    this.name = name
    this.id = id
    this.ticket = ticket
  }

  static async begin(folder: string, name: string): Promise<Wish> {
    await mkdir(folder, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
      const why = error.code === "EEXIST" || error.code === "ENOTDIR" ? "a file is in its way" : error.code
      throw new CommandFault(`the folder ${folder} cannot be made: ${why}`, "name another")
    })
    const id = `${nameProcess(process.pid) ?? `${process.pid}-0`}-${randomBytes(6).toString("hex")}`
    const choosing = fileOf(name, id, null)
    try {
      await writeFile(join(folder, choosing), "", { flag: "wx", mode: 0o600 })
    } catch (error) {
      throw new CommandFault(`the folder ${folder} cannot be locked: ${(error as Error).message}`, null, {
        cause: error,
      })
    }
    try {
      // Two that choose at once may take the same number; then their names decide.
      const tickets = (await listWishes(folder, name)).map(({ ticket }) => ticket ?? 0)
      const ticket = 1 + Math.max(0, ...tickets)
      await writeFile(join(folder, fileOf(name, id, ticket)), "", { flag: "wx", mode: 0o600 })
      return new Wish(folder, name, id, ticket)
    } finally {
      await rm(join(folder, choosing), { force: true })
    }
  }

  /** Waits until nobody is ahead, or `onAhead` gives an answer for the process that is. */
  async waitForTurn<Answer>(onAhead: (pid: number) => Answer | null): Promise<Answer | null> {
    for (;;) {
      const others = (await listWishes(this.folder, this.name)).filter(({ id }) => id !== this.id)
      const ahead = others.find(({ ticket, id }) => ticket !== null && this.isBehind(ticket, id))
      if (ahead !== undefined) {
        const answer = onAhead(ahead.pid)
        if (answer !== null) return answer
      } else if (others.every(({ ticket }) => ticket !== null)) return null
      await wait(lookAgainMs)
    }
  }

  async end(): Promise<void> {
    await rm(join(this.folder, fileOf(this.name, this.id, this.ticket)), { force: true })
  }

  private isBehind(ticket: number, id: string): boolean {
    return ticket < this.ticket || (ticket === this.ticket && id < this.id)
  }
}

function fileOf(name: string, id: string, ticket: number | null): string {
  return `${name}.lock-${id}-${ticket ?? "choosing"}`
}

/** Those of living processes, in the order of their turns; files that dead ones left are removed. */
async function listWishes(folder: string, name: string): Promise<Wished[]> {
  const pattern = new RegExp(`^${name}\\.lock-((\\d+)-(\\d+)-[0-9a-f]{12})-(choosing|\\d{1,9})$`)
  const wishes: Wished[] = []
  for (const file of await readdir(folder).catch(() => [])) {
    const [, id, pid, start, ticket] = pattern.exec(file) ?? []
    if (id === undefined) continue
    const isAlive = start === "0" ? isPidTaken(Number(pid)) : isNamedProcessAlive(`${pid}-${start}`)
    if (!isAlive) await rm(join(folder, file), { force: true })
    else wishes.push({ file, pid: Number(pid), id, ticket: ticket === "choosing" ? null : Number(ticket) })
  }
  return wishes.toSorted((a, b) => (a.ticket ?? Infinity) - (b.ticket ?? Infinity) || (a.id < b.id ? -1 : 1))
}
