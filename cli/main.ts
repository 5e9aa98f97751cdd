#!/usr/bin/env node
/** `tidemark`: exit 0 done, 1 failed, 2 usage. */
import { Command, CommanderError } from "commander"
import { EmbeddedDatabaseError } from "../ingest/database/embedded.ts"
import { LogMismatch } from "../ingest/log.ts"
import { LogRolledBack, LogSealedElsewhere } from "../ingest/publication.ts"
import { addAccess } from "./access.ts"
import { addBlocks } from "./blocks.ts"
import { addCoverage } from "./coverage.ts"
import { addDemo } from "./demo.ts"
import { addDevice } from "./device.ts"
import { addEvidence } from "./evidence.ts"
import { addDoctor } from "./doctor.ts"
import { addExport } from "./export.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { addIngest } from "./ingest.ts"
import { addInspect } from "./inspect.ts"
import { addKey } from "./key.ts"
import { addLog } from "./log.ts"
import { say } from "./output.ts"
import { addQuery } from "./query.ts"
import { addReceipts } from "./receipts.ts"
import { addReadings } from "./readings.ts"
import { addResearch } from "./research.ts"
import { addSeal } from "./seal.ts"
import { addSimulate } from "./simulate.ts"
import { addUp } from "./up.ts"
import { addVerifier } from "./verifier.ts"
import { addVerify } from "./verify.ts"
import { version } from "./version.ts"

const program = new Command("tidemark")
  .description("Wearable and IoT health data: what a device signed is what a researcher can check.")
  .version(version, "--version")
  // In MQTT tools -h is the host.
  .helpOption("--help", "show help")
  .helpCommand(false)
  .showHelpAfterError("(--help shows what there is)")
  .configureOutput({ writeErr: (text) => process.stderr.write(text) })
  .exitOverride()

for (const add of [
  addUp,
  addIngest,
  addResearch,
  addLog,
  addDevice,
  addSimulate,
  addSeal,
  addBlocks,
  addReadings,
  addQuery,
  addExport,
  addCoverage,
  addKey,
  addAccess,
  addReceipts,
  addInspect,
  addEvidence,
  addVerify,
  addDoctor,
  addVerifier,
  addDemo,
])
  add(program)

try {
  await program.parseAsync()
} catch (error) {
  const code = explain(error)
  // At once: what was started half-way (a timer, a connection) must not keep a command that has failed.
  if (code !== 0) process.exit(code)
}

function explain(error: unknown): number {
  // Help and version end here too, with 0; any other of commander's has been printed and is about usage.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  if (error instanceof UsageFault || error instanceof RangeError) {
    say(`tidemark: ${error.message}`)
    return 2
  }
  if (error instanceof CommandFault) {
    say(`tidemark: ${error.message}`)
    if (error.hint !== null) say(`  ${error.hint}`)
    return 1
  }
  if (
    error instanceof EmbeddedDatabaseError ||
    error instanceof LogMismatch ||
    error instanceof LogRolledBack ||
    error instanceof LogSealedElsewhere
  ) {
    say(`tidemark: ${error.message}`)
    return 1
  }
  // Not foreseen: the trace helps whoever reports it, and carries no value, key or token.
  say(`tidemark: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  return 1
}
