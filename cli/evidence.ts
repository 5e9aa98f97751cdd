import { createHash } from "node:crypto"
import type { FileHandle } from "node:fs/promises"
import { type Command, InvalidArgumentError } from "commander"
import type { Pool, PoolClient } from "pg"
import { blindOf } from "../chain/heads.ts"
import { policyOfLog } from "../chain/tlog-policy.ts"
import { beginReading } from "../ingest/database/pool.ts"
import { replaceFileBy } from "../disk/durable.ts"
import { type CheckpointSigner, type ResearchKeys, researchSecrets } from "../ingest/log-keys.ts"
import { hmacNative, sha256Native, verifyNative } from "../ingest/native.ts"
import { planEvidence } from "../research/evidence.ts"
import { openEvidenceRows } from "../research/evidence-rows.ts"
import { type EvidenceFindings, EvidenceVerifier } from "../verify/evidence.ts"
import { openExistingLogWith } from "./data-folder.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { gzip } from "./gzip.ts"
import {
  type BlockRange,
  addCommand,
  dataOption,
  jsonOption,
  parseBlocks,
  parseDevice,
  parseTime,
} from "./option.ts"
import { Progress, count, formatNumber, print } from "./output.ts"

/** Heights of the first and the last block. */
interface EvidenceCommandOptions {
  readonly data: string
  readonly json: boolean
  readonly blocks?: BlockRange
  readonly from?: number
  readonly to?: number
  readonly day?: number
  readonly out?: string
}

export function addEvidence(program: Command): void {
  addCommand(
    program,
    "evidence",
    "write what a device said in some blocks, with the proof that it is genuine and that nothing is missing",
  )
    .argument("<device>", "the device's id", parseDevice)
    .option(
      "--blocks <range>",
      "heights, such as 10..34, or one; all sealed blocks if nothing is said",
      parseBlocks,
    )
    .option(
      "--from <time>",
      "the blocks in which something arrived from then on, such as 2026-11-24T12:00Z",
      parseTime,
    )
    .option("--to <time>", "and before then", parseTime)
    .option("--day <date>", "the blocks of a day in UTC, such as 2026-11-24", parseDay)
    .option(
      "-o, --out <file>",
      "where to write it, gzipped if its name ends in .gz: DEVICE-FROM-TO.evidence.gz if nothing is said",
    )
    .addOption(dataOption())
    .addOption(jsonOption())
    .action(runEvidence)
}

function parseDay(text: string): number {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) throw new InvalidArgumentError("It must be such as 2026-11-24.")
  return parseTime(text)
}

const dayMs = 86_400_000

async function runEvidence(device: string, options: EvidenceCommandOptions): Promise<void> {
  const { blocks, from, to, day, data, json } = options
  const ways = [blocks !== undefined, from !== undefined || to !== undefined, day !== undefined]
  if (ways.filter(Boolean).length > 1)
    throw new UsageFault("--blocks, --from with --to, and --day exclude one another")
  if (from !== undefined && to !== undefined && to <= from) throw new UsageFault("--to must be after --from")
  const needs = { command: "evidence", needed: researchSecrets } as const
  const { pool, keys, close } = await openExistingLogWith(data, needs)
  try {
    const startedAt = performance.now()
    const span = day === undefined ? { from, to } : { from: day, to: day + dayMs }
    const written = await inPicture(pool, async (client) => {
      const range = blocks ?? (await findRange(client, span))
      return writeEvidenceFile(client, keys, device, range, options.out)
    })
    const { path, digest, sizeBytes, findings } = written
    const tookMs = Math.round(performance.now() - startedAt)
    if (json) {
      const { statements, readings } = findings
      const { from: first, to: last } = findings.blocks
      print(
        JSON.stringify({
          file: path,
          device,
          from: first,
          to: last,
          statements,
          readings,
          bytes: sizeBytes,
          sha256: digest,
          tookMs,
        }),
      )
    } else print(formatWritten(written, tookMs))
  } finally {
    await close()
  }
}

/** A picture of the database that stays as it is. */
async function inPicture<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  try {
    await beginReading(client)
    return await work(client)
  } finally {
    await client.query("rollback").catch(() => undefined)
    client.release()
  }
}

