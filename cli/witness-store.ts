/**
 * A witness's records as files: `logs/<origin hash>/<version>`, a note each, the highest of which is the last. A version is
 * made by a link, which fails where the name is taken: so two processes on one folder cannot both go on from the same
 * checkpoint, which would be the rollback that C2SP tlog-witness warns of.
 */
import { access, mkdir, readFile, readdir, rm } from "node:fs/promises"
import { join } from "node:path"
import { formatHex } from "../chain/bytes.ts"
import { originHash } from "../chain/tlog-witness.ts"
import { createFile, replaceFile, syncFolder } from "../disk/durable.ts"
import type { WitnessRecord, WitnessStore } from "../verify/witness.ts"

/** Records that stay, the last one among them: six weeks of hourly blocks. A folder of so many is listed in half a millisecond. */
const versionsMax = 1_000
/** Of a log: the first ones, each of which is enough. */
const splitsMax = 16
const splitName = /^\d+-\d+$/

export class WitnessFolder implements WitnessStore {
  private readonly dataFolder: string

  constructor(dataFolder: string) {
    this.dataFolder = dataFolder
  }

  async read(origin: string): Promise<WitnessRecord | null> {
    const folder = this.folderOf(origin)
    const versions = (await list(folder)).map(Number).filter((version) => Number.isSafeInteger(version))
    const version = Math.max(0, ...versions)
    return version === 0
      ? null
      : { version, note: await readFile(join(folder, formatVersion(version)), "utf8") }
  }

  async grow(origin: string, { version, note }: WitnessRecord): Promise<boolean> {
    const folder = await this.makeFolder(origin)
    const path = join(folder, formatVersion(version))
    if (!(await createFile(path, note))) return false
    // This process may have slept while others went on so far that they made and pruned this version: then the one before
    // is gone too.
    if (version > 1 && !(await isThere(join(folder, formatVersion(version - 1))))) {
      await rm(path, { force: true })
      return false
    }
    if (version > versionsMax) await rm(join(folder, formatVersion(version - versionsMax)), { force: true })
    return true
  }

  async renew(origin: string, { version, note }: WitnessRecord): Promise<boolean> {
    const folder = await this.makeFolder(origin)
    await replaceFile(join(folder, formatVersion(version)), note)
    return !(await isThere(join(folder, formatVersion(version + 1))))
  }

  async keepSplit(origin: string, name: string, view: string): Promise<void> {
    const folder = join(await this.makeFolder(origin), "splits")
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const names = await list(folder)
    if (names.includes(name) || names.length >= splitsMax) return
    await replaceFile(join(folder, name), view)
  }

  /** Names of the split views of a log. */
  async listSplits(origin: string): Promise<string[]> {
    const names = await list(join(this.folderOf(origin), "splits"))
    return names.filter((name) => splitName.test(name)).toSorted()
  }

  /** Null where there is none of this name. */
  async readSplit(origin: string, name: string): Promise<string | null> {
    if (!(await this.listSplits(origin)).includes(name)) return null
    return readFile(join(this.folderOf(origin), "splits", name), "utf8")
  }

  private folderOf(origin: string): string {
    return join(this.dataFolder, "logs", formatHex(originHash(origin)))
  }

  private async makeFolder(origin: string): Promise<string> {
    const folder = this.folderOf(origin)
    if ((await mkdir(folder, { recursive: true, mode: 0o700 })) === undefined) return folder
    // So that a person finds the log in the folder.
    await replaceFile(join(folder, "origin"), `${origin}\n`)
    for (const one of [join(this.dataFolder, "logs"), this.dataFolder]) await syncFolder(one)
    return folder
  }
}

/** Twelve digits, so that names are in order. */
function formatVersion(version: number): string {
  return String(version).padStart(12, "0")
}

async function list(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return []
    throw error
  }
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
