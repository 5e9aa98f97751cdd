import { execFile } from "node:child_process"
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, expect, test } from "vitest"
import { makeCertificate, makeServerCertificate } from "../broker/certificate.ts"
import { RunningUp, makeFolder, parseLines, removeFolders, tidemark } from "../cli/command.ts"
import { repository } from "../cli/program.ts"
import { type Peer, RunningPeer, peers, writeKey } from "./peer.ts"

const readings = Array.from({ length: 30 }, (_, index) => 60 + index)
const origin = "peers.example/log"
const ca = makeCertificate({ commonName: "A CA of our own", isCa: true })
const server = makeServerCertificate({ issuer: ca })
let data: string
let files: string
/** How \`up\` listens with TLS too; the ports besides. */
let secured: readonly string[]
let up: RunningUp
let port: string

beforeAll(async () => {
  data = await makeFolder()
  files = dirname(data)
  const pems = { "ca.pem": ca.pem, "server.pem": server.pem, "server.key": server.keyPem }
  for (const [name, pem] of Object.entries(pems)) writeFileSync(join(files, name), pem, { mode: 0o600 })
  const pair = ["--tls-cert", join(files, "server.pem"), "--tls-key", join(files, "server.key")]
  secured = ["--mqtts", "0", ...pair, "--logins", "optional"]
  up = await RunningUp.start(data, ["--origin", origin, ...secured])
  port = String(up.mqtt)
})
afterAll(removeFolders)

