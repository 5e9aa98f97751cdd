/** A database that goes away while a command works: what pg throws then, in words. */
import { CommandFault } from "./fault.ts"

/** SQLSTATE: admin_shutdown, crash_shutdown, cannot_connect_now, and class 08, connection exceptions. */
const goneStates = /^(?:57P0[123]|08[0-9A-Z]{3})$/
const goneCodes = new Set(["ECONNREFUSED", "ECONNRESET", "EPIPE", "ETIMEDOUT"])
/** pg gives these without a code. */
const goneMessages =
  /^(?:Connection terminated|Connection terminated unexpectedly|Client has encountered a connection error and is not queryable)$/

/** The fault to show where this error is a database that went away; null where it is anything else. */
export function explainGoneDatabase(error: unknown): CommandFault | null {
  if (!(error instanceof Error)) return null
  const { code = "", syscall } = error as NodeJS.ErrnoException
  const isOfSocket = goneCodes.has(code) && ["connect", "read", "write"].includes(syscall ?? "")
  if (!goneStates.test(code) && !isOfSocket && !goneMessages.test(error.message)) return null
  return new CommandFault(
    `the database went away: ${error.message}`,
    "what it had committed is there; once it runs again, the same command goes on",
    { cause: error },
  )
}
