#!/usr/bin/env node
/** `tidemark`: exit 0 done, 1 failed, 2 usage, 3 a scenario that could not run. */
import { CommanderError } from "commander"
import { commands, makeProgram } from "./commands.ts"
import { explainGoneDatabase } from "./database-fault.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { OutputClosed, noticeClosedOutput, say } from "./output.ts"

const program = makeProgram()
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
  // The reader of the output has had enough: no failure, and nothing to say.
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
