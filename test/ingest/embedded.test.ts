import { execFile, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmdirSync } from "node:fs"
import {
  chmod,
  chown,
  copyFile,
  mkdir,
  open as openFile,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { promisify } from "node:util"
import { Client } from "pg"
import { afterAll, expect, onTestFinished, test, vi } from "vitest"
import { listProcesses, readProcess } from "../../ingest/database/embedded/processes.ts"
import {
  keep,
  listFolder,
  makeFolder,
  makeFolderWithDatabase,
  removeTemplate,
  open,
  openForTest,
  processesIn,
  query,
  readKept,
} from "./embedded-folder.ts"
import { HolderProcess } from "./embedded-holder.ts"

const isRoot = process.geteuid?.() === 0
const canMount = isRoot && tryMount()

afterAll(removeTemplate)

test("a first start makes a cluster, and closing it leaves nothing running and no socket", async () => {
  const folder = await makeFolder()
  const database = await open(folder)
  expect([database.attached, database.adopted]).toEqual([false, false])
  const settings = await query(
    database.url,
    `select current_database() as database, current_setting('server_encoding') as encoding,
            (select datcollate from pg_database where datname = 'tidemark') as collation,
            current_setting('fsync') || current_setting('full_page_writes') || current_setting('synchronous_commit')
              as durable,
            current_setting('listen_addresses') as address, current_setting('jit') as jit,
            (select rolpassword ^@ 'SCRAM-SHA-256$' from pg_authid where rolname = 'tidemark') as scram`,
  )
  expect(settings).toEqual([
    {
      database: "tidemark",
      encoding: "UTF8",
      collation: "C",
      durable: "ononon",
      address: "127.0.0.1",
      jit: "off",
      scram: true,
    },
  ])
  expect((await stat(join(folder, "postgres", "password"))).mode & 0o777).toBe(0o600)
  expect((await stat(join(folder, "postgres", "socket"))).mode & 0o777).toBe(0o700)
  expect(await listFolder(join(folder, "postgres", "socket"))).toHaveLength(2)
  await keep(database.url, "first")
  await database.close()
  await database.close()
  expect(processesIn(folder)).toEqual([])
  expect(await listFolder(folder)).toEqual(["postgres", "postgres.json"])
  expect(await listFolder(join(folder, "postgres", "socket"))).toEqual([])
  expect(await listFolder(join(folder, "postgres", "cluster"))).not.toContain("postmaster.pid")

  const again = await openForTest(folder)
  expect(await readKept(again.url)).toEqual(["first"])
})

test("nobody comes in without the password, over TCP or the socket", async () => {
  const folder = await makeFolderWithDatabase()
  const { url } = await openForTest(folder)
  const wrong = new URL(url)
  wrong.password = "guessed"
  await expect(query(wrong.href, "select 1")).rejects.toMatchObject({ code: "28P01" })
  const { port } = new URL(url)
  const socket = new Client({
    host: join(folder, "postgres", "socket"),
    port: Number(port),
    user: "tidemark",
    password: "guessed",
  })
  await expect(socket.connect()).rejects.toMatchObject({ code: "28P01" })
  const log = await readFile(join(folder, "postgres", "log"), "utf8")
  expect(log).toContain("ready to accept connections")
  expect(log).not.toContain(new URL(url).password)
})

test("the log of the server holds no value of a statement that failed", async () => {
  const folder = await makeFolderWithDatabase()
  const { url } = await openForTest(folder)
  await query(url, "create table readings (value int primary key)")
  await query(url, "insert into readings values (7654321)")
  await expect(query(url, "insert into readings values (7654321)")).rejects.toMatchObject({ code: "23505" })
  const log = await readFile(join(folder, "postgres", "log"), "utf8")
  expect(log).toContain("duplicate key")
  expect(log).not.toContain("7654321")
})

test("a second command attaches, and the last to close stops the server", async () => {
  const folder = await makeFolderWithDatabase()
  const first = new HolderProcess(folder)
  const { pid } = await first.opened()
  const second = await open(folder)
  expect([second.attached, second.adopted, second.pid]).toEqual([true, false, pid])
  await first.close()
  await keep(second.url, "still there")
  const third = await open(folder, { create: false })
  await Promise.all([second.close(), third.close()])
  expect(processesIn(folder)).toEqual([])
})

test("after kill -9 of its starter and its whole group the server lives on, and is adopted with all that it has", async () => {
  const folder = await makeFolderWithDatabase()
  const starter = new HolderProcess(folder)
  const { url, pid } = await starter.opened()
  await keep(url, "committed")
  await starter.kill()
  const adopter = await open(folder, { create: false })
  expect([adopter.attached, adopter.adopted, adopter.pid]).toEqual([false, true, pid])
  expect(await readKept(adopter.url)).toEqual(["committed"])
  await adopter.close()
  expect(processesIn(folder)).toEqual([])
})

test("after kill -9 of a holder the other one is the last, and stops the server", async () => {
  const folder = await makeFolderWithDatabase()
  const kept = await open(folder)
  const killed = new HolderProcess(folder)
  expect((await killed.opened()).attached).toBe(true)
  await killed.kill()
  await kept.close()
  expect(processesIn(folder)).toEqual([])
})

test("after kill -9 of the server a stopped backend is ended, and the next start has all that was committed", async () => {
  const folder = await makeFolderWithDatabase()
  const starter = new HolderProcess(folder)
  const { url, pid } = await starter.opened()
  await keep(url, "committed")
  const session = new Client({ connectionString: url })
  session.on("error", () => undefined)
  await session.connect()
  onTestFinished(() => session.end().catch(() => undefined))
  const { rows } = await session.query<{ pid: number }>("select pg_backend_pid() as pid")
  const backend = rows[0]?.pid ?? 0
  // Nobody is left to start the server again but us.
  await starter.kill()
  process.kill(backend, "SIGSTOP")
  process.kill(pid, "SIGKILL")
  await vi.waitFor(() => expect(processesIn(folder)).toEqual([backend]), 10_000)

  const next = await openForTest(folder)
  expect([next.attached, next.adopted]).toEqual([false, false])
  expect(readProcess(backend)).toBeUndefined()
  expect(await readKept(next.url)).toEqual(["committed"])
})

test("a server that is killed under its holders is started again, on the same port, by one of them", async () => {
  const folder = await makeFolderWithDatabase()
  const [first, second] = [await openForTest(folder), new HolderProcess(folder)]
  await second.opened()
  const { url, pid } = first
  await keep(url, "committed")
  process.kill(pid, "SIGKILL")
  await vi.waitFor(async () => expect(await readKept(url)).toEqual(["committed"]), 20_000)
  await vi.waitFor(() => expect(first.pid).not.toBe(pid), 20_000)
  expect(first.url).toBe(url)
  await first.close()
  await vi.waitFor(async () => expect(await readKept(url)).toEqual(["committed"]), 20_000)
  await second.close()
  expect(processesIn(folder)).toEqual([])
})

test("a killed initdb leaves nothing that looks done, and the next start throws it away", async () => {
  const folder = await makeFolder()
  const starter = new HolderProcess(folder)
  await vi.waitFor(
    async () => {
      const [making] = (await listFolder(folder)).filter((name) => name.includes(".making-"))
      await stat(join(folder, making ?? "", "cluster", "PG_VERSION"))
    },
    { timeout: 20_000, interval: 5 },
  )
  // Its starter only: initdb itself lives on for a moment.
  starter.child.kill("SIGKILL")
  await once(starter.child, "exit")
  expect(await listFolder(folder)).toEqual([expect.stringMatching(/^postgres\.making-/)])
  const database = await openForTest(folder)
  await keep(database.url, "clean")
  expect(await listFolder(folder)).toEqual(["postgres", "postgres.json"])
})

test("a start that was killed between the cluster and its record is carried on", async () => {
  const folder = await makeFolderWithDatabase()
  const first = await open(folder)
  await keep(first.url, "kept")
  await first.close()
  await rm(join(folder, "postgres.json"))
  const second = await openForTest(folder)
  expect(await readKept(second.url)).toEqual(["kept"])
  expect(await listFolder(folder)).toEqual(["postgres", "postgres.json"])
})

test("a stale or broken pid file does not block a start", async () => {
  const folder = await makeFolderWithDatabase()
  const { cluster, uid, gid } = await describeCluster(folder)
  // Another program of the same account, which was given the dead server's number.
  const other = spawn("sleep", ["600"], { uid, gid, stdio: "ignore" })
  await once(other, "spawn")
  onTestFinished(() => void other.kill())
  const pidFiles = [
    `${other.pid}\n${cluster}\n1700000000\n5432\n${join(folder, "postgres", "socket")}\n127.0.0.1\n  1234567         1\nready   \n`,
    `${other.pid}\n${cluster}\n`,
    "",
  ]
  for (const text of pidFiles) {
    await writeFile(join(cluster, "postmaster.pid"), text)
    await chown(join(cluster, "postmaster.pid"), uid, gid)
    const database = await open(folder)
    expect(await query(database.url, "select 1 as one")).toEqual([{ one: 1 }])
    expect([database.attached, database.adopted]).toEqual([false, false])
    await database.close()
  }
  expect(readProcess(other.pid ?? 0)).toBeDefined()
})

test("a copied folder does not attach to the server of its original", async () => {
  const [folder, copy] = [await makeFolderWithDatabase(), await makeFolderWithDatabase()]
  const original = await openForTest(folder)
  await keep(original.url, "original")
  // As if it had been copied while the server ran.
  const pidFile = join("postgres", "cluster", "postmaster.pid")
  await copyFile(join(folder, pidFile), join(copy, pidFile))
  const { uid, gid } = await describeCluster(copy)
  await chown(join(copy, pidFile), uid, gid)
  const other = await openForTest(copy)
  expect(other.attached || other.adopted).toBe(false)
  expect(other.pid).not.toBe(original.pid)
  await keep(other.url, "copy")
  expect(await readKept(original.url)).toEqual(["original"])
})

test("two first starts at the same moment end with one server and both connected", async () => {
  const folder = await makeFolder()
  const holders = [1, 2, 3].map(() => new HolderProcess(folder))
  const opened = await Promise.all(holders.map((holder) => holder.opened()))
  expect(new Set(opened.map(({ pid }) => pid)).size).toBe(1)
  expect(opened.filter(({ attached }) => !attached)).toHaveLength(1)
  expect(opened.some(({ adopted }) => adopted)).toBe(false)
  await keep(opened[1]?.url ?? "", "one world")
  expect(await readKept(opened[2]?.url ?? "")).toEqual(["one world"])
  expect(await listFolder(folder)).toEqual(["postgres", "postgres.json"])
  await Promise.all(holders.map((holder) => holder.close()))
  expect(processesIn(folder)).toEqual([])
})

test("opening and closing at once, over and over, never leaves a server behind or a caller without one", async () => {
  const folder = await makeFolderWithDatabase()
  const round = async (count: number): Promise<void> => {
    for (let index = 0; index < count; index++) {
      const database = await open(folder)
      expect(await query(database.url, "select 1 as one")).toEqual([{ one: 1 }])
      await database.close()
    }
  }
  await Promise.all([round(4), round(4), round(4)])
  expect(processesIn(folder)).toEqual([])
})

test("where a path is too long for a socket, the socket gets a short one, and it goes with the server", async () => {
  const folder = join(await makeFolder(), "x".repeat(60), "y".repeat(60))
  const before = await listFolder(tmpdir())
  const database = await open(folder)
  const [row] = await query(database.url, "show unix_socket_directories")
  const socket = String(row?.["unix_socket_directories"])
  expect(dirname(socket)).toBe(tmpdir())
  expect((await stat(socket)).mode & 0o777).toBe(0o700)
  await database.close()
  expect((await listFolder(tmpdir())).filter((name) => /^tidemark-\w{6}$/.test(name))).toEqual(
    before.filter((name) => /^tidemark-\w{6}$/.test(name)),
  )
})

test("where no database is, none is made for who only looks", async () => {
  const folder = await makeFolder()
  await expect(open(folder, { create: false })).rejects.toMatchObject({ kind: "absent" })
  await expect(open(join(folder, "nowhere"), { create: false })).rejects.toMatchObject({ kind: "absent" })
  expect(await listFolder(folder)).toEqual([])
})

test("a folder of somebody else is left as it is", async () => {
  const folder = await makeFolder()
  await mkdir(join(folder, "postgres"))
  await writeFile(join(folder, "postgres", "PG_VERSION"), "18\n")
  await expect(open(folder)).rejects.toMatchObject({
    kind: "foreign",
    message: expect.stringContaining("Move it away"),
  })
  expect(await listFolder(join(folder, "postgres"))).toEqual(["PG_VERSION"])
})

test("a damaged or foreign cluster is named, with what to do, and nothing new is made in its place", async () => {
  const [folder, otherFolder] = [await makeFolderWithDatabase(), await makeFolder()]
  await (await open(otherFolder)).close()
  const home = join(folder, "postgres")
  const { cluster } = await describeCluster(folder)
  const fails = (kind: string, says: string) =>
    expect(open(folder)).rejects.toMatchObject({ kind, message: expect.stringContaining(says) })

  const version = join(cluster, "PG_VERSION")
  await writeFile(version, "17\n")
  await fails("foreign", "made by Postgres 17")
  await writeFile(version, "banana\n")
  await fails("corrupt", "PG_VERSION")
  await rm(version)
  await fails("corrupt", "PG_VERSION is missing")
  await writeFile(version, "18\n", { mode: 0o644 })

  const control = join(cluster, "global", "pg_control")
  await flipByte(control, 100)
  await fails("corrupt", "incorrect checksum in control file")
  await flipByte(control, 100)
  await rename(control, `${control}.away`)
  await fails("corrupt", "pg_control")
  await writeFile(control, "short")
  await fails("corrupt", "pg_control")
  await rename(`${control}.away`, control)

  const password = await readFile(join(home, "password"), "utf8")
  await writeFile(join(home, "password"), "another")
  await fails("foreign", "password")
  await rm(join(home, "password"))
  await fails("foreign", "password")
  await writeFile(join(home, "password"), password)

  await rename(home, `${home}.away`)
  await fails("missing", "is gone")
  await rename(join(otherFolder, "postgres"), home)
  await fails("foreign", "another data folder")
  await rename(home, join(otherFolder, "postgres"))
  await rename(`${home}.away`, home)

  await writeFile(join(folder, "postgres.json"), "{}")
  await fails("corrupt", "postgres.json")
  await rm(join(folder, "postgres.json"))

  // After all that it is as it was.
  const database = await openForTest(folder)
  expect(await query(database.url, "select 1 as one")).toEqual([{ one: 1 }])
})

test("a wrong password leaves no server running that was not there before", async () => {
  const folder = await makeFolderWithDatabase()
  await writeFile(join(folder, "postgres", "password"), "another")
  await expect(open(folder)).rejects.toMatchObject({ kind: "foreign" })
  expect(processesIn(folder)).toEqual([])
})

test.runIf(isRoot)(
  "as root, in a home that is closed to others, the database goes elsewhere and the data folder says where",
  async () => {
    const closed = await makeFolder()
    const elsewhere = join(await makeFolder(), "lib")
    await chmod(closed, 0o700)
    const folder = join(closed, "data")
    const database = await open(folder, { elsewhere })
    await keep(database.url, "elsewhere")
    const record = JSON.parse(await readFile(join(folder, "postgres.json"), "utf8")) as { folder: string }
    expect(dirname(record.folder)).toBe(elsewhere)
    expect((await stat(closed)).mode & 0o777).toBe(0o700)
    const [row] = await query(database.url, "show data_directory")
    expect(row?.["data_directory"]).toBe(join(record.folder, "cluster"))
    await database.close()

    // The data folder moves, and still finds it.
    await rename(folder, join(closed, "moved"))
    const moved = await open(join(closed, "moved"), { create: false })
    expect(await readKept(moved.url)).toEqual(["elsewhere"])
    await moved.close()
    expect(processesIn(elsewhere)).toEqual([])

    await rename(record.folder, `${record.folder}.away`)
    await expect(open(join(closed, "moved"))).rejects.toMatchObject({ kind: "missing" })
  },
)

test.runIf(isRoot)(
  "as root, the server runs under an account of its own that owns nothing else",
  async () => {
    const folder = await makeFolder()
    await chmod(folder, 0o700)
    const database = await openForTest(folder)
    expect((await stat(`/proc/${database.pid}`)).uid).toBe(65529)
    expect((await stat(folder)).mode & 0o777).toBe(0o710)
    expect((await stat(join(folder, "postgres", "cluster"))).mode & 0o777).toBe(0o700)
  },
)

test.runIf(isRoot)("an ordinary user has a database too, and cannot open that of root", async () => {
  const uid = 65534
  const [own, roots] = [await makeFolder(), await makeFolderWithDatabase()]
  await chown(own, uid, uid)
  const holder = new HolderProcess(own, { uid })
  const { url, pid } = await holder.opened()
  expect((await stat(`/proc/${pid}`)).uid).toBe(uid)
  await keep(url, "mine")
  // Root may hold it as well, and leaves it to its user.
  const byRoot = await open(own)
  expect(byRoot.attached).toBe(true)
  await holder.close()
  await byRoot.close()
  const alone = await open(own)
  expect(await readKept(alone.url)).toEqual(["mine"])
  await alone.close()
  const again = new HolderProcess(own, { uid })
  await again.opened()
  await again.close()

  const refused = new HolderProcess(roots, { uid })
  expect(await refused.failed()).toMatchObject({
    fault: "account",
    message: expect.stringContaining("DATABASE_URL"),
  })
})

test.runIf(isRoot)("a data folder that is not writable is named", async () => {
  const holder = new HolderProcess(join(await makeFolder(), "data"), { uid: 65534 })
  expect(await holder.failed()).toMatchObject({
    fault: "disk",
    message: expect.stringContaining("permission denied"),
  })
})

test.runIf(canMount)(
  "a full or read-only disk is named, and what was kept is there when there is room again",
  async () => {
    const disk = await makeFolder()
    await promisify(execFile)("mount", ["-t", "tmpfs", "-o", "size=100m,mode=711", "tmpfs", disk])
    try {
      const folder = join(disk, "data")
      const first = await open(folder)
      await keep(first.url, "kept")
      await first.close()
      const disked = { kind: "disk", message: expect.stringContaining("Make room") }

      const fill = join(disk, "fill")
      await expect(writeFile(fill, new Uint8Array(100 * 1024 * 1024))).rejects.toMatchObject({
        code: "ENOSPC",
      })
      await expect(open(folder)).rejects.toMatchObject(disked)
      await expect(open(join(disk, "another"))).rejects.toMatchObject(disked)
      expect(processesIn(disk)).toEqual([])
      await rm(fill)

      await promisify(execFile)("mount", ["-o", "remount,ro", disk])
      await expect(open(folder)).rejects.toMatchObject(disked)
      await promisify(execFile)("mount", ["-o", "remount,rw", disk])

      const last = await open(folder)
      expect(await readKept(last.url)).toEqual(["kept"])
      await last.close()
    } finally {
      await promisify(execFile)("umount", ["-l", disk])
    }
  },
)

test("no process of a Postgres carries a password in its arguments", async () => {
  const folder = await makeFolderWithDatabase()
  const { url } = await openForTest(folder)
  const { password } = new URL(url)
  expect(password.length).toBeGreaterThan(40)
  expect(processesIn(folder).length).toBeGreaterThan(3)
  expect(listProcesses().filter(({ command }) => command.includes(password))).toEqual([])
})

async function describeCluster(folder: string): Promise<{ cluster: string; uid: number; gid: number }> {
  const cluster = join(folder, "postgres", "cluster")
  const { uid, gid } = await stat(cluster)
  return { cluster, uid, gid }
}

async function flipByte(path: string, at: number): Promise<void> {
  const file = await openFile(path, "r+")
  try {
    const byte = new Uint8Array(1)
    await file.read(byte, 0, 1, at)
    await file.write(Uint8Array.of((byte[0] ?? 0) ^ 0xff), 0, 1, at)
  } finally {
    await file.close()
  }
}

/** Root of a machine may mount a small disk; root of a container mostly may not. */
function tryMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), "tidemark-mount-"))
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]).status === 0
  if (mounted) spawnSync("umount", [folder])
  rmdirSync(folder)
  return mounted
}
