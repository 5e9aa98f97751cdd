import { readFile } from "node:fs/promises"
import { join } from "node:path"
import type { Command } from "commander"
import type { Pool } from "pg"
import { openAuditRows } from "../ingest/database/audit-rows.ts"
import { type LogKeys, digestKeyOf } from "../ingest/log-keys.ts"
import { hmacNative, sha256Native, verifyNative } from "../ingest/native.ts"
import { gatherSignatures, openVerifier } from "../ingest/verifier.ts"
import { type AuditResult, audit, formatAudit } from "../verify/audit.ts"
import { describeEvidence, formatEvidence } from "../verify/evidence.ts"
import { describeProof, formatProof } from "../verify/proof.ts"
import { describeSplitResult, formatSplitResult } from "../verify/split-view.ts"
import { openExistingLog } from "./data-folder.ts"
import { UsageFault } from "./fault.ts"
import { addCommand, dataOption, jsonOption, parseTime } from "./option.ts"
import { Progress, formatBar, formatNumber, ignoreBrokenPipe, print } from "./output.ts"
import { readTrust, verifyEvidenceFile } from "./verify-evidence.ts"
import { type ProofFileOptions, readProofFile, verifyProofFile } from "./verify-proof.ts"
import { readSplitView, verifySplitViewFile } from "./verify-split.ts"

interface VerifyOptions extends ProofFileOptions {
  readonly json: boolean
}

export function addVerify(program: Command): void {
  addCommand(
    program,
    "verify",
    "check a file offline: evidence, a proof, a receipt, a split view; without a file, audit everything stored against every signature, chain, leaf, manifest and checkpoint",
  )
    .argument(
      "[file]",
      "evidence, as tidemark evidence writes it, a C2SP tlog-proof, a COSE Receipt, a Transparent Statement, or a split view of tidemark follow",
    )
    .option("--policy <file>", "with a file: the logs and witnesses that you trust, a C2SP tlog-policy")
    .option("--log-key <vkey>", "with a file: the key of the log that you trust, without witnesses")
    .option(
      "--device-key <key>",
      "with a file: the device's key (thumbprint in hex, or a file), again for another",
      collect,
    )
    .option(
      "--statement <statement>",
      "with a proof or a receipt: what it is about (a file, or its entry in hex), where the file does not hold it",
    )
    .option(
      "--receipt-key <key>",
      "with a receipt: the log's receipt key (a file, or hex), or a tlog-proof of the log's first statement",
    )
    .option(
      "--since <time>",
      "with a file: the checkpoint and its cosignatures must be of then or later",
      parseTime,
    )
    .addOption(dataOption())
    .addOption(jsonOption())
    .action(async (file: string | undefined, options: VerifyOptions) => {
      if (file !== undefined) await runVerifyEvidence(file, options)
      else {
        for (const name of ["policy", "logKey", "deviceKey", "since", "statement", "receiptKey"] as const)
          if (options[name] !== undefined)
            throw new UsageFault("what you trust is asked for with an evidence file: name one")
        await runAudit(options)
      }
    })
}

function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text]
}

async function runVerifyEvidence(file: string, options: VerifyOptions): Promise<void> {
  ignoreBrokenPipe()
  const splitView = await readSplitView(file)
  if (splitView !== null) {
    const split = await verifySplitViewFile(splitView, options)
    print(options.json ? JSON.stringify(describeSplitResult(split)) : formatSplitResult(split))
    if (split.kind === "refused") process.exitCode = 1
    return
  }
  const proof = await readProofFile(file)
  if (proof !== null) {
    const proven = await verifyProofFile(proof, options)
    print(options.json ? JSON.stringify(describeProof(proven)) : formatProof(proven))
    if (proven.kind === "refused") process.exitCode = 1
    return
  }
  for (const name of ["statement", "receiptKey"] as const)
    if (options[name] !== undefined)
      throw new UsageFault("--statement and --receipt-key are for proofs and receipts, and this is none")
  const result = await verifyEvidenceFile(file, await readTrust(options))
  print(options.json ? JSON.stringify(describeEvidence(result)) : formatEvidence(result))
  if (result.kind === "refused") process.exitCode = 1
}

async function runAudit({ data, json }: VerifyOptions): Promise<void> {
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
}

/** The audit over a database, with the keys of the data folder and native cryptography. */
export async function auditDatabase(
  pool: Pool,
  keys: LogKeys,
  published: string | null,
  progress?: Progress,
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
      verify: gatherSignatures(verifier),
      verifyNow: verifyNative,
      onProgress: (done, total) =>
        progress?.update(
          `${formatBar(done, total)}  ${formatNumber(done)} of ${formatNumber(total)} statements`,
        ),
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
