/** Many devices from a file: a bad line is named, the good ones go in. */
import { stat } from "node:fs/promises"
import type { Pool } from "pg"
import type { LogKeys } from "../ingest/log-keys.ts"
import { enrolDevices } from "../ingest/registry.ts"
import { withLog } from "./data-folder.ts"
import { type EnrolmentLine, readEnrolmentLines } from "./device-lines.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { Progress, formatBar, formatNumber, print, say } from "./output.ts"

/**
 * A transaction. A device costs 5 ms of arithmetic (its key is checked, its statement signed), so that 500 hold the
 * operator's chain for some seconds; 10,000 took 47 s of one core.
 */
const batchSize = 500

/** Enrols the devices of a `.csv` or `.ndjson` file. Rejects with a CommandFault where any line was not taken. */
export async function enrolFrom(path: string, dataFolder: string): Promise<void> {
  const format = /\.(csv|ndjson)$/i.exec(path)?.[1]?.toLowerCase()
  if (format === undefined)
    throw new UsageFault(`--from ${path}: the file's name must end in .csv or .ndjson`)
  const { size } = await stat(path).catch((error: unknown) => {
    const why =
      (error as NodeJS.ErrnoException).code === "ENOENT" ? "there is no such file" : (error as Error).message
    throw new CommandFault(`the file ${path} cannot be read: ${why}`, null, { cause: error })
  })
  await withLog(dataFolder, async ({ pool, keys }) => {
    const progress = new Progress()
    let enrolled = 0
    let refused = 0
    let batch: EnrolmentLine[] = []
    const flush = async (readBytes: number): Promise<void> => {
      const results = await enrolLines(pool, keys, batch)
      progress.done()
      for (const { line, rule } of results.refused) say(`line ${line}: ${rule}`)
      enrolled += results.enrolled
      refused += results.refused.length
      batch = []
      progress.update(`${formatBar(readBytes, size)}  ${formatNumber(enrolled)} enrolled`)
    }
    for await (const { line, readBytes } of readEnrolmentLines(path, format as "csv" | "ndjson")) {
      batch.push(line)
      if (batch.length === batchSize) await flush(readBytes)
    }
    await flush(size)
    progress.done()
    print(`enrolled  ${formatNumber(enrolled)} devices on ${keys.origin}`)
    if (refused > 0)
      throw new CommandFault(
        `${formatNumber(refused)} of ${formatNumber(enrolled + refused)} lines were not taken`,
        "mend them and give the file again: those that are enrolled are refused and stay as they are",
      )
    if (enrolled === 0) throw new CommandFault(`${path} has no devices`)
  })
}

interface BadLine {
  readonly line: number
  readonly rule: string
}

async function enrolLines(
  pool: Pool,
  keys: LogKeys,
  lines: readonly EnrolmentLine[],
): Promise<{ readonly enrolled: number; readonly refused: readonly BadLine[] }> {
  const good = lines.filter((line) => line.kind === "good")
  const results = await enrolDevices(
    pool,
    keys,
    good.map(({ enrolment }) => enrolment),
  )
  const refused: BadLine[] = lines.filter((line) => line.kind === "bad")
  for (const [index, result] of results.entries()) {
    if (result.kind === "refused")
      refused.push({ line: good[index]!.line, rule: `${result.device}: ${result.rule}` })
  }
  const enrolled = results.filter(({ kind }) => kind === "enrolled").length
  return { enrolled, refused: refused.toSorted((a, b) => a.line - b.line) }
}
