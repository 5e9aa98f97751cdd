/** `tidemark psql`: psql on the log's database, with everything that it must be told. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { resolve } from "node:path"
import type { Command } from "commander"
import { describeHome, readRecord, resolveRecord } from "../ingest/database/embedded/home.ts"
import { type Database, openDatabase } from "./data-folder.ts"
import { CommandFault } from "./fault.ts"
import { addCommand, dataOption } from "./option.ts"
import { print } from "./output.ts"

interface PsqlOptions {
  readonly data: string
  readonly print: boolean
}

export function addPsql(program: Command): void {
  addCommand(
    program,
    "psql",
    "opens psql on the log's database, as its owner; what stands behind -- goes to psql",
  )
    .argument("[arguments...]", "of psql, such as -- -c 'select * from research_devices'")
    .option(
      "--print",
      "only say how any client connects: host, port, user, database, and where the password is",
      false,
    )
    .addOption(dataOption())
    .action(async (given: readonly string[], { data, print: isPrinted }: PsqlOptions) => {
      // As others find it wrong, one may want to look.
      const database = await openDatabase(data, { create: false, isServerChecked: false })
      try {
        if (isPrinted) print(await describeConnection(data, database))
        else process.exitCode = await runPsql(database, given)
      } finally {
        await database.close()
      }
    })
}

/** The URL without its password, and the password for psql's environment: no list of processes shows it there. */
function partsOf(url: string): { readonly address: string; readonly password: string } {
  const parsed = new URL(url)
  const password = decodeURIComponent(parsed.password)
  parsed.password = ""
  return { address: parsed.href, password }
}

async function describeConnection(dataFolder: string, { url, pid }: Database): Promise<string> {
  const { hostname, port, username, pathname } = new URL(url)
  const facts = [
    `host      ${hostname === "" ? "(as the URL says)" : hostname}`,
    `port      ${port === "" ? "5432" : port}`,
    `user      ${decodeURIComponent(username)}`,
    `database  ${decodeURIComponent(pathname.slice(1))}`,
  ]
  if (pid === null) return [...facts, "password  in DATABASE_URL", "", 'psql "$DATABASE_URL"'].join("\n")
  const folder = resolve(dataFolder)
  const record = await readRecord(folder)
  const file = describeHome(record === undefined ? folder : resolveRecord(folder, record)).password
  const { address } = partsOf(url)
  return [
    ...facts,
    `password  in ${file}`,
    "",
    "while tidemark up runs:",
    `PGPASSWORD="$(cat ${quote(file)})" psql ${quote(address)}`,
  ].join("\n")
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

async function runPsql(database: Database, given: readonly string[]): Promise<number> {
  const { address, password } = partsOf(database.url)
  const environment: NodeJS.ProcessEnv = {
    ...process.env,
    ...(password === "" ? {} : { PGPASSWORD: password }),
  }
  delete environment["DATABASE_URL"]
  const child = spawn("psql", [address, ...given], { stdio: "inherit", env: environment })
  // Ctrl-C is psql's: it ends a query there.
  process.on("SIGINT", ignore)
  try {
    const [code] = (await once(child, "close")) as [number | null]
    return code ?? 1
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error
    throw new CommandFault(
      "psql is not on this machine",
      "install postgresql-client, or connect another client as tidemark psql --print says",
      { cause: error },
    )
  } finally {
    process.off("SIGINT", ignore)
  }
}

function ignore(): void {}