/** The sealed blocks that take in a span of arrivals; without bounds, all. */
async function findRange(
  client: PoolClient,
  { from, to }: { readonly from?: number | undefined; readonly to?: number | undefined },
): Promise<BlockRange> {
  const { rows } = await client.query<{ first: number | null; last: number | null }>(
    `select min(height) as first, max(height) as last from blocks
     where ($1::bigint is null or to_ms > $1) and ($2::bigint is null or from_ms < $2)`,
    [from ?? null, to ?? null],
  )
  const { first, last } = rows[0]!
  if (first !== null && last !== null) return { from: first, to: last }
  throw new CommandFault(
    from === undefined && to === undefined ? "nothing is sealed yet" : "no sealed block is of that time",
    "tidemark blocks shows what there is; tidemark seal makes one now",
  )
}

interface WrittenEvidence {
  readonly path: string
  /** SHA-256 in hex, and the size, of the file as it lies there. */
  readonly digest: string
  readonly sizeBytes: number
  readonly findings: EvidenceFindings
}

/** Writes the file under another name, checks it as its reader will, and renames it: it is there whole or not at all. */
async function writeEvidenceFile(
  client: PoolClient,
  keys: ResearchKeys,
  device: string,
  { from, to }: BlockRange,
  out: string | undefined,
): Promise<WrittenEvidence> {
  const source = await openEvidenceRows({
    query: async <Row extends object>(sql: string, values: readonly unknown[]) =>
      (await client.query<Row>(sql, [...values])).rows,
    origin: keys.origin,
    sha256: sha256Native,
  })
  const plan = await planEvidence({
    source,
    device,
    from,
    to,
    sha256: sha256Native,
    blindOf: (height, id) => blindOf(keys.headsSecret, height, id, hmacNative),
  })
  if (plan.kind === "refused")
    throw new CommandFault(plan.rule, "tidemark blocks and tidemark device list show what there is")
  const path = out ?? `${device}-${from}-${to}.evidence.gz`
  const isGzipped = path.endsWith(".gz")
  const written = await replaceFileBy(path, (file) =>
    writeChecked(file, plan.write(), keys, isGzipped),
  ).catch((error: unknown) => {
    throw explainFile(error, path)
  })
  return { path, ...written }
}

/** A file that may not be made, or a folder of this name; any other error as it is. */
function explainFile(error: unknown, path: string): unknown {
  const { syscall, message } = error as NodeJS.ErrnoException
  if (syscall !== "open" && syscall !== "rename" && syscall !== "write" && syscall !== "fsync") return error
  return new CommandFault(`${path} cannot be written: ${message}`, "name another file with -o", {
    cause: error,
  })
}

/** What would be refused is not handed out: then it is the database that is not what was signed. */
async function writeChecked(
  file: FileHandle,
  pieces: AsyncIterable<Uint8Array>,
  { origin, log }: CheckpointSigner,
  isGzipped: boolean,
): Promise<Omit<WrittenEvidence, "path">> {
  const progress = new Progress()
  const verifier = new EvidenceVerifier({
    trust: { policy: policyOfLog({ name: origin, publicKey: log.publicKey }) },
    sha256: sha256Native,
    verify: verifyNative,
  })
  const checked = async function* (): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces) {
      verifier.push(piece)
      const { statements, bytes } = verifier.progress
      progress.update(`${count(statements, "statement")}, ${formatNumber(bytes)} bytes`)
      yield piece
    }
  }
  const digest = createHash("sha256")
  let sizeBytes = 0
  for await (const piece of isGzipped ? gzip(checked()) : checked()) {
    await file.writeFile(piece)
    digest.update(piece)
    sizeBytes += piece.length
  }
  progress.done()
  const findings = verifier.end()
  if (findings.kind === "refused")
    throw new CommandFault(
      `the evidence would be refused: ${findings.what} ${findings.rule}`,
      "the database is not what was signed and sealed: run tidemark verify",
    )
  return { digest: digest.digest("hex"), sizeBytes, findings }
}

function formatWritten({ path, digest, sizeBytes, findings }: WrittenEvidence, tookMs: number): string {
  const { device, blocks, statements, readings, checkpoint } = findings
  const range = blocks.from === blocks.to ? `block ${blocks.from}` : `blocks ${blocks.from} to ${blocks.to}`
  return [
    `${path}: ${count(statements, "statement")} of ${device} with ${count(readings, "reading")}, ${range}, ${formatNumber(sizeBytes)} bytes, in ${formatNumber(tookMs)} ms`,
    `checked: it is whole as of block ${checkpoint.height}, ${count(checkpoint.size, "leaf", "leaves")}`,
    `sha256 ${digest}`,
    `who reads it checks it by: tidemark verify ${path} --log-key ${checkpoint.logVkey}`,
  ].join("\n")
}
