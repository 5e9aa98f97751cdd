import { readdir, stat } from "node:fs/promises"
import { basename, extname, join } from "node:path"
import { columnsLayoutOf, readColumns } from "./columns.ts"
import { isDexcom, readDexcom } from "./dexcom.ts"
import { isEcg, readEcg } from "./ecg.ts"
import { isEmpatica, isEmpaticaName, readEmpatica } from "./empatica.ts"
import { garminFilesOf, isGarmin, readGarmin } from "./garmin.ts"
import { isLibreView, readLibreView } from "./libreview.ts"
import { RecordingError, recordingFormats, type Recording, type RecordingOptions } from "./recording.ts"
import { findForeignKind, readHead } from "./text-file.ts"
import { isWfdbHeader } from "./wfdb-header.ts"
import { readWfdb } from "./wfdb.ts"

type Reader = (options: RecordingOptions) => Promise<Recording>

/**
 * Reads a recording: a file, or the folder that a vendor's export consists of. Its format is told by content.
 *
 * @throws RecordingError naming the file, the line and the rule, or the known formats where it is none of them
 */
export async function openRecording(path: string, options: RecordingOptions = {}): Promise<Recording> {
  if (!(await isFolder(path))) return readFileAt(path, options)
  const whole = await readerOfWhole(path)
  if (whole !== null) return whole(options)
  const candidates = (await filesOf(path)).filter((name) => /\.(csv|txt|hea)$/i.test(name))
  const readers: { readonly file: string; readonly reader: Reader }[] = []
  for (const file of await filesThat(candidates, (_, head) => !isEmpty(head))) {
    const reader = await readerOfFile(file)
    if (reader !== null) readers.push({ file, reader })
  }
  if (readers.length > 1) {
    const names = readers.map(({ file }) => basename(file)).join(", ")
    throw new RecordingError(path, null, `holds ${readers.length} recordings, name one: ${names}`)
  }
  const [only] = readers
  if (only === undefined) throw unknownFormat(path)
  return only.reader(options)
}

export interface OpenedRecordings {
  readonly recordings: readonly { readonly path: string; readonly recording: Recording }[]
  /** Faults of all paths: where there is one, nothing of the others should be replayed either. */
  readonly faults: readonly { readonly path: string; readonly error: RecordingError }[]
  /** Files in folders that are not looked at, and why. Never a reading. */
  readonly remarks: readonly string[]
}

/**
 * Reads the recordings at `paths`, and all faults of all of them. A folder is one recording if it is the export of one
 * device, and otherwise as many as its files and folders hold; what has not the name of a recording is counted.
 */
export async function openRecordings(
  paths: readonly string[],
  options: RecordingOptions = {},
): Promise<OpenedRecordings> {
  const opened: Opening = { recordings: [], faults: [], remarks: [] }
  for (const path of paths) await openInto(opened, path, options)
  return opened
}

interface Opening {
  readonly recordings: { path: string; recording: Recording }[]
  readonly faults: { path: string; error: RecordingError }[]
  readonly remarks: string[]
}

async function openInto(opened: Opening, path: string, options: RecordingOptions): Promise<void> {
  try {
    const whole = (await isFolder(path)) ? await readerOfWhole(path) : readFileAt.bind(null, path)
    if (whole !== null) opened.recordings.push({ path, recording: await whole(options) })
    else await openMembers(opened, path, options)
  } catch (error) {
    if (!(error instanceof RecordingError)) throw error
    opened.faults.push({ path, error })
  }
}

async function openMembers(opened: Opening, folder: string, options: RecordingOptions): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true })
  entries.sort((one, other) => one.name.localeCompare(other.name))
  const names = new Set(entries.map(({ name }) => name))
  let [found, left] = [0, 0]
  for (const entry of entries) {
    const path = join(folder, entry.name)
    const header = `${basename(entry.name, extname(entry.name))}.hea`
    if (entry.name.startsWith(".")) left++
    else if (entry.isDirectory()) {
      await openInto(opened, path, options)
      found++
    } else if (/\.(csv|hea)$/i.test(entry.name) || (/\.(dat|mat)$/i.test(entry.name) && !names.has(header))) {
      await openInto(opened, path, options)
      found++
      // Signal files are read with their header.
    } else if (!/\.(dat|mat)$/i.test(entry.name)) left++
  }
  if (found === 0)
    throw new RecordingError(folder, null, "holds no file that can be a recording: .csv or .hea")
  if (left > 0) opened.remarks.push(`${folder}: ${left} files are left out: they are no .csv and no .hea`)
}

