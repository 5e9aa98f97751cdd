/** Many devices from a file: a bad line is named, the good ones go in. */
import { stat } from "node:fs/promises"
import type { Pool } from "pg"
import type { LogKeys } from "../ingest/log-keys.ts"
import { formatHex } from "../chain/bytes.ts"
import { encodeCoseKey } from "../chain/key.ts"
import { compareEnrolments } from "../ingest/enrolment.ts"
import { enrolDevices } from "../ingest/registry.ts"
import { withLog } from "./data-folder.ts"
import { type EnrolmentLine, readEnrolmentLines } from "./device-lines.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { Progress, count, formatBar, formatNumber, print, say } from "./output.ts"

/**
 * A transaction. A device costs 5 ms of arithmetic (its key is checked, its statement signed), so that 500 hold the
 * operator's chain for some seconds; 10,000 took 47 s of one core.
 */
const batchSize = 500

/**
 * Enrols the devices of a `.csv` or `.ndjson` file. A line that says what is so already is passed over and counted, so that
 * a file that was mended is given whole. Rejects with a CommandFault where any line was not taken.
 */
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
    const seen: Seen = { devices: new Map(), keys: new Map() }
    let enrolled = 0
    let known = 0
    let refused = 0
    let batch: EnrolmentLine[] = []
    const flush = async (readBytes: number): Promise<void> => {
      const results = await enrolLines(pool, keys, batch, seen)
      progress.done()
      for (const { line, rule } of [...results.shared, ...results.refused]) say(`line ${line}: ${rule}`)
      enrolled += results.enrolled
      known += results.known
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
    print(`enrolled  ${count(enrolled, "device")} on ${keys.origin}`)
    if (known > 0) print(`known     ${formatNumber(known)} were enrolled like that already`)
    if (refused > 0)
      throw new CommandFault(
        `${formatNumber(refused)} of ${formatNumber(enrolled + known + refused)} lines were not taken`,
        "mend them and give the whole file again: those that are enrolled stay as they are",
      )
    if (enrolled + known === 0) throw new CommandFault(`${path} has no devices`)
  })
}

/** What the lines so far gave: where each id stands, with which key; and whose each key is. */
interface Seen {
  readonly devices: Map<string, { readonly line: number; readonly key: string }>
  readonly keys: Map<string, string>
}

interface NamedLine {
  readonly line: number
  readonly rule: string
}

async function enrolLines(
  pool: Pool,
  keys: LogKeys,
  lines: readonly EnrolmentLine[],
  seen: Seen,
): Promise<{
  readonly enrolled: number
  readonly known: number
  readonly refused: readonly NamedLine[]
  /** Taken, and named: their key is another device's too. */
  readonly shared: readonly NamedLine[]
}> {
  const refused: NamedLine[] = lines.filter((line) => line.kind === "bad")
  const readable = lines.filter((line) => line.kind === "good")
  const compared = await compareEnrolments(
    pool,
    readable.map(({ enrolment }) => enrolment),
  )
  let known = 0
  const shared: NamedLine[] = []
  const good = readable.filter(({ line, enrolment: { device, key } }, index) => {
    const finding = compared[index]!
    const name = formatHex(encodeCoseKey(key))
    const before = seen.devices.get(device)
    if (finding.kind === "differs") refused.push({ line, rule: finding.rule })
    // The same line twice says nothing new.
    else if (finding.kind === "known" || before?.key === name) known += 1
    else if (before !== undefined)
      refused.push({ line, rule: `${device} stands in line ${before.line} already, with another key` })
    else {
      const others = new Set([...finding.others, seen.keys.get(name)].filter((other) => other !== undefined))
      if (others.size > 0)
        shared.push({
          line,
          rule: `${device}: its key is also that of device ${[...others].join(", ")}: each can sign for the other`,
        })
      seen.devices.set(device, { line, key: name })
      if (!seen.keys.has(name)) seen.keys.set(name, device)
      return true
    }
    return false
  })
  const results = await enrolDevices(
    pool,
    keys,
    good.map(({ enrolment }) => enrolment),
  )
  for (const [index, result] of results.entries()) {
    if (result.kind === "refused")
      refused.push({ line: good[index]!.line, rule: `${result.device}: ${result.rule}` })
  }
  const enrolled = results.filter(({ kind }) => kind === "enrolled").length
  return { enrolled, known, shared, refused: refused.toSorted((a, b) => a.line - b.line) }
}
