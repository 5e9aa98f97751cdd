/** `tidemark verify` without a file: the operator's audit of what is stored, all of it or a part. */
import { readFile, rm } from "node:fs/promises"
import { join } from "node:path"
import type { Pool } from "pg"
import { encodeUtf8 } from "../chain/bytes.ts"
import { examineSchema } from "../ingest/database/catalogue.ts"
import { replaceFile } from "../disk/durable.ts"
import { openAuditRows } from "../ingest/database/audit-rows.ts"
import { type LogKeys, accessKeyOf, digestKeyOf } from "../ingest/log-keys.ts"
import { hmacNative, sha256Native, verifyNative } from "../ingest/native.ts"
import { GatheredSignatures, openVerifier } from "../ingest/verifier.ts"
import {
  type AuditMemory,
  type AuditOptions,
  type AuditProgress,
  type AuditRange,
  type AuditResult,
  audit,
  describeAudit,
  formatAudit,
} from "../verify/audit.ts"
import { type AuditedPlace, formatAudited, parseAudited } from "../verify/audited.ts"
import { listForgedTokens } from "../ingest/token.ts"
import { listForgedKeys } from "../research/key.ts"
import { openExistingLog } from "./data-folder.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { Progress, formatBar, formatNumber, print, say } from "./output.ts"

export interface AuditCommandOptions {
  readonly data: string
  readonly json: boolean
  readonly continue?: boolean
  readonly sinceBlock?: number
  readonly blocks?: { readonly from: number; readonly to: number }
  readonly device?: string
}

/** Bash gives 128 and the signal's number to whoever a SIGINT ends. */
const exitStopped = 130

export async function runAudit(options: AuditCommandOptions): Promise<void> {
  const ways = [options.continue, options.sinceBlock, options.blocks].filter((way) => way !== undefined)
  if (ways.length > 1) throw new UsageFault("--continue, --since-block and --blocks exclude one another")
  if (options.continue === true && options.device !== undefined)
    throw new UsageFault("--continue goes on with everything: --device is for --since-block and --blocks")
  const { pool, keys, close } = await openExistingLog(options.data)
  const progress = new Progress()
  let isStopped = false
  const stop = (): void => void (isStopped = true)
  process.once("SIGINT", stop).once("SIGTERM", stop)
  try {
    const kept = new AuditedFile(options.data, keys)
    const range = await chooseRange(options, kept)
    const isWhole = range.to === null && range.device === null && options.sinceBlock === undefined
    const audited = await auditDatabase(pool, keys, await readPublishedNote(options.data), {
      range,
      ...(isWhole ? { memory: kept } : {}),
      isStopped: () => isStopped,
      onProgress: auditProgress(progress),
    })
    progress.done()
    const result = await withAccess(pool, keys, await withSchema(pool, audited))
    print(options.json ? JSON.stringify(describeAudit(result)) : formatAudit(result))
    if (result.kind === "stopped" && isWhole)
      say(`tidemark verify --continue goes on behind the last block that was found good`)
    if (result.kind !== "passed") process.exitCode = result.kind === "stopped" ? exitStopped : 1
  } finally {
    process.off("SIGINT", stop).off("SIGTERM", stop)
    await close()
  }
}

/** Views, functions, triggers and grants too must be those of this version: a row that is right can be shown wrong. */
async function withSchema(pool: Pool, audited: AuditResult): Promise<AuditResult> {
  if (audited.kind === "absent" || audited.kind === "stopped") return audited
  const { faults, remarks } = await examineSchema(pool)
  const all = [...audited.remarks, ...remarks]
  if (faults.length === 0) return { ...audited, remarks: all }
  const found = faults.map(({ of, what, rule }) => ({ table: of, column: null, row: what, rule }))
  const before = audited.kind === "failed" ? audited.findings : []
  return { kind: "failed", findings: [...before, ...found], remarks: all }
}

/** Rows of keys and tokens that the operator's commands did not write: they give no access, and somebody tried. */
async function withAccess(pool: Pool, keys: LogKeys, audited: AuditResult): Promise<AuditResult> {
  if (audited.kind === "absent" || audited.kind === "stopped") return audited
  const macKey = accessKeyOf(keys)
  const rule = "was written or changed past the operator's commands, and gives no access: revoke it"
  const found = [
    ...(await listForgedKeys(pool, macKey)).map((id) => ({ table: "api_keys", row: `API key ${id}` })),
    ...(await listForgedTokens(pool, macKey)).map((id) => ({
      table: "login_tokens",
      row: `login token ${id}`,
    })),
  ].map(({ table, row }) => ({ table, column: null, row, rule }))
  if (found.length === 0) return audited
  const before = audited.kind === "failed" ? audited.findings : []
  return { kind: "failed", findings: [...before, ...found], remarks: audited.remarks }
}

