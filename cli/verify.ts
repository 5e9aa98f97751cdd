import { type Command, Option } from "commander"
import { describeEvidence, formatEvidence } from "../verify/evidence.ts"
import { describeProof, formatProof } from "../verify/proof.ts"
import { describeSplitResult, formatSplitResult } from "../verify/split-view.ts"
import { type AuditCommandOptions, runAudit } from "./audit.ts"
import { refuseExport } from "./export-in-file.ts"
import { UsageFault } from "./fault.ts"
import {
  addCommand,
  dataOption,
  jsonOption,
  parseBlocks,
  parseCount,
  parseDevice,
  parseTime,
} from "./option.ts"
import { print } from "./output.ts"
import { readTrust, verifyEvidenceFile } from "./verify-evidence.ts"
import { type ProofFileOptions, readProofFile, verifyProofFile } from "./verify-proof.ts"
import { readSplitView, verifySplitViewFile } from "./verify-split.ts"

type VerifyOptions = ProofFileOptions & AuditCommandOptions

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
    .option(
      "--continue",
      "without a file: go on where the last audit of this data folder ended, or was stopped",
    )
    .addOption(
      new Option("--since-block <height>", "without a file: this block and all later ones").argParser(
        parseCount(0, 1e15),
      ),
    )
    .option("--blocks <range>", "without a file: heights, such as 10..34, or one", parseBlocks)
    .option("--device <id>", "without a file: only this device's statements", parseDevice)
    .addOption(dataOption())
    .addOption(jsonOption())
    .action(async (file: string | undefined, options: VerifyOptions) => {
      if (file !== undefined) {
        for (const name of ["continue", "sinceBlock", "blocks", "device"] as const)
          if (options[name] !== undefined)
            throw new UsageFault("a file is verified whole: a part is for the audit of what is stored")
        await runVerifyEvidence(file, options)
      } else {
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
  await refuseExport(file)
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
