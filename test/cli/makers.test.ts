import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it, onTestFinished } from "vitest"
import { findLockHolder, tryFolder, waitForFolder } from "../../cli/folder-lock.ts"
import { nameProcess } from "../../ingest/database/embedded/processes.ts"
import { type Meeting, meetInFolder } from "../simulation/makers-soak.ts"

it.each<Meeting>(["two log inits", "everything"])(
  "field S2: %s at once on one empty folder: one log is made, and its keys are never lost",
  async (meeting) => {
    expect(await meetInFolder(meeting)).toEqual([])
  },
  240_000,
)

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "tidemark-lock-"))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

it("of thirty that want a folder at once one has it, and the others learn which process that is", async () => {
  const folder = await makeFolder()
  const taken = await Promise.all(Array.from({ length: 30 }, () => tryFolder(folder, "up")))
  const releases = taken.filter((one) => typeof one === "function")
  expect(releases).toHaveLength(1)
  expect(taken.filter((one) => one === process.pid)).toHaveLength(29)
  await releases[0]!()
  expect(await readdir(folder)).toEqual([])
})

it("thirty that wait for a folder have it one after the other", async () => {
  const folder = await makeFolder()
  let inside = 0
  await Promise.all(
    Array.from({ length: 30 }, async () => {
      const release = await waitForFolder(folder, "making", () => {})
      inside += 1
      expect(inside).toBe(1)
      await new Promise(setImmediate)
      inside -= 1
      await release()
    }),
  )
  expect(await readdir(folder)).toEqual([])
})

it("the lock of a process that was killed is taken over, and that of a living one is not", async () => {
  const folder = await makeFolder()
  await mkdir(join(folder, "up.lock-not-one-of-ours"))
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000); console.log(1)"])
  await once(child.stdout, "data")
  await writeFile(join(folder, `up.lock-${nameProcess(child.pid!)}-0123456789ab-1`), "")
  expect(await findLockHolder(folder, "up")).toBe(child.pid)
  expect(await tryFolder(folder, "up")).toBe(child.pid)
  child.kill("SIGKILL")
  await once(child, "exit")
  expect(typeof (await tryFolder(folder, "up"))).toBe("function")
})