async function chooseRange(options: AuditCommandOptions, kept: AuditedFile): Promise<AuditRange> {
  const { blocks, sinceBlock, device = null } = options
  if (blocks !== undefined) return { from: blocks.from, to: blocks.to, device }
  if (sinceBlock !== undefined) return { from: sinceBlock, to: null, device }
  const behind = options.continue === true ? await kept.read() : null
  if (behind !== null) return { from: behind.height + 1, to: null, device, behind }
  if (options.continue === true) say("no earlier audit was kept here: everything is audited")
  return { from: 0, to: null, device }
}

/** Not more often: to keep a place waits for the signatures that are being checked. */
const keptMsMin = 5_000

/** `audited` in the data folder. */
class AuditedFile implements AuditMemory {
  readonly #path: string
  readonly #origin: string
  readonly #key: Uint8Array
  #keptAt = performance.now()

  constructor(dataFolder: string, { origin, headsSecret }: LogKeys) {
    this.#path = join(dataFolder, "audited")
    this.#origin = origin
    // Made from a secret that is there, so that one secret fewer must be kept.
    this.#key = hmacNative(headsSecret, encodeUtf8("tidemark/audited"))
  }

  async read(): Promise<AuditedPlace | null> {
    const text = await readFile(this.#path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return null
      throw error
    })
    if (text === null) return null
    const place = parseAudited(text, this.#origin, this.#key, hmacNative)
    if (place !== null) return place
    throw new CommandFault(
      `${this.#path} was not written by an audit of this log with these keys: somebody changed it`,
      "tidemark verify audits everything, and writes it anew",
    )
  }

  isDue(): boolean {
    return performance.now() - this.#keptAt >= keptMsMin
  }

  /** After a kill there is the one before or this one. */
  async keep(place: AuditedPlace): Promise<void> {
    await replaceFile(this.#path, formatAudited(place, this.#origin, this.#key, hmacNative))
    this.#keptAt = performance.now()
  }

  async forget(): Promise<void> {
    await rm(this.#path, { force: true })
  }
}

/** Before this nobody knows how fast it goes: the program is warming up. */
const paceAfterMs = 3_000

/** `[####....] 34 %  block 12, 340,000 of 1,000,000 statements, 18,500/s, 36 s left` */
export function auditProgress(progress: Progress): (now: AuditProgress) => void {
  const startedAt = performance.now()
  return ({ done, total, height }) => {
    const ms = performance.now() - startedAt
    const at = `block ${formatNumber(height)}, ${formatNumber(done)} of ${formatNumber(total)} statements`
    const perSecond = (1000 * done) / ms
    const left = formatNumber(Math.ceil(Math.max(0, total - done) / perSecond))
    const pace =
      ms < paceAfterMs || done === 0 ? "" : `, ${formatNumber(Math.round(perSecond))}/s, ${left} s left`
    progress.update(`${formatBar(done, total)}  ${at}${pace}`)
  }
}

/** The audit over a database, with the keys of the data folder and native cryptography. */
export async function auditDatabase(
  pool: Pool,
  keys: LogKeys,
  published: string | null,
  options: Pick<AuditOptions, "range" | "memory" | "isStopped" | "onProgress"> = {},
): Promise<AuditResult> {
  const source = await openAuditRows(pool)
  const verifier = openVerifier({})
  try {
    return await audit({
      source,
      logKey: { name: keys.origin, publicKey: keys.log.publicKey },
      headsSecret: keys.headsSecret,
      digestKey: digestKeyOf(keys),
      published,
      sha256: sha256Native,
      hmac: hmacNative,
      verify: verifyNative,
      signatures: new GatheredSignatures(verifier),
      nowMs: Date.now,
      ...options,
    })
  } finally {
    await source.close()
    await verifier.close()
  }
}

export async function readPublishedNote(dataFolder: string): Promise<string | null> {
  try {
    return await readFile(join(dataFolder, "log", "checkpoint"), "utf8")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null
    throw error
  }
}
