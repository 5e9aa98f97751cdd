/**
 * Several commands start at once on one empty data folder. One of them may make the log; the others wait, or say why they
 * end. Afterwards the folder must open, with the keys of the log that was made.
 */
import { spawn } from "node:child_process"
import { generateKeyPairSync } from "node:crypto"
import { once } from "node:events"
import { chmod, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { isOfCluster, listProcesses } from "../../ingest/database/embedded/processes.ts"
import { programArgs, programEnvironment } from "../cli/program.ts"

/** Which commands a round starts at once. */
export const meetings = {
  "two log inits": ["init", "init"],
  "up and simulate": ["up", "simulate"],
  "two ups": ["up", "up"],
  everything: ["up", "init", "simulate", "seal", "enroll", "up", "init"],
} as const satisfies Readonly<Record<string, readonly CommandName[]>>

export type Meeting = keyof typeof meetings

type CommandName = "up" | "init" | "simulate" | "seal" | "enroll"

interface EndedCommand {
  readonly name: CommandName
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Nothing takes so long, not even on a machine that does other things too. */
const commandMsMax = 120_000

/** Runs one round, and gives what was wrong; an empty list is the right answer. */
export async function meetInFolder(meeting: Meeting): Promise<string[]> {
  const place = await mkdtemp(join(tmpdir(), "tidemark-makers-"))
  await chmod(place, 0o711)
  const data = join(place, "data")
  try {
    const key = generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" })
    await writeFile(join(place, "k7.jwk"), JSON.stringify(key))
    const ended = await runAll(
      meetings[meeting].map((name, index) => begin(name, argsOf(name, index, place, data))),
    )
    return [...ended.flatMap(findFaults), ...(await findFolderFaults(data, ended))]
  } finally {
    for (const { pid, folder } of listProcesses())
      if (folder?.startsWith(place) === true) process.kill(pid, "SIGKILL")
    await rm(place, { recursive: true, force: true, maxRetries: 10 })
  }
}

function argsOf(name: CommandName, index: number, place: string, data: string): readonly string[] {
  const args: Readonly<Record<CommandName, readonly string[]>> = {
    up: ["up", "--mqtt", "0", "--http", "0"],
    init: ["log", "init", "--origin", `example.org/maker-${index}`],
    simulate: ["simulate", "--devices", "2", "--statements", "3"],
    seal: ["seal"],
    enroll: ["device", "enroll", "k7", "--key", join(place, "k7.jwk")],
  }
  return [...args[name], "--data", data]
}

interface Begun {
  readonly name: CommandName
  readonly ended: Promise<EndedCommand>
  /** For a service that is ready, now or later. */
  stop(): void
}

function begin(name: CommandName, args: readonly string[]): Begun {
  const child = spawn(process.execPath, [...programArgs, ...args], {
    env: programEnvironment(),
    stdio: ["ignore", "pipe", "pipe"],
  })
  let [stdout, stderr] = ["", ""]
  let [isReady, isStopWanted, isStopped] = [false, false, false]
  const stopIfDue = (): void => {
    // Once: a second signal ends it at once.
    if (!isReady || !isStopWanted || isStopped) return
    isStopped = true
    child.kill("SIGTERM")
  }
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text))
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text
    isReady ||= /"msg":"ready"/.test(stderr)
    stopIfDue()
  })
  const timer = setTimeout(() => child.kill("SIGKILL"), commandMsMax)
  const ended = once(child, "close").then(([code]): EndedCommand => {
    clearTimeout(timer)
    return { name, code: code as number | null, stdout, stderr }
  })
  const stop = (): void => {
    isStopWanted = true
    stopIfDue()
  }
  return { name, ended, stop }
}

/** Starts all at once. Services are stopped when the others have ended. */
async function runAll(begun: readonly Begun[]): Promise<EndedCommand[]> {
  await Promise.all(begun.filter(({ name }) => name !== "up").map(({ ended }) => ended))
  for (const one of begun) one.stop()
  return Promise.all(begun.map(({ ended }) => ended))
}

/** What a command may not end with, whatever the others did. */
function findFaults({ name, code, stderr }: EndedCommand): string[] {
  const faults: string[] = []
  if (code !== 0 && code !== 1) faults.push(`${name} ended with ${code}: ${stderr}`)
  if (/^\s+at .+:\d+/m.test(stderr)) faults.push(`${name} showed a stack trace: ${stderr}`)
  if (/ENOENT|ENOTEMPTY|EEXIST/.test(stderr)) faults.push(`${name} showed an error of the system: ${stderr}`)
  if (code === 1 && !/^tidemark: \S/m.test(stderr))
    faults.push(`${name} failed and did not say why: ${stderr}`)
  return faults
}

async function findFolderFaults(data: string, ended: readonly EndedCommand[]): Promise<string[]> {
  const faults: string[] = []
  const left = listProcesses().filter((found) =>
    isOfCluster(found, { cluster: join(data, "postgres", "cluster"), clusterName: "-" }),
  )
  if (left.length > 0) faults.push(`${left.length} processes of Postgres were left`)
  const opened = await begin("seal", ["seal", "--json", "--data", data]).ended
  if (opened.code !== 0) faults.push(`the folder does not open afterwards: ${opened.stderr}`)
  const inits = ended.filter(({ name, code }) => name === "init" && code === 0)
  if (inits.length > 1) faults.push(`${inits.length} commands say that they made the log`)
  if (inits.length === 1) {
    const [, origin, keyId] = /^vkey +(\S+?)\+([0-9a-f]{8})\+/m.exec(inits[0]!.stdout) ?? []
    const checkpoint = await readFile(join(data, "log", "checkpoint"), "utf8").catch(() => "")
    const [, signer, signature = ""] = /^— (\S+) (\S+)$/m.exec(checkpoint) ?? []
    const signerId = Buffer.from(signature, "base64").subarray(0, 4).toString("hex")
    if (origin === undefined || origin !== signer || keyId !== signerId)
      faults.push(`the log is signed by ${signer}+${signerId}, and not by the keys that were made`)
  }
  const names = await readdir(data).catch(() => [])
  const drafts = names.filter((name) => /\.new|\.making|\.lock-/.test(name))
  if (drafts.length > 0) faults.push(`drafts were left: ${drafts.join(", ")}`)
  return faults
}