async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null
    throw error
  })
  if (found === null) throw new RecordingError(path, null, "there is no such file or folder")
  return found.isDirectory()
}

async function readFileAt(file: string, options: RecordingOptions): Promise<Recording> {
  const reader = await readerOfFile(file)
  if (reader === null) throw unknownFormat(file)
  return reader(options)
}

function unknownFormat(path: string): RecordingError {
  const known = Object.values(recordingFormats).map((format) => `\n  ${format}`)
  return new RecordingError(path, null, `is not a recording in a known format. Known are:${known.join("")}`)
}

async function readerOfFile(file: string): Promise<Reader | null> {
  const head = await readHead(file)
  if (isEmpty(head)) {
    if (isEmpaticaName(file)) return () => readEmpatica([file])
    throw new RecordingError(file, null, "is empty")
  }
  if (/\.(dat|mat)$/i.test(file)) return readerOfWfdbSignals(file)
  const foreign = await findForeignKind(file)
  if (foreign !== null) throw new RecordingError(file, null, foreign)
  // From the most to the least distinct: a column of numbers is the last resort.
  if (isDexcom(head)) return (options) => readDexcom(file, options)
  if (isLibreView(head)) return (options) => readLibreView(file, options)
  if (isGarmin(head)) return () => readGarmin([file])
  if (isEcg(head)) return (options) => readEcg(file, options)
  // A header of another kind than ours is named by what is not read in it.
  if (isWfdbHeader(head) || /\.hea$/i.test(file)) return (options) => readWfdb(file, options)
  if (isEmpatica(file, head)) return () => readEmpatica([file])
  const layout = columnsLayoutOf(head)
  return layout === null ? null : (options) => readColumns(file, layout, options)
}

/** A .dat or .mat file does not say what it holds; the header next to it does. */
async function readerOfWfdbSignals(file: string): Promise<Reader> {
  const header = file.replace(/\.(dat|mat)$/i, ".hea")
  const head = await readHead(header).catch(() => [])
  if (isWfdbHeader(head)) return (options) => readWfdb(header, options)
  throw new RecordingError(
    file,
    null,
    `can only be read with its WFDB header, ${basename(header)}, beside it`,
  )
}

async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true })
  // Sorted, since the order of a folder is the file system's whim and the order of signals is not.
  return entries.flatMap((entry) => (entry.isFile() ? [join(folder, entry.name)] : [])).toSorted()
}

/** The reader of a folder that is the export of one device, or null. */
async function readerOfWhole(folder: string): Promise<Reader | null> {
  const files = await filesOf(folder)
  const members = files.filter(isEmpaticaName)
  const sure = await filesThat(members, (file, head) => isEmpatica(file, head))
  // An empty member is normal: the sensor was off, or nothing was tagged.
  const empty = await filesThat(members, (_, head) => isEmpty(head))
  if (sure.length > 0) {
    const read = members.filter((file) => sure.includes(file) || empty.includes(file))
    return async () => withRest(await readEmpatica(read), files)
  }
  const garmin = await filesThat(garminFilesOf(files), (_, head) => isGarmin(head))
  return garmin.length > 0 ? async () => withRest(await readGarmin(garmin), files) : null
}

/** A remark on the files of a vendor's folder that are not read. */
function withRest(recording: Recording, files: readonly string[]): Recording {
  const left = files.filter((file) => !recording.files.includes(file)).length
  if (left === 0) return recording
  return { ...recording, remarks: [...recording.remarks, `${left} other files of the folder are not read`] }
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
