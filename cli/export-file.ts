/** A file that is there whole or not at all, with its hash. */
import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { open, rename, rm, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { formatHex } from "../chain/bytes.ts"

export interface WrittenFile {
  readonly bytes: number
  /** In hex. */
  readonly sha256: string
}

/** Writes the chunks beside the name, flushes them to the disk, and only then gives the file its name. */
export async function writeWhole(
  folder: string,
  name: string,
  chunks: AsyncIterable<string | Uint8Array>,
  { onBytes, signal }: { readonly onBytes: (bytes: number) => void; readonly signal: AbortSignal },
): Promise<WrittenFile> {
  const partial = join(folder, `${name}.partial`)
  const hash = createHash("sha256")
  let bytes = 0
  const file = await open(partial, "w")
  try {
    for await (const chunk of chunks) {
      const written = typeof chunk === "string" ? Buffer.from(chunk) : chunk
      await file.writeFile(written)
      hash.update(written)
      bytes += written.length
      onBytes(bytes)
      signal.throwIfAborted()
    }
    await file.sync()
  } catch (error) {
    await file.close()
    await rm(partial, { force: true })
    throw error
  }
  await file.close()
  // A crash before this leaves a .partial, which the next run writes anew; after it, a whole file.
  await rename(partial, join(folder, name))
  return { bytes, sha256: formatHex(hash.digest()) }
}

/** A small text that replaces the one before in one step. */
export async function replaceText(folder: string, name: string, text: string): Promise<void> {
  const partial = join(folder, `${name}.partial`)
  await writeFile(partial, text, { flush: true })
  await rename(partial, join(folder, name))
}

/** Whether the file is there with this size and hash: half a file has neither. */
export async function isWhole(folder: string, name: string, expected: WrittenFile): Promise<boolean> {
  const path = join(folder, name)
  const found = await stat(path).catch(() => null)
  if (found === null || found.size !== expected.bytes) return false
  const hash = createHash("sha256")
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array)
  return formatHex(hash.digest()) === expected.sha256
}
