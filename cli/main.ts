#!/usr/bin/env node
/** `tidemark`: exit 0 done, 1 failed, 2 usage, 3 a scenario that could not run. */
import { Command, CommanderError } from "commander"
import { showControlsInLines } from "../chain/visible-text.ts"
import { explainGoneDatabase } from "./database-fault.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { OutputClosed, noticeClosedOutput, say } from "./output.ts"
import { version } from "./version.ts"

/**
 * The commands in the order in which the help lists them. Each is loaded when it is asked for: together they bring a web
 * server, Arrow and Parquet, and `tidemark --version` took 0.8 s of processor time for them.
 */
const commands: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  up: async () => (await import("./up.ts")).addUp,
  ingest: async () => (await import("./ingest.ts")).addIngest,
  research: async () => (await import("./research.ts")).addResearch,
  log: async () => (await import("./log.ts")).addLog,
  device: async () => (await import("./device.ts")).addDevice,
  simulate: async () => (await import("./simulate.ts")).addSimulate,
  seal: async () => (await import("./seal.ts")).addSeal,
  blocks: async () => (await import("./blocks.ts")).addBlocks,
  readings: async () => (await import("./readings.ts")).addReadings,
  query: async () => (await import("./query.ts")).addQuery,
  export: async () => (await import("./export.ts")).addExport,
  coverage: async () => (await import("./coverage.ts")).addCoverage,
  key: async () => (await import("./key.ts")).addKey,
  access: async () => (await import("./access.ts")).addAccess,
  receipts: async () => (await import("./receipts.ts")).addReceipts,
  inspect: async () => (await import("./inspect.ts")).addInspect,
  evidence: async () => (await import("./evidence.ts")).addEvidence,
  verify: async () => (await import("./verify.ts")).addVerify,
  witness: async () => (await import("./witness.ts")).addWitness,
  follow: async () => (await import("./follow.ts")).addFollow,
  doctor: async () => (await import("./doctor.ts")).addDoctor,
  verifier: async () => (await import("./verifier.ts")).addVerifier,
  demo: async () => (await import("./demo.ts")).addDemo,
}

const program = new Command("tidemark")
  .description("Wearable and IoT health data: what a device signed is what a researcher can check.")
  .version(version, "--version")
  // In MQTT tools -h is the host.
  .helpOption("--help", "show help")
  .helpCommand(false)
  // `simulate` has options and so has `simulate run`: each takes those behind its own name.
  .enablePositionalOptions()
  .showHelpAfterError("(--help shows what there is)")
  .configureOutput({ writeErr: (text) => process.stderr.write(showControlsInLines(text)) })
  .exitOverride()

noticeClosedOutput()
const [name = "--help"] = process.argv.slice(2)
const named = Object.hasOwn(commands, name) ? commands[name] : undefined
// The help, and what is said of a command that is not there, need them all.
const asked = named !== undefined ? [named] : name === "--version" ? [] : Object.values(commands)
for (const load of asked) (await load())(program)

try {
  await program.parseAsync()
} catch (error) {
  const code = await explain(error)
  // At once: what was started half-way (a timer, a connection) must not keep a command that has failed.
  if (code !== 0) process.exit(code)
}

async function explain(error: unknown): Promise<number> {
  // Help and version end here too, with 0; any other of commander's has been printed and is about usage.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  // Whoever read the output has had enough: no failure, and nothing to say.
  if (error instanceof OutputClosed) return Number(process.exitCode ?? 0)
  if (error instanceof UsageFault || error instanceof RangeError) {
    say(`tidemark: ${error.message}`)
    return 2
  }
  if (error instanceof CommandFault) {
    say(`tidemark: ${error.message}`)
    if (error.hint !== null) say(`  ${error.hint}`)
    return error.exitCode
  }
  const gone = explainGoneDatabase(error)
  if (gone !== null) return explain(gone)
  if (await isForeseen(error)) {
    say(`tidemark: ${(error as Error).message}`)
    return 1
  }
  // Not foreseen: the trace helps whoever reports it, and carries no value, key or token.
  say(`tidemark: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  return 1
}

/** What the parts say for people. Loaded already where it was thrown, and else it is none of them. */
async function isForeseen(error: unknown): Promise<boolean> {
  const { EmbeddedDatabaseError } = await import("../ingest/database/embedded/fault.ts")
  const { LogMismatch } = await import("../ingest/log.ts")
  const { LogRolledBack, LogSealedElsewhere } = await import("../ingest/publication.ts")
  return [EmbeddedDatabaseError, LogMismatch, LogRolledBack, LogSealedElsewhere].some(
    (kind) => error instanceof kind,
  )
}
