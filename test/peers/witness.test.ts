/**
 * A witness of others: litewitness of Torchwood (filippo.io/torchwood), which keeps its records in SQLite and its key in an
 * ssh-agent. `TIDEMARK_PEERS_WITNESS` names a folder with `litewitness` and `witnessctl`; without it Go builds them.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, test } from "vitest"
import { checkCosignature, parseCosignerVkey } from "../../chain/cosignature.ts"
import { formatVkey, parseNote, parseSignatures } from "../../chain/note.ts"
import { RunningUp, makeFolder, removeFolders, run } from "../cli/command.ts"
import { GrowingLog } from "../verify/growing-log.ts"

const version = "v0.6.1"
const running: ChildProcess[] = []
const folders: string[] = []

afterAll(async () => {
  for (const child of running) child.kill()
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  await removeFolders()
})

function makeTemporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "tidemark-litewitness-"))
  folders.push(folder)
  return folder
}

/** The folder of the programs; null, and said why, where they cannot be had. */
function findPrograms(): string | null {
  const built = process.env["TIDEMARK_PEERS_WITNESS"]
  if (built !== undefined) return built
  const folder = makeTemporary()
  const names = ["litewitness", "witnessctl"].map((name) => `filippo.io/torchwood/cmd/${name}@${version}`)
  try {
    execFileSync("go", ["install", ...names], { stdio: "pipe", env: { ...process.env, GOBIN: folder } })
    return folder
  } catch (error) {
    process.stderr.write(`skipped: ${names[0]} cannot be built: ${(error as Error).message.split("\n")[0]}\n`)
    return null
  }
}

/** Starts one with a new key, and gives its vkey. */
async function startWitness(programs: string, folder: string, listen: string): Promise<string> {
  const [keyFile, socket] = [join(folder, "key"), join(folder, "agent")]
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", keyFile])
  running.push(spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" }))
  const environment = { ...process.env, SSH_AUTH_SOCK: socket }
  await expect
    .poll(() => {
      try {
        execFileSync("ssh-add", ["-q", keyFile], { stdio: "pipe", env: environment })
        return true
      } catch {
        return false
      }
    })
    .toBe(true)
  const [, fingerprint] = execFileSync("ssh-keygen", ["-lf", `${keyFile}.pub`])
    .toString()
    .split(" ")
  const args = ["-name", "lite.example/w", "-db", join(folder, "db"), "-ssh-agent", socket]
  const witness = spawn(join(programs, "litewitness"), [...args, "-key", fingerprint!, "-listen", listen], {
    stdio: ["ignore", "ignore", "pipe"],
  })
  running.push(witness)
  let said = ""
  for (;;) {
    const [chunk] = (await once(witness.stderr, "data")) as [Buffer]
    said += chunk.toString()
    const [, vkey] = /vkey=(\S+)/.exec(said) ?? []
    if (vkey !== undefined && said.includes("msg=listening")) return vkey
  }
}

test("a witness of others cosigns our checkpoints as the log grows, and refuses one that has grown differently", async () => {
  const programs = findPrograms()
  if (programs === null) return
  const folder = makeTemporary()
  const listen = "127.0.0.1:17381"
  const vkey = await startWitness(programs, folder, listen)
  const witness = parseCosignerVkey(vkey)!
  const add = (origin: string, key: string): void => {
    for (const args of [["add-log"], ["add-key", "-key", key]])
      execFileSync(
        join(programs, "witnessctl"),
        [args[0]!, "-db", join(folder, "db"), "-origin", origin, ...args.slice(1)],
        {
          stdio: "pipe",
        },
      )
  }

  // The real sealer, twice: from nothing, and by a proof.
  const data = await makeFolder()
  const [, origin, logVkey] = /^log\s+(\S+)\nvkey\s+(\S+)/m.exec(
    await run(["log", "init", "--origin", "lite.example/log", "--data", data]),
  )!
  add(origin!, logVkey!)
  const policy = join(folder, "policy")
  writeFileSync(policy, `log ${logVkey}\nwitness lite ${vkey} http://${listen}\nquorum lite\n`)
  const up = await RunningUp.start(data)
  for (const seed of ["1", "2"]) {
    await run(["simulate", "--data", data, "--devices", "3", "--statements", "20", "--seed", seed])
    expect(await run(["seal", "--data", data, "--witnesses", policy])).toContain("witnessed")
    const published = parseNote(await (await fetch(`${up.http}/log/checkpoint`)).text())!
    expect(checkCosignature(published, witness).kind).toBe("good")
  }
  await up.end("SIGTERM")

  // A log that forgets, at each place of its rules.
  const log = new GrowingLog("lite.example/forgetful").growTo(9)
  add(log.origin, formatVkey(log.noteKey))
  const ask = async (body: string) => {
    const response = await fetch(`http://${listen}/add-checkpoint`, { method: "POST", body })
    return { status: response.status, text: await response.text() }
  }
  const cosigned = await ask(log.request(0))
  expect(cosigned.status).toBe(200)
  const signatures = parseSignatures(cosigned.text)!
  expect(checkCosignature({ text: log.note().text, signatures }, witness).kind).toBe("good")
  expect((await ask(log.growTo(21).request(9))).status).toBe(200)
  log.forgetTo(6).growTo(21, "second")
  expect(await ask(log.request(6))).toMatchObject({ status: 409, text: "21\n" })
  expect((await ask(log.growTo(30, "second").request(21))).status).toBe(422)
})
