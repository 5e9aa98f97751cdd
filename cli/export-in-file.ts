/** A file or folder that was exported, where evidence was asked for. */
import { createReadStream } from "node:fs"
import { readdir, stat } from "node:fs/promises"
import { extname } from "node:path"
import { manifestName } from "../research/export-manifest.ts"
import { readingColumns } from "../research/csv.ts"
import { CommandFault } from "./fault.ts"

const hint =
  "an export is as good as the way it came to you; tidemark evidence DEVICE --blocks 0..34 -o k7.evidence writes the signed statements with their proofs, and tidemark verify k7.evidence checks them"

/** A fault that says what this is, and how to get what can be verified; nothing where it may be evidence or a proof. */
export async function refuseExport(path: string): Promise<void> {
  const found = await stat(path).catch(() => null)
  if (found === null) return
  if (found.isDirectory()) {
    const names = await readdir(path)
    throw new CommandFault(
      names.includes(manifestName)
        ? `${path} is an export, and an export is not evidence: it holds readings without the devices' signatures. Whether its files are as they were written, sha256sum -c SHA256SUMS says`
        : `${path} is a folder: evidence, a proof or a receipt is one file`,
      hint,
    )
  }
  // What is read of a pipe is gone for those who read it next.
  if (!found.isFile()) return
  const kind = kindOf(path, await readHead(path))
  if (kind !== null)
    throw new CommandFault(
      `${path} is ${kind}, and an export is not evidence: it holds readings without the devices' signatures`,
      hint,
    )
}

const headSize = 512

async function readHead(path: string): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of createReadStream(path, { end: headSize - 1 })) pieces.push(piece as Buffer)
  return Buffer.concat(pieces)
}

function kindOf(path: string, head: Buffer): string | null {
  const text = head.toString("utf8")
  if (text.startsWith("PAR1")) return "a Parquet file"
  if (text.startsWith("ARROW1") || (extname(path) === ".arrow" && head.readInt32LE(0) === -1))
    return "an Arrow file"
  if (text.startsWith(readingColumns.slice(0, 3).join(","))) return "a CSV file of readings"
  if (/^\{"time":"[^"]*","device":"/.test(text)) return "an NDJSON file of readings"
  if (/^\{\s*"kind":\s*"tidemark-export"/.test(text)) return "the manifest of an export"
  return null
}
