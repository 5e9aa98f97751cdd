/**
 * The published log by a client of others: fsck of Tessera (github.com/transparency-dev/tessera), which reads checkpoint,
 * bundles and tiles, and makes each of them anew.
 */
import { execFile, execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, expect, test } from "vitest"
import { RunningUp, makeFolder, removeFolders, run } from "../cli/command.ts"

const fsckVersion = "v1.0.4"

afterAll(removeFolders)

/** A program that was built before, or one that Go builds now; null, and said why, where there is no Go. */
function findFsck(): string | null {
  const built = process.env["TIDEMARK_PEERS_FSCK"]
  if (built !== undefined) return built
  const folder = mkdtempSync(join(tmpdir(), "tidemark-fsck-"))
  const name = `github.com/transparency-dev/tessera/cmd/fsck@${fsckVersion}`
  try {
    execFileSync("go", ["install", name], { stdio: "pipe", env: { ...process.env, GOBIN: folder } })
    return join(folder, "fsck")
  } catch (error) {
    process.stderr.write(
      `skipped: ${name} cannot be built here: ${(error as Error).message.split("\n")[0]}\n`,
    )
    return null
  }
}

/** What it says at its end. Of a log with a fault v1.0.4 never ends: then it is ended. */
async function check(fsck: string, url: string, keyFile: string, timeout = 60_000): Promise<string> {
  const args = ["--ui=false", `--storage_url=${url}`, `--public_key=${keyFile}`]
  const { stderr } = await promisify(execFile)(fsck, args, { timeout }).catch(
    (error: { stderr: string }) => error,
  )
  return stderr.trim().split("\n").at(-1) ?? ""
}

test("a tlog client of others takes the log as it is served and as it is exported, and none that was changed", async () => {
  const fsck = findFsck()
  if (fsck === null) return
  const data = await makeFolder()
  const up = await RunningUp.start(data)
  const keyFile = join(data, "vkey")
  // Two blocks, the second of which fills a tile.
  for (const seed of ["1", "2"]) {
    await run([
      "simulate",
      "--data",
      data,
      "--devices",
      "5",
      "--statements",
      "40",
      "--readings",
      "2",
      "--seed",
      seed,
    ])
    await run(["seal", "--data", data])
    const policy = await (await fetch(`${up.http}/log/policy`)).text()
    writeFileSync(keyFile, /^log (\S+)$/m.exec(policy)![1]!)
    expect(await check(fsck, `${up.http}/log/`, keyFile)).toContain("Successfully fsck'd log with size")
  }
  const folder = join(data, "public")
  await run(["log", "export", folder, "--data", data])
  await up.end("SIGTERM")
  expect(await check(fsck, `file://${folder}/`, keyFile)).toContain("Successfully fsck'd log with size")
  const tile = join(folder, "tile", "0", "000")
  const bytes = readFileSync(tile)
  bytes[4000]! ^= 1
  writeFileSync(tile, bytes)
  expect(await check(fsck, `file://${folder}/`, keyFile, 10_000)).not.toContain("Successfully")
})
