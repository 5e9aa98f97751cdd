import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { createServer, type AddressInfo } from "node:net"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { processesIn } from "../ingest/embedded-folder.ts"
import { killPostgres, makeFolder, parseLines, removeFolders, run, RunningUp, tidemark } from "./command.ts"
import { programArgs, programEnvironment, repository } from "./program.ts"

let data: string

beforeAll(async () => {
  data = await makeFolder()
})
afterAll(removeFolders)

test("up makes a log in an empty folder, says so, and stops without a trace at SIGTERM", async () => {
  const up = await RunningUp.start(data)
  expect(up.stderr).toMatch(/made a new log, tidemark\.invalid\/[0-9a-f]{8} \(name your own with --origin\)/)
  expect(up.stderr).toContain(`its keys are in ${data}/keys: keep a copy`)

  const running = JSON.parse(await readFile(join(data, "up.json"), "utf8")) as Record<string, unknown>
  expect(running).toMatchObject({ pid: up.pid, host: "127.0.0.1", mqtt: up.mqtt })
  expect(await (await fetch(`${up.http}/healthz`)).json()).toEqual({ status: "alive", pid: up.pid })
  expect(await (await fetch(`${up.http}/readyz`)).json()).toMatchObject({ status: "ready", troubles: [] })
  expect(await (await fetch(`${up.http}/metrics`)).text()).toContain("tidemark_")
  expect((await fetch(`${up.http}/else`)).status).toBe(404)

  const second = await tidemark(["up", "--data", data, "--mqtt", "0", "--http", "0"])
  expect(second).toMatchObject({ code: 1, stdout: "" })
  expect(second.stderr).toContain(
    `a service runs on ${data} already (process ${up.pid}, MQTT port ${up.mqtt})`,
  )
  expect((await fetch(`${up.http}/healthz`)).status).toBe(200)

  const { code, stdout, stderr } = await up.end("SIGTERM")
  expect({ code, stdout }).toEqual({ code: 0, stdout: "" })
  expect(stderr).toContain("stopped: everything acknowledged is on disk")
  expect(existsSync(join(data, "up.json"))).toBe(false)
  expect(processesIn(data)).toEqual([])
})

test("up seals by its schedule", async () => {
  const up = await RunningUp.start(data, ["--seal", "* * * * * *"])
  await up.waitFor("sealed")
  const { code } = await up.end("SIGINT")
  expect(code).toBe(0)
  const blocks = await tidemark(["blocks", "--json", "--data", data])
  expect(parseLines(blocks.stdout)[0]).toMatchObject({ height: 0, statements: 0, treeSize: 2 })
})

test.each([["--mqtt"], ["--http"]])(
  "a port of %s that is taken is named, and nothing stays behind",
  async (flag) => {
    const other = createServer().listen(0, "127.0.0.1")
    await new Promise((resolve) => other.once("listening", resolve))
    const { port } = other.address() as AddressInfo
    const ports = flag === "--mqtt" ? ["--http", "0"] : ["--mqtt", "0"]
    const { code, stdout, stderr } = await tidemark(["up", "--data", data, ...ports, flag, String(port)])
    other.close()
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
    expect(stderr).toContain(`port ${port} is taken by another program`)
    expect(stderr).toContain(flag)
    expect(existsSync(join(data, "up.json"))).toBe(false)
    expect(processesIn(data)).toEqual([])
  },
)

test("up listens on loopback only, as long as nobody has to log in", async () => {
  const { code, stderr } = await tidemark([
    "up",
    "--data",
    data,
    "--host",
    "0.0.0.0",
    "--mqtt",
    "0",
    "--http",
    "0",
  ])
  expect(code).toBe(2)
  expect(stderr).toContain("0.0.0.0")
  expect(stderr).toContain("loopback")
  expect(existsSync(join(data, "up.json"))).toBe(false)
})

test.each([
  [["--seal", "every hour"], '"every hour" is no schedule'],
  [["--mqtt", "70000"], "from 0 to 65535"],
  [["--mqtt", "mqtt"], "from 0 to 65535"],
  [["--origin", "not an origin"], "--origin not an origin"],
  [["--verbose"], "unknown option '--verbose'"],
  [["now"], "too many arguments"],
])("up %j is a usage fault", async (args, message) => {
  const { code, stdout, stderr } = await tidemark(["up", "--data", data, ...args])
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
  expect(stderr).toContain(message)
})

