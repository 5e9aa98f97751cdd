import { execFile } from "node:child_process"
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { Client } from "pg"
import { onTestFinished } from "vitest"
import { openEmbedded, type EmbeddedDatabase } from "../../ingest/database/embedded.ts"
import { listProcesses } from "../../ingest/database/embedded/processes.ts"

/** A folder for one test, removed after it; what still runs in it then is ended. */
export async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "tidemark-embedded-"))
  await chmod(folder, 0o711)
  onTestFinished(async () => {
    for (const pid of processesIn(folder)) process.kill(pid, "SIGKILL")
    await rm(folder, { recursive: true, force: true, maxRetries: 10 })
  })
  return folder
}

let template: Promise<string> | undefined

/** A folder for one test, with a database that was made and closed before: a copy takes a tenth of an initdb. */
export async function makeFolderWithDatabase(): Promise<string> {
  template ??= makeTemplate()
  const [folder, made] = await Promise.all([makeFolder(), template])
  await copyFolder(made, folder)
  return folder
}

async function makeTemplate(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "tidemark-embedded-"))
  await chmod(folder, 0o711)
  await (await open(folder)).close()
  return folder
}

export async function removeTemplate(): Promise<void> {
  if (template !== undefined) await rm(await template, { recursive: true, force: true })
}

/** Copies all that is in a folder, with its owners. */
export async function copyFolder(from: string, to: string): Promise<void> {
  await promisify(execFile)("cp", ["-a", `${from}/.`, to])
}

/** The processes of any Postgres that works in this folder. */
export function processesIn(folder: string): readonly number[] {
  return listProcesses()
    .filter(({ command, folder: at }) => /postgres/.test(command) && (at ?? command).includes(folder))
    .map(({ pid }) => pid)
}

export function open(dataFolder: string, options: { create?: boolean; elsewhere?: string } = {}) {
  const { create = true, elsewhere } = options
  return openEmbedded({
    dataFolder,
    create,
    say: () => undefined,
    ...(elsewhere === undefined ? {} : { elsewhere }),
  })
}

/** Opens it, and closes it when the test is over, however it ends. */
export async function openForTest(dataFolder: string): Promise<EmbeddedDatabase> {
  const database = await open(dataFolder)
  onTestFinished(() => database.close())
  return database
}

export async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url })
  client.on("error", () => undefined)
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows
  } finally {
    await client.end()
  }
}

export async function keep(url: string, text: string): Promise<void> {
  await query(url, "create table if not exists kept (text text)")
  await query(url, `insert into kept values ('${text}')`)
}

export async function readKept(url: string): Promise<unknown[]> {
  return (await query(url, "select text from kept")).map(({ text }) => text)
}

export async function listFolder(folder: string): Promise<string[]> {
  return (await readdir(folder)).toSorted()
}
