/**
 * What a service needs, looked at before a log is made: a log's name and keys are for good, and must not be the remains of a
 * start that failed.
 */
import { isLoopback } from "../broker/address.ts"
import { readRecord } from "../ingest/database/embedded/home.ts"
import { openLog } from "../ingest/log.ts"
import { type GivenSecrets, allSecrets, findSharedSecret, makeLogKeys } from "../ingest/log-keys.ts"
import { type Connecting, findConnectingFault, listenersOf } from "./connecting.ts"
import { openDatabase } from "./data-folder.ts"
import { CommandFault } from "./fault.ts"
import { readGivenSecrets } from "./given-secrets.ts"
import { planOf } from "./parts/witnesses.ts"
import { checkPorts } from "./port-check.ts"
import { readTlsFiles } from "./tls-files.ts"

export interface StartNeeds {
  readonly dataFolder: string
  readonly connecting: Connecting
  readonly http: { readonly host: string; readonly port: number }
  /** For a new log. */
  readonly origin?: string
  /** A C2SP tlog-policy. */
  readonly witnesses?: Uint8Array
}

/** Throws a CommandFault, or passes; makes nothing. For a folder that holds no keys of a log. */
export async function checkFirstStart(needs: StartNeeds): Promise<void> {
  const { dataFolder, connecting, http, origin, witnesses } = needs
  const fault = findConnectingFault(connecting)
  if (fault !== null) throw new CommandFault(fault)
  if (connecting.tls !== undefined) await readTlsFiles(connecting.tls)
  const given = await readGivenSecrets()
  checkSecrets(given)
  await checkPorts([
    ...listenersOf(connecting).map(({ transport, host, port }) => ({
      what: transport.startsWith("ws") ? "WebSocket" : "MQTT",
      flag: `--${transport}`,
      host,
      port,
    })),
    { what: "HTTP", flag: "--http", ...http },
  ])
  if (await hasLog(dataFolder, given)) return
  if (origin === undefined && isReached(connecting.host, http.host))
    throw originFault(connecting.host, http.host)
  if (witnesses !== undefined) checkWitnesses(witnesses, origin, given)
}

/** Whether others than this machine reach the service. */
export function isReached(host: string, httpHost: string): boolean {
  return !isLoopback(host) || !isLoopback(httpHost)
}

/** A name that was made up would be in every block for good. */
export function originFault(host: string, httpHost: string): CommandFault {
  return new CommandFault(
    `a new log that others reach (${isLoopback(host) ? `--http-host ${httpHost}` : `--host ${host}`}) needs a name of its own, which can never change`,
    "give it with --origin, a host and a path that are yours, such as --origin example.org/log",
  )
}

/** Given secrets may be a log's whose keys are in no folder; else the database tells. */
async function hasLog(dataFolder: string, given: GivenSecrets): Promise<boolean> {
  const isServerGiven = (process.env["DATABASE_URL"] ?? "") !== ""
  // Without a record there is no embedded database yet; with one, a crash may have left the keys without their name.
  if (!isServerGiven) return (await readRecord(dataFolder)) !== undefined
  const { pool, close } = await openDatabase(dataFolder, { create: false, connections: 1 })
  try {
    return (await openLog(pool, dataFolder, allSecrets, given)) !== null
  } finally {
    await close()
  }
}

function checkSecrets(given: GivenSecrets): void {
  const shared = findSharedSecret(makeLogKeys("new.invalid", undefined, given))
  if (shared !== null)
    throw new CommandFault(
      `the log's secrets ${shared[0]} and ${shared[1]} are the same: each must be another`,
    )
}

function checkWitnesses(file: Uint8Array, origin: string | undefined, given: GivenSecrets): void {
  const { logs } = planOf(file, null).policy
  if (logs.length === 0) return
  if (origin !== undefined && given.log !== undefined) planOf(file, makeLogKeys(origin, undefined, given))
  else
    throw new CommandFault(
      `the witnesses' policy names the log ${logs[0]!.name}, and this start would make a new one with another key`,
      "leave its log line out, or make the log first with tidemark log init and write its vkey there",
    )
}