test("field S17: up refuses another name for the log that is there, and leaves no database running", async () => {
  const { code, stderr } = await tidemark(["up", "--data", data, "--origin", "example.org/other"])
  expect(code).toBe(1)
  expect(stderr).toMatch(/the log in .* is tidemark\.invalid\/[0-9a-f]{8}, not example\.org\/other/)
  // The refusal comes after the embedded database has started.
  expect(processesIn(data)).toEqual([])
})

test("a killed up is followed by the next one, which takes over its Postgres; what it left in up.json misleads nobody", async () => {
  const killed = await RunningUp.start(data)
  const [postmaster] = processesIn(data)
  expect((await killed.end("SIGKILL")).code).toBe(null)
  expect(existsSync(join(data, "up.json"))).toBe(true)
  expect(processesIn(data)).toContain(postmaster)

  const blocks = await tidemark(["blocks", "--json", "--data", data])
  expect(blocks.code).toBe(0)
  expect(parseLines(blocks.stdout).length).toBeGreaterThan(0)

  const next = await RunningUp.start(data)
  expect(JSON.parse(await readFile(join(data, "up.json"), "utf8"))).toMatchObject({ pid: next.pid })
  expect((await next.end("SIGTERM")).code).toBe(0)
  expect(processesIn(data)).toEqual([])
})

test("a killed up whose Postgres was killed too comes back", async () => {
  const killed = await RunningUp.start(data)
  await killed.end("SIGKILL")
  killPostgres(data)
  const next = await RunningUp.start(data)
  expect((await next.end("SIGTERM")).code).toBe(0)
})

test("field S17: the embedded database does not read what the shell says of its own Postgres", async () => {
  const shell = {
    PGSSLMODE: "require",
    PGSSLNEGOTIATION: "direct",
    PGOPTIONS: "-c no_such_setting=1",
    PGUSER: "nobody",
    PGCLIENT_ENCODING: "LATIN1",
  }
  const up = await RunningUp.start(data, [], { env: shell })
  expect((await fetch(`${up.http}/readyz`)).status).toBe(200)
  expect((await up.end("SIGTERM")).code).toBe(0)
  expect(processesIn(data)).toEqual([])
})

test("field S20: npm start drains and stops when npm is told to end", async () => {
  const npm = spawn("npm", ["start", "--", "--data", data, "--mqtt", "0", "--http", "0"], {
    cwd: repository,
    env: programEnvironment(),
    stdio: ["ignore", "ignore", "pipe"],
  })
  let said = ""
  const isReady = new Promise<void>((resolve, reject) => {
    npm.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text
      if (/"msg":"ready"/.test(said)) resolve()
    })
    npm.on("close", () => reject(new Error(`npm start ended: ${said}`)))
  })
  await isReady
  // The options after -- reached the service.
  expect(JSON.parse(await readFile(join(data, "up.json"), "utf8"))).toHaveProperty("pid")
  npm.kill("SIGTERM")
  expect((await once(npm, "close"))[0]).toBe(0)
  expect(said).toContain("stopped: everything acknowledged is on disk")
  expect(processesIn(data)).toEqual([])
  expect(existsSync(join(data, "up.json"))).toBe(false)
})

test("field D11: a reader that has gone is no failure, and what a command does is done to its end", async () => {
  const end = async (args: readonly string[]): Promise<{ code: unknown; stderr: string }> => {
    const child = spawn(process.execPath, [...programArgs, ...args, "--data", data], {
      env: programEnvironment(),
      stdio: ["ignore", "pipe", "pipe"],
    })
    child.stdout.destroy()
    let stderr = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
    const [code] = (await once(child, "close")) as [unknown]
    return { code, stderr }
  }
  const before = (await run(["blocks", "--json", "--data", data])).trim().split("\n").length
  expect(await end(["seal"])).toMatchObject({ code: 0 })
  for (const args of [["device", "list"], ["blocks"], ["blocks", "--json"], ["query"]]) {
    const { code, stderr } = await end(args)
    expect({ args, code }).toEqual({ args, code: 0 })
    expect(stderr).not.toMatch(/EPIPE|^\s+at /m)
  }
  expect(processesIn(data)).toEqual([])
  expect((await run(["blocks", "--json", "--data", data])).trim().split("\n").length).toBeGreaterThanOrEqual(
    before,
  )
})
