import type { Command } from "commander"
import { sha256Native } from "../ingest/native.ts"
import { begin, locks } from "../ingest/database/pool.ts"
import { checkPublished } from "../ingest/publication.ts"
import { type LogExportResult, exportLog } from "../research/log-export.ts"
import { PublishedLog } from "../research/log-published.ts"
import { type OpenedLog, openExistingLogWith } from "./data-folder.ts"
import { CommandFault } from "./fault.ts"
import { addCommand, dataOption, jsonOption } from "./option.ts"
import { Progress, count, formatNumber, print } from "./output.ts"

interface ExportOptions {
  readonly data: string
  readonly json: boolean
}

/** `tidemark log export <folder>` */
export function addLogExport(log: Command): void {
  addCommand(
    log,
    "export",
    "write the published log as files, C2SP tlog-tiles, for an object store or any web server; again and again, only what is new is written",
  )
    .argument("<folder>", "made where it is not there; holds what is served under one URL")
    .addOption(dataOption())
    .addOption(jsonOption())
    .action(runLogExport)
}

async function runLogExport(folder: string, { data, json }: ExportOptions): Promise<void> {
  const opened = await openExistingLogWith(data, { command: "log export", needed: [], connections: 4 })
  try {
    await checkPublished(opened.pool, data, opened.keys)
    const result = await exportAlone(opened, folder).catch((error: unknown) => {
      throw explainFiles(error, folder)
    })
    if (result.kind === "refused") {
      throw new CommandFault(
        `nothing more was exported: ${result.path} in ${folder} ${result.rule}`,
        "name an empty folder, or find out who changed this one",
      )
    }
    print(json ? JSON.stringify(describe(result, folder)) : format(result, folder))
  } finally {
    await opened.close()
  }
}

/** A disk that is full, a folder that may not be written: the folder is an older, whole log then. */
function explainFiles(error: unknown, folder: string): unknown {
  const { code, path, syscall } = error as NodeJS.ErrnoException
  const isOfFile = path !== undefined || syscall === "write" || syscall === "fsync"
  if (code === undefined || !isOfFile) return error
  const why = code === "EEXIST" || code === "ENOTDIR" ? "a file is in its way" : code
  return new CommandFault(
    `the log cannot be exported to ${folder}: ${why}`,
    "what was written is kept: once this is mended, the same command goes on",
    { cause: error },
  )
}

/** Behind a lock of a transaction, which stays open for so long: a pooler would give a session's lock to somebody else. */
async function exportAlone({ pool }: OpenedLog<unknown>, folder: string): Promise<LogExportResult> {
  const holder = await pool.connect()
  const progress = new Progress()
  try {
    await begin(holder)
    const { rows } = await holder.query<{ isOurs: boolean }>(
      `select pg_try_advisory_xact_lock($1) as "isOurs"`,
      [locks.logExport],
    )
    if (rows[0]?.isOurs !== true)
      throw new CommandFault("another export of this log is under way", "wait for it to end")
    const log = new PublishedLog(
      async (sql, values) => (await pool.query(sql, [...values])).rows,
      sha256Native,
    )
    return await exportLog(log, folder, {
      onFile: ({ files, filesOfAll }) =>
        progress.update(`exporting: ${formatNumber(files)} of ${formatNumber(filesOfAll)} files`),
    })
  } finally {
    progress.done()
    holder.release(true)
  }
}

function describe(result: Exclude<LogExportResult, { kind: "refused" }>, folder: string) {
  if (result.kind === "nothing") return { exported: false, folder, reason: "no-block" }
  const { sizeBefore, size, filesWritten, bytesWritten } = result
  return { exported: true, folder, sizeBefore, size, filesWritten, bytesWritten }
}

function format(result: Exclude<LogExportResult, { kind: "refused" }>, folder: string): string {
  if (result.kind === "nothing") return "nothing to export: no block is sealed and published yet"
  const { sizeBefore, size, filesWritten, bytesWritten } = result
  if (filesWritten === 0) return `nothing new: ${folder} holds the log of ${count(size, "leaf", "leaves")}`
  const grown = sizeBefore === size ? "" : `, ${formatNumber(sizeBefore)} before`
  return `${folder} holds the log of ${count(size, "leaf", "leaves")}${grown}: wrote ${count(filesWritten, "file")}, ${formatNumber(bytesWritten)} bytes`
}
