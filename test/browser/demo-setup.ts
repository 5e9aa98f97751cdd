/** One `tidemark demo` for all browser tests: the service, the data and the page that a newcomer sees. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import type { TestProject } from "vitest/node"
import { programEnvironment, repository } from "../cli/program.ts"

declare module "vitest" {
  interface ProvidedContext {
    /** `http://127.0.0.1:38307` */
    demoUrl: string
    /** Its data folder, for commands beside it. */
    demoData: string
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const program = join(repository, "dist", "cli", "main.js")
  if (!existsSync(join(repository, "dist", "research", "page", "index.html")))
    throw new Error("the page is not built: npm run build")
  // Our own recordings, so that the pictures are the same wherever this runs.
  const recordings = [
    "dexcom-clarity/export.csv",
    "ecg-csv/two-leads.csv",
    "empatica-e4",
    "garmin",
    "freestyle-libreview/mg-dl.csv",
  ].map((name) => join(repository, "test", "recordings", name))
  recordings.push(await writeSilence())
  const child = spawn(
    process.execPath,
    [program, "demo", "--timezone", "UTC", "--recording", ...recordings],
    {
      env: programEnvironment(),
      stdio: ["ignore", "pipe", "inherit"],
    },
  )
  let said = ""
  const ready = new Promise<void>((resolve, reject) => {
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text
      if (said.includes("Ctrl-C stops it")) resolve()
    })
    child.once("exit", (code) => reject(new Error(`the demo ended with ${code}: ${said}`)))
  })
  await ready
  const url = /Look at it: (http:\/\/127\.0\.0\.1:\d+)\//.exec(said)?.[1]
  const data = /device list --data (\S+)/.exec(said)?.[1]
  if (url === undefined || data === undefined)
    throw new Error(`the demo did not say where its page is: ${said}`)
  project.provide("demoUrl", url)
  project.provide("demoData", data)
  return async () => {
    child.removeAllListeners("exit")
    const ended = once(child, "exit")
    child.kill("SIGINT")
    await ended
    await rm(dirname(recordings.at(-1)!), { recursive: true, force: true })
  }
}

/** A watch in Garmin's form: a day of heart rates, 22 days of nothing, ten hours, and a -1 where it found no pulse. */
async function writeSilence(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "tidemark-silence-"))
  const path = join(folder, "data.csv")
  const start = Date.UTC(2026, 0, 1)
  const minute = 60_000
  const times = [
    ...Array.from({ length: 1_440 }, (_, at) => start + at * minute),
    ...Array.from({ length: 600 }, (_, at) => start + (23 * 1_440 + at) * minute),
  ]
  const lines = times.map((time, at) => {
    const value = at === 300 ? -1 : 62 + (at % 17)
    return `${new Date(time).toISOString().replace("Z", "+00:00")};HEART_RATE;${value}.0`
  })
  await writeFile(path, `${lines.join("\n")}\n`)
  return path
}
