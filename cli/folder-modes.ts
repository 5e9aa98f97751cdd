/** Who on this machine may change the data folder, or read its keys. */
import { lstat, readdir, stat } from "node:fs/promises"
import { join } from "node:path"

export interface FileMode {
  readonly name: string
  readonly mode: number
}

/** The data folder's own mode; null where there is none. Windows has no such modes. */
export async function readFolderMode(dataFolder: string): Promise<number | null> {
  if (process.platform === "win32") return null
  return stat(dataFolder).then(
    ({ mode }) => mode,
    () => null,
  )
}

/** Modes of the log's keys, and of their folder under its name; null where there is no such folder. */
export async function readKeyModes(dataFolder: string): Promise<readonly FileMode[] | null> {
  if (process.platform === "win32") return null
  const folder = join(dataFolder, "keys")
  try {
    const names = (await readdir(folder)).filter((name) => name.endsWith(".key"))
    return await Promise.all([
      readMode("keys", folder),
      ...names.map((name) => readMode(name, join(folder, name))),
    ])
  } catch {
    return null
  }
}

async function readMode(name: string, path: string): Promise<FileMode> {
  return { name, mode: (await lstat(path)).mode }
}

/** Whether others than its owner may put other keys and another checkpoint there. */
export function isFolderOpen(mode: number): boolean {
  return (mode & 0o022) !== 0
}

/** Those that others than their owner may read or write. */
export function findOpenKeys(keys: readonly FileMode[]): readonly FileMode[] {
  return keys.filter(({ mode }) => (mode & 0o077) !== 0)
}

export function formatMode(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(3, "0")
}

export const openFolderAdvice =
  "others on this machine may replace the log's keys and what was published: chmod go-w"
export const openKeysAdvice =
  "others on this machine may read them and speak for the log: chmod 600, and 700 for the folder"

/** What is open to others, in words; empty where nothing is. */
export async function listOpenModes(dataFolder: string): Promise<readonly string[]> {
  const mode = await readFolderMode(dataFolder)
  const keys = findOpenKeys((await readKeyModes(dataFolder)) ?? [])
  return [
    ...(mode !== null && isFolderOpen(mode)
      ? [`${dataFolder} has mode ${formatMode(mode)}: ${openFolderAdvice}`]
      : []),
    ...(keys.length > 0
      ? [`${keys.map(({ name, mode: open }) => `${name} ${formatMode(open)}`).join(", ")}: ${openKeysAdvice}`]
      : []),
  ]
}
