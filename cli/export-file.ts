/** A file that is there whole or not at all, with its hash. */
import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { stat } from "node:fs/promises"
import { join } from "node:path"
import { formatHex } from "../chain/bytes.ts"
import { removeDrafts, replaceFile, replaceFileBy } from "../disk/durable.ts"

export interface WrittenFile {
  readonly bytes: number
  /** In hex. */
  readonly sha256: string
}

/** Writes the chunks into a file that gets its name when they are on disk. */
export async function writeWhole(
  folder: string,
  name: string,
  chunks: AsyncIterable<string | Uint8Array>,
  { onBytes, signal }: { readonly onBytes: (bytes: number) => void; readonly signal: AbortSignal },
): Promise<WrittenFile> {
  const hash = createHash("sha256")
  let bytes = 0
  // Left by a run that was killed: one at a time writes this folder.
  await removeDrafts(folder, name)
  await replaceFileBy(
    join(folder, name),
    async (file) => {
      for await (const chunk of chunks) {
        const written = typeof chunk === "string" ? Buffer.from(chunk) : chunk
        await file.writeFile(written)
        hash.update(written)
        bytes += written.length
        onBytes(bytes)
        signal.throwIfAborted()
      }
    },
    { mode: 0o666 },
  )
  return { bytes, sha256: formatHex(hash.digest()) }
}

/** A small text that replaces the one before in one step. */
export async function replaceText(folder: string, name: string, text: string): Promise<void> {
  await replaceFile(join(folder, name), text, { mode: 0o666 })
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
