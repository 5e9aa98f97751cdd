/**
 * A disk in memory in the place of `node:fs/promises`, for paths below `/deep`: what was not synced may be gone after a
 * loss of power, and a process that died writes nothing any more. All other paths go to the real functions.
 */
import fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import type { Random } from "../../../devices-sim/random.ts"
import type { Clock } from "./clock.ts"

interface Inode {
  text: string
  /** What a loss of power keeps at least; null where the file was never synced. */
  synced: string | null
}

/** A process's view of the disk: `/deep/<name>` is its root. */
export interface Mount {
  readonly name: string
  isAlive: boolean
}

export class Disk {
  private readonly clock: Clock
  private readonly random: Random
  private files = new Map<string, Inode>()
  /** Names as their folders were synced. */
  private syncedFiles = new Map<string, Inode>()
  private readonly mounts = new Map<string, Mount>()
  /** Told of each name that gets another content; `isLeft` where a loss of power left it. */
  onName: ((path: string, text: string, isLeft: boolean) => void) | null = null

  constructor(clock: Clock, random: Random) {
    this.clock = clock
    this.random = random
  }

  mount(name: string): Mount {
    const mount = { name, isAlive: true }
    this.mounts.set(name, mount)
    return mount
  }

  /** What a reader finds there; null where there is none. */
  read(path: string): string | null {
    return this.files.get(path)?.text ?? null
  }

  list(folder: string): string[] {
    return [...this.files.keys()].filter((name) => name.startsWith(`${folder}/`))
  }

  /** What is directly in a folder. */
  names(folder: string): string[] {
    return [...new Set(this.list(folder).map((path) => path.slice(folder.length + 1).split("/")[0]!))]
  }

  /** What was not synced is kept or not, each by chance. */
  losePower(): void {
    const { random } = this
    const names = new Set([...this.files.keys(), ...this.syncedFiles.keys()])
    const kept = new Map<string, Inode>()
    for (const name of names) {
      const isLive = random.float() < 0.5
      const inode = (isLive ? this.files : this.syncedFiles).get(name)
      if (inode !== undefined) kept.set(name, inode)
    }
    for (const inode of new Set(kept.values())) {
      if (inode.text === inode.synced) continue
      const half = inode.text.slice(0, random.int(0, inode.text.length))
      inode.text = random.float() < 0.5 ? half : (inode.synced ?? half)
      inode.synced = inode.text
    }
    this.files = new Map(kept)
    this.syncedFiles = new Map(kept)
    for (const [name, { text }] of kept) this.onName?.(name, text, true)
  }

  /** Does something to the disk of the process whose path this is; a process that is gone never hears of it. */
  async act<T>(path: string, work: (path: string) => T): Promise<T> {
    const [, , name = "", ...rest] = path.split("/")
    const mount = this.mounts.get(name)
    if (mount === undefined) throw new Error(`nothing is mounted at ${path}`)
    await this.clock.wait(this.random.float())
    if (!mount.isAlive) return new Promise<T>(() => {})
    return work(`/${rest.join("/")}`)
  }

  open(path: string, flags: string) {
    const isForWriting = flags.startsWith("w")
    if (flags === "wx" && this.files.has(path)) throw systemError("EEXIST", path)
    if (!isForWriting && !this.files.has(path)) {
      return { writeFile: refuse, sync: () => this.syncFolder(path), close: () => {} }
    }
    const inode = this.files.get(path) ?? { text: "", synced: null }
    inode.text = ""
    this.files.set(path, inode)
    return {
      writeFile: (text: string) => void (inode.text = text),
      sync: () => void (inode.synced = inode.text),
      close: () => {},
    }
  }

  rename(from: string, to: string): void {
    const isFolder = !this.files.has(from)
    if (isFolder && this.list(from).length === 0) throw systemError("ENOENT", from)
    if (isFolder && this.list(to).length > 0) throw systemError("ENOTEMPTY", to)
    for (const [name, inode] of this.files) {
      if (name !== from && !name.startsWith(`${from}/`)) continue
      this.files.delete(name)
      this.put(to + name.slice(from.length), inode)
    }
  }

  link(from: string, to: string): void {
    const inode = this.files.get(from)
    if (inode === undefined) throw systemError("ENOENT", from)
    if (this.files.has(to)) throw systemError("EEXIST", to)
    this.put(to, inode)
  }

  remove(path: string): void {
    for (const name of this.files.keys())
      if (name === path || name.startsWith(`${path}/`)) this.files.delete(name)
  }

  readText(path: string): string {
    const text = this.read(path)
    if (text === null) throw systemError("ENOENT", path)
    return text
  }

  private put(path: string, inode: Inode): void {
    this.files.set(path, inode)
    this.onName?.(path, inode.text, false)
  }

  private syncFolder(folder: string): void {
    const isInside = (name: string): boolean => name.startsWith(folder === "/" ? "/" : `${folder}/`)
    for (const name of this.syncedFiles.keys())
      if (isInside(name) && !this.files.has(name)) this.syncedFiles.delete(name)
    for (const [name, inode] of this.files) if (isInside(name)) this.syncedFiles.set(name, inode)
  }
}

function refuse(): never {
  throw new Error("this file was not opened for writing")
}

function systemError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code })
}

const real = { ...fs.promises }

/** While `work` runs, what begins with `/deep/` is on this disk. */
export async function withDisk<T>(disk: Disk, work: () => Promise<T>): Promise<T> {
  Object.assign(fs.promises, {
    open: async (path: unknown, flags: string, ...rest: never[]) => {
      if (!isOurs(path)) return real.open(path as string, flags, ...rest)
      const file = await disk.act(path, (inside) => disk.open(inside, flags))
      return {
        writeFile: (text: string) => disk.act(path, () => file.writeFile(text)),
        sync: () => disk.act(path, () => file.sync()),
        close: () => disk.act(path, () => file.close()),
      }
    },
    readFile: (path: unknown, ...rest: never[]) =>
      isOurs(path)
        ? disk.act(path, (inside) => disk.readText(inside))
        : real.readFile(path as string, ...rest),
    readdir: (path: unknown, ...rest: never[]) =>
      isOurs(path) ? disk.act(path, (inside) => disk.names(inside)) : real.readdir(path as string, ...rest),
    mkdir: (path: unknown, ...rest: never[]) =>
      isOurs(path) ? disk.act(path, () => undefined) : real.mkdir(path as string, ...rest),
    chmod: (path: unknown, mode: number) =>
      isOurs(path) ? disk.act(path, () => undefined) : real.chmod(path as string, mode),
    rename: (from: unknown, to: string) =>
      isOurs(from)
        ? disk.act(from, (inside) => disk.rename(inside, insideOf(to)))
        : real.rename(from as string, to),
    link: (from: unknown, to: string) =>
      isOurs(from)
        ? disk.act(from, (inside) => disk.link(inside, insideOf(to)))
        : real.link(from as string, to),
    rm: (path: unknown, ...rest: never[]) =>
      isOurs(path) ? disk.act(path, (inside) => disk.remove(inside)) : real.rm(path as string, ...rest),
  })
  syncBuiltinESMExports()
  try {
    return await work()
  } finally {
    Object.assign(fs.promises, real)
    syncBuiltinESMExports()
  }
}

function isOurs(path: unknown): path is string {
  return typeof path === "string" && path.startsWith("/deep/")
}

function insideOf(path: string): string {
  return `/${path.split("/").slice(3).join("/")}`
}
