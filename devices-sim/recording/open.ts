import { readdir, stat } from "node:fs/promises"
import { basename, join } from "node:path"
import { isDexcom, readDexcom } from "./dexcom.ts"
import { isEcg, readEcg } from "./ecg.ts"
import { isEmpatica, isEmpaticaName, readEmpatica } from "./empatica.ts"
import { garminFilesOf, isGarmin, readGarmin } from "./garmin.ts"
import { isLibreView, readLibreView } from "./libreview.ts"
import { ppgLayoutOf, readPpg } from "./ppg.ts"
import { RecordingError, recordingFormats, type Recording, type RecordingOptions } from "./recording.ts"
import { readHead } from "./row.ts"
import { isWfdbHeader } from "./wfdb-header.ts"
import { readWfdb } from "./wfdb.ts"

type Reader = (options: RecordingOptions) => Promise<Recording>

/**
 * Reads a recording: a file, or the folder that a vendor's export consists of. Its format is told by content.
 *
 * @throws RecordingError naming the file, the line and the rule, or the known formats where it is none of them
 */
export async function openRecording(path: string, options: RecordingOptions = {}): Promise<Recording> {
  const found = await stat(path).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null
    throw error
  })
  if (found === null) throw new RecordingError(path, null, "there is no such file or folder")
  const reader = found.isDirectory() ? await readerOfFolder(path) : await readerOfFile(path)
  if (reader === null) {
    const known = Object.values(recordingFormats).map((format) => `\n  ${format}`)
    throw new RecordingError(path, null, `is not a recording in a known format. Known are:${known.join("")}`)
  }
  return reader(options)
}

async function readerOfFile(file: string): Promise<Reader | null> {
  const head = await readHead(file)
  if (isEmpty(head)) {
    if (isEmpaticaName(file)) return () => readEmpatica([file])
    throw new RecordingError(file, null, "is empty")
  }
  // From the most to the least distinct: a column of numbers is the last resort.
  if (isDexcom(head)) return () => readDexcom(file)
  if (isLibreView(head)) return () => readLibreView(file)
  if (isGarmin(head)) return () => readGarmin([file])
  if (isEcg(head)) return (options) => readEcg(file, options)
  if (isWfdbHeader(head)) return (options) => readWfdb(file, options)
  if (/\.dat$/i.test(file)) return readerOfWfdbSignals(file)
  if (isEmpatica(file, head)) return () => readEmpatica([file])
  const layout = ppgLayoutOf(head)
  return layout === null ? null : (options) => readPpg(file, layout, options)
}

/** A .dat file says nothing about itself; the header beside it does. */
async function readerOfWfdbSignals(file: string): Promise<Reader> {
  const header = file.replace(/\.dat$/i, ".hea")
  const head = await readHead(header).catch(() => [])
  if (isWfdbHeader(head)) return (options) => readWfdb(header, options)
  throw new RecordingError(
    file,
    null,
    `can only be read with its WFDB header, ${basename(header)}, beside it`,
  )
}

async function readerOfFolder(folder: string): Promise<Reader | null> {
  const entries = await readdir(folder, { withFileTypes: true })
  // Sorted, since the order of a folder is the file system's whim and the order of signals is not.
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(folder, entry.name))
  files.sort()
  const members = files.filter(isEmpaticaName)
  const sure = await filesThat(members, (file, head) => isEmpatica(file, head))
  // An empty member is normal: the sensor was off, or nothing was tagged.
  const empty = await filesThat(members, (_, head) => isEmpty(head))
  if (sure.length > 0)
    return () => readEmpatica(members.filter((file) => sure.includes(file) || empty.includes(file)))
  const garmin = await filesThat(garminFilesOf(files), (_, head) => isGarmin(head))
  if (garmin.length > 0) return () => readGarmin(garmin)

  const readers: { readonly file: string; readonly reader: Reader }[] = []
  const candidates = files.filter((name) => /\.(csv|txt|hea)$/i.test(name))
  for (const file of await filesThat(candidates, (_, head) => !isEmpty(head))) {
    const reader = await readerOfFile(file)
    if (reader !== null) readers.push({ file, reader })
  }
  if (readers.length > 1) {
    const names = readers.map(({ file }) => basename(file)).join(", ")
    throw new RecordingError(folder, null, `holds ${readers.length} recordings, name one: ${names}`)
  }
  return readers[0]?.reader ?? null
}

function isEmpty(head: readonly string[]): boolean {
  return head.every((line) => line.trim() === "")
}

async function filesThat(
  files: readonly string[],
  test: (file: string, head: readonly string[]) => boolean,
): Promise<string[]> {
  const kept: string[] = []
  for (const file of files) if (test(file, await readHead(file))) kept.push(file)
  return kept
}
