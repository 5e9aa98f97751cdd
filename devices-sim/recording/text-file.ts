/** Text files as other programs save them: UTF-8 or UTF-16, with or without a byte order mark. */
import { createReadStream } from "node:fs"
import { open } from "node:fs/promises"
import { RecordingError } from "./recording.ts"

type Encoding = "utf-8" | "utf-16le" | "utf-16be"

const headSize = 8192

/** The first lines of a file, without a byte order mark: enough to tell its format. Bytes that are no text are kept as U+FFFD. */
export async function readHead(file: string, linesMax = 8): Promise<string[]> {
  const bytes = await readStart(file)
  const text = new TextDecoder(encodingOf(bytes)).decode(bytes)
  return text.split(/\r?\n/).slice(0, linesMax)
}

/**
 * The text of a file, piece by piece.
 *
 * @throws RecordingError if it is neither UTF-8 nor UTF-16: a letter of another encoding would be read as a wrong one
 */
export async function* readText(file: string): AsyncGenerator<string> {
  const decoder = new TextDecoder(encodingOf(await readStart(file)), { fatal: true })
  try {
    for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>)
      yield decoder.decode(chunk, { stream: true })
    yield decoder.decode()
  } catch (error) {
    if (error instanceof TypeError)
      throw new RecordingError(file, null, "is neither UTF-8 nor UTF-16 text: save it as UTF-8")
    throw error
  }
}

/** Whether the last line of a file has its line end: one without may have been cut in the middle of a number. */
export async function endsItsLastLine(file: string): Promise<boolean> {
  const handle = await open(file)
  try {
    const { size } = await handle.stat()
    const { buffer, bytesRead } = await handle.read(new Uint8Array(2), 0, 2, Math.max(0, size - 2))
    // Of the two bytes of LF in UTF-16 either may be the last one, and no other letter has a byte 10 next to a byte 0.
    const [one, other] = buffer.subarray(0, bytesRead)
    return bytesRead < 2 || other === 10 || (one === 10 && other === 0)
  } finally {
    await handle.close()
  }
}

/** Files that people take for text and that are not, by their first bytes. */
const known: readonly (readonly [bytes: readonly number[], rule: string])[] = [
  [[0x50, 0x4b, 3, 4], "is a ZIP archive or an Excel workbook: unpack it, or save the sheet as CSV"],
  [[0xd0, 0xcf, 0x11, 0xe0], "is an Excel workbook: save the sheet as CSV"],
  [[0x1f, 0x8b], "is compressed with gzip: unpack it"],
]

/** Why a file cannot be text, or null. */
export async function findForeignKind(file: string): Promise<string | null> {
  const start = await readStart(file)
  return known.find(([bytes]) => bytes.every((byte, at) => start[at] === byte))?.[1] ?? null
}

async function readStart(file: string): Promise<Uint8Array> {
  const handle = await open(file)
  try {
    const { bytesRead, buffer } = await handle.read(new Uint8Array(headSize), 0, headSize, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

/** By the byte order mark, or by where the zero bytes of the first letters stand. */
function encodingOf(bytes: Uint8Array): Encoding {
  const [first, second, third, fourth] = bytes
  if (first === 0xff && second === 0xfe) return "utf-16le"
  if (first === 0xfe && second === 0xff) return "utf-16be"
  if (first !== 0 && second === 0 && third !== 0 && fourth === 0) return "utf-16le"
  if (first === 0 && second !== 0 && third === 0 && fourth !== 0) return "utf-16be"
  return "utf-8"
}
