/** A pooler between the service and its database: PgBouncer (pgbouncer.org) in transaction mode, as Debian has it. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdir, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"
import { Client } from "pg"
import { afterAll, beforeAll, expect, it } from "vitest"
import { type EmbeddedDatabase, openEmbedded } from "../../ingest/database/embedded.ts"
import { RunningUp, makeFolder, removeFolders, run, tidemark } from "../cli/command.ts"

let database: EmbeddedDatabase
let pooled: string
let pooler: ReturnType<typeof spawn> | undefined

async function findPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, "close")
  return port
}

/** Throws, and says what is missing, where this machine has none. */
async function startPooler(url: string): Promise<string> {
  const { username, password, hostname, port, pathname } = new URL(url)
  const folder = await makeFolder()
  await mkdir(folder, { recursive: true, mode: 0o755 })
  const listenPort = await findPort()
  const users = join(folder, "users")
  await writeFile(users, `"${username}" "${decodeURIComponent(password)}"\n`)
  const file = join(folder, "pgbouncer.ini")
  await writeFile(
    file,
    `[databases]
tidemark = host=${hostname} port=${port} dbname=${pathname.slice(1)}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${listenPort}
unix_socket_dir =
auth_type = md5
auth_file = ${users}
pool_mode = transaction
default_pool_size = 8
max_client_conn = 200
`,
  )
  // It does not run as root.
  const isRoot = process.getuid?.() === 0
  const started = spawn("pgbouncer", [...(isRoot ? ["-u", "nobody"] : []), file], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin` },
  })
  pooler = started
  let said = ""
  await new Promise<void>((resolve, reject) => {
    started.on("error", (error) =>
      reject(new Error("pgbouncer is missing on this machine", { cause: error })),
    )
    started.on("exit", () => reject(new Error(`pgbouncer ended: ${said}`)))
    started.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text
      if (said.includes("process up")) resolve()
    })
  })
  const through = new URL(url)
  through.host = `127.0.0.1:${listenPort}`
  through.pathname = "/tidemark"
  return through.href
}

beforeAll(async () => {
  database = await openEmbedded({ dataFolder: await makeFolder(), create: true, say: () => {} })
  pooled = await startPooler(database.url)
})

afterAll(async () => {
  pooler?.removeAllListeners("exit").kill()
  await database.close()
  await removeFolders()
})

async function onServer(sql: string): Promise<void> {
  const client = new Client({ connectionString: database.url })
  await client.connect()
  await client.query(sql)
  await client.end()
}

it("field S18: through PgBouncer in transaction mode all works, and the role's own settings have no effect (S3)", async () => {
  await onServer(`
    alter role current_user set synchronous_commit = off;
    alter role current_user set default_transaction_isolation = 'repeatable read';
    alter role current_user set default_transaction_read_only = on;
    alter role current_user set extra_float_digits = -15;
    alter role current_user set DateStyle = 'SQL, DMY';
    alter role current_user set idle_in_transaction_session_timeout = '1s'`)
  const env = { DATABASE_URL: `${pooled}?options=-c%20search_path%3Dpublic` }
  const data = await makeFolder()
  const at = ["--data", data]
  await run(["log", "init", "--origin", "example.org/pooled", ...at], { env })
  const up = await RunningUp.start(data, ["--seal", "* * * * *"], { env })
  const fleet = ["--devices", "6", "--statements", "30", "--readings", "4", "--json"]
  const simulating = run(["simulate", ...fleet, ...at], { env })
  for (let seals = 0; seals < 3; seals++) await run(["seal", ...at], { env })
  expect(JSON.parse(await simulating)).toMatchObject({ reconciles: true, all: { stored: 180 } })
  await run(["seal", ...at], { env })
  expect(await run(["verify", ...at], { env })).toContain("verify passed")
  const exported = await run(["log", "export", join(data, "files"), ...at], { env })
  expect(exported).toContain("holds the log of")
  const { findings } = JSON.parse((await tidemark(["doctor", "--json", ...at], { env })).stdout) as {
    findings: { name: string; value: string }[]
  }
  expect(findings).toContainEqual(
    expect.objectContaining({
      name: "session settings",
      value: expect.stringContaining("in each transaction"),
    }),
  )
  expect(findings).toContainEqual(
    expect.objectContaining({ name: "synchronous_commit", value: "on", grade: "fine" }),
  )
  const [device] = (await run(["device", "list", "--json", ...at], { env })).split("\n")
  const { device: id } = JSON.parse(device!) as { device: string }
  const readings = await run(["readings", "--device", id, "--format", "ndjson", ...at], { env })
  expect(readings.trim().split("\n").length).toBe(120)
  expect((await up.end("SIGTERM")).code).toBe(0)
})

it("field S18: nothing of ours stays behind in the pooler's sessions for others", async () => {
  const client = new Client({ connectionString: pooled })
  await client.connect()
  const { rows } = await client.query<{ value: string }>(
    "select distinct current_setting('synchronous_commit') as value from generate_series(1, 20)",
  )
  expect(rows).toEqual([{ value: "off" }])
  await client.end()
})