/** Resolves once the service that runs has stored so many readings since it began. */
async function storedHere(count: number): Promise<void> {
  for (;;) {
    const text = await (await fetch(`${up.http}/metrics`)).text()
    if (Number(/^tidemark_readings_stored_total (\d+)/m.exec(text)?.[1]) >= count) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

async function readBack(id: string): Promise<number[]> {
  const { stdout } = await tidemark(["readings", "--device", id, "--format", "ndjson", "--data", data])
  return parseLines(stdout).map(({ value }) => Number(value))
}

test.each(peers.map((peer, index) => [peer.name, `peer${index}`, peer] as const))(
  "a device in %s loses nothing and says nothing twice while the service is away in the middle",
  async (_name, id, peer: Peer) => {
    const command = prepare(peer)
    if (command === null) return
    const key = join(dirname(data), `${id}.pem`)
    writeKey(key, peer.curve)
    expect((await tidemark(["device", "enroll", id, "--key", key, "--data", data])).code).toBe(0)

    const before = await readCount()
    const device = new RunningPeer(command, [id, key, join(dirname(data), `${id}.outbox`), "127.0.0.1", port])
    try {
      device.tell(readings.slice(0, 10))
      await storedHere(before + 10)
      await up.end("SIGTERM")
      device.tell(readings.slice(10, 20))
      up = await RunningUp.start(data, ["--mqtt", port, ...secured])
      device.tell(readings.slice(20))
      expect([await device.finish(), device.said]).toEqual([0, expect.any(String)])
    } finally {
      device.kill()
    }
    expect(await readBack(id)).toEqual(readings)
    const shown = await tidemark(["device", "show", id, "--json", "--data", data])
    expect(JSON.parse(shown.stdout)).toMatchObject({ refused: {}, forksAtSeq: [] })
    expect((await tidemark(["seal", "--data", data])).code).toBe(0)
    expect(await tidemark(["verify", "--data", data])).toMatchObject({ code: 0 })
  },
)

const loggingIn = peers.filter(({ name }) => name !== "shell")

test.each(loggingIn.map((peer, index) => [peer.name, `login${index}`, peer] as const))(
  "field D2: a device in %s logs in over TLS of a CA of its own by JWT and by token, and says why it is refused",
  async (_name, id, peer) => {
    const command = prepare(peer)
    if (command === null) return
    const key = join(files, `${id}.pem`)
    writeKey(key, peer.curve)
    expect((await tidemark(["device", "enroll", id, "--key", key, "--data", data])).code).toBe(0)
    const made = await tidemark(["device", "token", "create", id, "--expires", "9d", "--data", data])
    const mqtts = String((await up.waitFor("ready"))["mqtts"]).split(":")[1]!
    const args = [id, key, join(files, `${id}-outbox`), "localhost", mqtts]
    const secure = { TIDEMARK_CA: join(files, "ca.pem") }

    for (const [index, login] of [
      { TIDEMARK_ORIGIN: origin },
      { TIDEMARK_TOKEN: made.stdout.trim() },
    ].entries()) {
      const device = new RunningPeer(command, args, { ...secure, ...login })
      device.tell([70 + index])
      expect([await device.finish(), device.said]).toEqual([0, ""])
    }
    expect(await readBack(id)).toEqual([70, 71])

    for (const [env, words] of [
      [{ ...secure, TIDEMARK_ORIGIN: "another.example/log" }, /not authori[sz]ed.*showed a JWT/i],
      [{ ...secure, TIDEMARK_TOKEN: "tmt_wrong" }, /not authori[sz]ed.*showed a token/i],
      [{ TIDEMARK_CA: "system", TIDEMARK_ORIGIN: origin }, /certificate verify failed/i],
      [{}, /TIDEMARK_CA turns TLS on/],
    ] as const) {
      const device = new RunningPeer(command, args, env)
      try {
        await device.saying(words)
      } finally {
        device.kill()
      }
    }
    const lone = join(files, `${id}-lone.pem`)
    writeKey(lone, peer.curve)
    const stranger = new RunningPeer(command, [`${id}-lone`, lone, `${lone}-outbox`, "localhost", port])
    await stranger.saying(/unknown key: the device is not enrolled/)
    stranger.kill()
  },
)

test.each(peers.map((peer, index) => [peer.name, `mix${index}`, peer] as const))(
  "field D9: a device in %s says that its outbox is a file, or another program's folder",
  async (_name, id, peer) => {
    const command = prepare(peer)
    if (command === null) return
    const key = join(files, `${id}.pem`)
    writeKey(key, peer.curve)
    const file = join(files, `${id}.outbox`)
    const folder = join(files, `${id}-other`)
    writeFileSync(file, "tidemark outbox 1 k7\n")
    mkdirSync(folder)
    // The head of the devices in Python and shell is a line, that of the device in C 40 bytes.
    writeFileSync(join(folder, "head"), peer.name === "C" ? `3 ${"0".repeat(64)}` : new Uint8Array(40))
    for (const [outbox, words] of [
      [file, /folder.*kit in Node|kit in Node keeps a file/],
      [folder, /give (it|this one) a folder of its own/],
    ] as const) {
      const device = new RunningPeer(command, [id, key, outbox, "127.0.0.1", port])
      expect([await device.finish(), device.said]).toEqual([1, expect.stringMatching(words)])
    }
  },
)

test.each(peers.map((peer, index) => [peer.name, `bound${index}`, peer] as const))(
  "field S5: a device in %s begins at its genesis in the log that it was told, and signs nothing for another",
  async (_name, id, peer) => {
    const command = prepare(peer)
    if (command === null) return
    const key = join(files, `${id}.pem`)
    writeKey(key, peer.curve)
    expect((await tidemark(["device", "enroll", id, "--key", key, "--data", data])).code).toBe(0)
    const policy = await (await fetch(`${up.http}/log/policy`)).text()
    const vkey = /^log (\S+)/m.exec(policy)![1]!
    const run = (outbox: string, log: string, reading = 61): RunningPeer => {
      const args = [id, key, join(files, `${id}-${outbox}`), "127.0.0.1", port]
      const device = new RunningPeer(command, args, { TIDEMARK_LOG: log })
      device.tell([reading])
      return device
    }
    const misled = run("misled", vkey.replace(/^[^+]+/, "other.example/log"))
    try {
      await misled.saying(/another log answers/)
    } finally {
      misled.kill()
    }
    const shown = await tidemark(["device", "show", id, "--json", "--data", data])
    expect(JSON.parse(shown.stdout)).toMatchObject({ refused: {}, head: { seq: 0 } })
    const device = run("bound", vkey)
    expect([await device.finish(), device.said]).toEqual([0, ""])
    expect(await readBack(id)).toEqual([61])
    // A head that is further on than all that this outbox has signed could be another log's.
    expect(await run("later", vkey, 62).finish()).toBe(0)
    const passed = run("bound", vkey, 63)
    try {
      await passed.saying(/another log answers, or .* is an old copy/)
    } finally {
      passed.kill()
    }
  },
)

/** The commands of the guide's first section, as a maker pastes them into a terminal in the clone. */
test("field D6: the guide's way to a first receipt works as it stands", async () => {
  if (prepare(peers.find(({ name }) => name === "shell")!) === null) return
  const guide = readFileSync(join(repository, "examples", "devices", "README.md"), "utf8")
  const [, commands] = /^## A first receipt\n[^]*?^```\n([^]*?)^```$/m.exec(guide)!
  // The stock clients' defaults: another port than 1883.
  const home = join(files, "maker")
  mkdirSync(join(home, ".config"), { recursive: true })
  for (const client of ["mosquitto_pub", "mosquitto_sub"])
    writeFileSync(join(home, ".config", client), `-p ${port}\n`)
  const script = [
    "set -euo pipefail; shopt -s expand_aliases",
    commands!.replace("$PWD/dist", `${repository}/dist`),
  ].join("\n")
  // `tidemark` works on ./data.
  const folder = join(files, "maker-at-work")
  mkdirSync(folder)
  symlinkSync(data, join(folder, "data"))
  const env = { ...process.env, HOME: home, XDG_CONFIG_HOME: join(home, ".config") }
  const { stdout } = await promisify(execFile)("bash", ["-c", script], { cwd: folder, env })
  expect(stdout).toMatch(/^stored$/m)
  expect(stdout).toMatch(/code: 0, head/)
  expect(await readBack("k7")).toEqual([72])
})

async function readCount(): Promise<number> {
  const text = await (await fetch(`${up.http}/metrics`)).text()
  return Number(/^tidemark_readings_stored_total (\d+)/m.exec(text)?.[1])
}

/** Null where this machine lacks what it takes, which is said; in CI that is a failure. */
function prepare(peer: Peer): readonly string[] | null {
  try {
    return peer.prepare()
  } catch (error) {
    if (process.env["CI"] !== undefined) throw error
    process.stderr.write(`skipped: ${peer.name}: ${(error as Error).message}\n`)
    return null
  }
}
