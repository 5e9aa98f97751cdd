import { readFile } from "node:fs/promises"
import { join } from "node:path"
import type { Command } from "commander"
import type { Pool } from "pg"
import { openAuditRows } from "../ingest/database/audit-rows.ts"
import { type LogKeys, digestKeyOf } from "../ingest/log-keys.ts"
import { hmacNative, sha256Native, verifyNative, verifyNativeAsync } from "../ingest/native.ts"
import { type AuditResult, audit, formatAudit } from "../verify/audit.ts"
import { openExistingLog } from "./data-folder.ts"
import { addCommand, dataOption, jsonOption } from "./option.ts"
import { Progress, formatBar, formatNumber, print } from "./output.ts"

export function addVerify(program: Command): void {
  addCommand(
    program,
    "verify",
    "audit everything stored against every signature, chain, leaf, manifest and checkpoint",
  )
    .addOption(dataOption())
    .addOption(jsonOption())
    .action(async ({ data, json }: { data: string; json: boolean }) => {
      const { pool, keys, close } = await openExistingLog(data)
      try {
        const progress = new Progress()
        const result = await auditDatabase(pool, keys, await readPublishedNote(data), progress)
        progress.done()
        print(json ? JSON.stringify(result) : formatAudit(result))
        if (result.kind === "failed") process.exitCode = 1
      } finally {
        await close()
      }
    })
}

/** The audit over a database, with the keys of the data folder and native cryptography. */
export async function auditDatabase(
  pool: Pool,
  keys: LogKeys,
  published: string | null,
  progress?: Progress,
): Promise<AuditResult> {
  const source = await openAuditRows(pool)
  try {
    return await audit({
      source,
      logKey: { name: keys.origin, publicKey: keys.log.publicKey },
      headsSecret: keys.headsSecret,
      digestKey: digestKeyOf(keys),
      published,
      sha256: sha256Native,
      hmac: hmacNative,
      verify: verifyNativeAsync,
      verifyNow: verifyNative,
      onProgress: (done, total) =>
        progress?.update(
          `${formatBar(done, total)}  ${formatNumber(done)} of ${formatNumber(total)} statements`,
        ),
    })
  } finally {
    await source.close()
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
