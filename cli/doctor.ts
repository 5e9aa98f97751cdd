import { statfs } from "node:fs/promises"
import { availableParallelism, totalmem } from "node:os"
import { resolve } from "node:path"
import type { Command } from "commander"
import { isLoopback } from "../broker/address.ts"
import { type ServerFacts, examineServer, examineStore } from "../ingest/database/examination.ts"
import { listMigrations } from "../ingest/database/migration.ts"
import { hostOf } from "../ingest/database/url.ts"
import { LogMismatch, openLog } from "../ingest/log.ts"
import { sodiumMissing } from "../ingest/native.ts"
import { LogRolledBack, checkPublished } from "../ingest/publication.ts"
import { type Database, openDatabase } from "./data-folder.ts"
import { diagnose } from "./diagnosis/diagnose.ts"
import type { Finding, Grade } from "./diagnosis/finding.ts"
import type { Disk, MachineFacts } from "./diagnosis/machine.ts"
import { CommandFault } from "./fault.ts"
import { readFolderMode, readKeyModes } from "./folder-modes.ts"
import { addCommand, dataOption, jsonOption } from "./option.ts"
import { count, print } from "./output.ts"
import { listRunning } from "./running.ts"

interface DoctorOptions {
  readonly data: string
  readonly json: boolean
}

export function addDoctor(program: Command): void {
  addCommand(
    program,
    "doctor",
    "say what this machine, its Postgres and its log offer, and what would be better; exit 1 where a promise is in danger",
  )
    .addOption(dataOption())
    .addOption(jsonOption())
    .action(async ({ data, json }: DoctorOptions) => {
      const findings = await examine(data)
      print(json ? JSON.stringify({ findings }) : formatFindings(findings))
      if (findings.some(({ grade }) => grade === "danger")) process.exitCode = 1
    })
}

async function examine(dataFolder: string): Promise<readonly Finding[]> {
  // What it finds wrong, others refuse: it looks all the same.
  const database = await openDatabase(dataFolder, { create: false, isServerChecked: false })
  try {
    const { pool } = database
    const server = await examineServer(pool, Date.now)
    const store = await examineStore(pool, await listMigrations())
    return diagnose(await examineMachine(dataFolder, database, server), server, store)
  } finally {
    await database.close()
  }
}

async function examineMachine(
  dataFolder: string,
  database: Database,
  { dataDirectory }: ServerFacts,
): Promise<MachineFacts> {
  const hostname = hostOf(database.url)
  const isServerRemote = hostname !== "" && hostname !== "localhost" && !isLoopback(hostname)
  const paths = [resolve(dataFolder), ...(dataDirectory === null || isServerRemote ? [] : [dataDirectory])]
  const disks = await Promise.all(paths.map(readDisk))
  return {
    node: process.version,
    cpus: availableParallelism(),
    memoryBytes: totalmem(),
    sodiumMissing,
    disks: disks.filter((disk) => disk !== null),
    folderMode: await readFolderMode(dataFolder),
    keys: await readKeyModes(dataFolder),
    mismatch: await findMismatch(dataFolder, database),
    running: (await listRunning(dataFolder)).map(({ kind, pid }) => `${kind} (process ${pid})`),
    isEmbedded: database.pid !== null,
    isServerRemote,
  }
}

async function readDisk(path: string): Promise<Disk | null> {
  try {
    const { bavail, blocks, bsize, type } = await statfs(path)
    return { path, freeBytes: bavail * bsize, totalBytes: blocks * bsize, fileSystem: type }
  } catch {
    // Not there yet, or not on this machine.
    return null
  }
}

async function findMismatch(dataFolder: string, { pool }: Database): Promise<string | null> {
  try {
    const keys = await openLog(pool, dataFolder, [])
    if (keys !== null) await checkPublished(pool, dataFolder, keys)
    return null
  } catch (error) {
    if (error instanceof LogMismatch || error instanceof LogRolledBack) return error.message
    throw new CommandFault((error as Error).message, null, { cause: error })
  }
}

const marks: Readonly<Record<Grade, string>> = { fine: "ok", better: "better", danger: "DANGER" }
const titles: Readonly<Record<Finding["part"], string>> = {
  machine: "This machine",
  server: "Postgres",
  log: "The log",
}
const markWidth = 6

/** A line for each, by part, and its advice below; last, how many are what. */
export function formatFindings(findings: readonly Finding[]): string {
  const nameWidth = Math.max(...findings.map(({ name }) => name.length))
  const lines: string[] = []
  for (const part of ["machine", "server", "log"] as const) {
    const own = findings.filter((finding) => finding.part === part)
    if (own.length === 0) continue
    lines.push(titles[part])
    for (const { name, value, grade, advice } of own) {
      lines.push(`  ${marks[grade].padEnd(markWidth)}  ${name.padEnd(nameWidth)}  ${value}`)
      const indent = " ".repeat(2 + markWidth + 2 + nameWidth + 2)
      if (advice !== null) lines.push(...wrap(advice, 100 - indent.length).map((line) => `${indent}${line}`))
    }
    lines.push("")
  }
  return [...lines, summarize(findings)].join("\n")
}

function summarize(findings: readonly Finding[]): string {
  const of = (grade: Grade): number => findings.filter((finding) => finding.grade === grade).length
  const [dangers, better] = [of("danger"), of("better")]
  if (dangers > 0) return `${count(dangers, "danger")} to a promise, ${better} could be better`
  return better > 0 ? `no promise is in danger, ${better} could be better` : "all is well"
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ""
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === "" ? word : `${line} ${word}`
  }
  return [...lines, line]
}
