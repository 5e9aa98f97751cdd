/**
 * Files and folders that are there whole or not at all, also after a crash or a loss of power. Every write has a draft of
 * its own, so that two writers of one name never share one; a draft is on disk before it gets its name.
 */
import { randomBytes } from "node:crypto"
import { type FileHandle, chmod, link, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises"
import { basename, dirname, join } from "node:path"

export type Content = string | Uint8Array

export interface DurableOptions {
  /** Mode of the file: only its owner may read it by default. */
  readonly mode?: number
  /** Where the draft is, on the same file system; by default next to the file. */
  readonly draftFolder?: string
  /**
   * False: the caller calls `syncFolder` itself, for many files at once. Until then a loss of power may take the name, and
   * never leaves half a file.
   */
  readonly isNameSynced?: boolean
}

/** Replaces a file. A reader sees the old content or the new one. The folder must be there. */
export async function replaceFile(
  path: string,
  content: Content,
  options: DurableOptions = {},
): Promise<void> {
  await replaceFileBy(path, (file) => file.writeFile(content), options)
}

/** Replaces a file by what `write` puts into its draft; where that rejects, the file stays as it was. */
export async function replaceFileBy<T>(
  path: string,
  write: (file: FileHandle) => Promise<T>,
  options: DurableOptions = {},
): Promise<T> {
  return withDraft(path, write, options, async (draft) => {
    // A crash before this line leaves the old file and a draft; after it, the new file.
    await rename(draft, path)
    if (options.isNameSynced ?? true) await syncFolder(dirname(path))
  })
}

/** Makes a file that must not be there yet. False where the name is taken: of two makers at once one gets it. */
export async function createFile(
  path: string,
  content: Content,
  options: DurableOptions = {},
): Promise<boolean> {
  let isOurs = true
  await withDraft(
    path,
    (file) => file.writeFile(content),
    options,
    async (draft) => {
      try {
        // A link fails where the name is taken, which a rename does not.
        await link(draft, path)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error
        isOurs = false
      }
      await rm(draft, { force: true })
      if (options.isNameSynced ?? true) await syncFolder(dirname(path))
    },
  )
  return isOurs
}

/**
 * Makes a folder (0700) with these files (0600). False where a folder with something in it has the name: it stays as it is.
 */
export async function createFolder(path: string, files: Readonly<Record<string, Content>>): Promise<boolean> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const draft = draftOf(path)
  try {
    await mkdir(draft, { mode: 0o700 })
    await chmod(draft, 0o700)
    for (const [name, content] of Object.entries(files)) await writeSynced(join(draft, name), content, 0o600)
    await syncFolder(draft)
    return await renameFolder(draft, path)
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
}

/** Gives a folder another name, for good. False where a folder with something in it has the name. */
export async function renameFolder(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === "ENOTEMPTY" || code === "EEXIST") return false
    throw error
  }
  await syncFolder(dirname(to))
  return true
}

/** A name is on disk only when its folder is. Windows cannot open folders; there the file system decides. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return
  const folder = await open(path, "r")
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Drafts of a write that takes longer are still in use. */
const draftAgeMsMin = 60 * 60 * 1000
const draftPattern = /\.(?:[0-9a-f]{16}\.)?new$/

/**
 * Removes the drafts that killed writes left in a folder.
 *
 * @param of only drafts of this file, and all of them whatever their age: for a file that has one writer at a time
 */
export async function removeDrafts(folder: string, of?: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (!draftPattern.test(name)) continue
    const path = join(folder, name)
    if (of === undefined) {
      const found = await stat(path).catch(() => null)
      if (found === null || Date.now() - found.mtimeMs < draftAgeMsMin) continue
    } else if (name.replace(draftPattern, "") !== of) continue
    await rm(path, { recursive: true, force: true })
  }
}

async function withDraft<T>(
  path: string,
  write: (file: FileHandle) => Promise<T>,
  { mode = 0o600, draftFolder = dirname(path) }: DurableOptions,
  name: (draft: string) => Promise<void>,
): Promise<T> {
  const draft = draftOf(join(draftFolder, basename(path)))
  try {
    const result = await writeSyncedBy(draft, write, mode)
    await name(draft)
    return result
  } catch (error) {
    await rm(draft, { force: true }).catch(() => undefined)
    throw error
  }
}

function draftOf(path: string): string {
  return `${path}.${randomBytes(8).toString("hex")}.new`
}

async function writeSynced(path: string, content: Content, mode: number): Promise<void> {
  await writeSyncedBy(path, (file) => file.writeFile(content), mode)
}

async function writeSyncedBy<T>(
  path: string,
  write: (file: FileHandle) => Promise<T>,
  mode: number,
): Promise<T> {
  const file = await open(path, "wx", mode)
  try {
    const result = await write(file)
    await file.sync()
    return result
  } finally {
    await file.close()
  }
}
