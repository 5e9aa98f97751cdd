import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { afterEach, beforeEach, expect, test } from "vitest"
import { encodeEvidenceItem } from "../../chain/evidence.ts"
import { formatVkey } from "../../chain/note.ts"
import { type TlogPolicy, policyOfLog } from "../../chain/tlog-policy.ts"
import { formatTlogProof } from "../../chain/tlog-proof.ts"
import { Follower, type FollowerOptions } from "../../cli/follow-run.ts"
import { startFollowServer } from "../../cli/follow-server.ts"
import { Show } from "../../cli/follow-show.ts"
import { formatInspectedSplit, inspectSplit } from "../../cli/inspect-split.ts"
import { lockFolder } from "../../cli/folder-lock.ts"
import { LogServer, grow, growElsewhere, servedLog, servedVkey } from "../verify/log-server.ts"
import { strangerKey, vectorOrigin } from "../vectors/keys.ts"
import { tidemark } from "./command.ts"

const honest = grow(700)
const other = growElsewhere(700, 100)
let log: LogServer
let folder: string

beforeEach(async () => {
  log = await LogServer.open(honest, 300)
  folder = await mkdtemp(join(tmpdir(), "tidemark-follow-"))
})
afterEach(async () => {
  await log.close()
  await rm(folder, { recursive: true, force: true })
})

const open = (options: Partial<FollowerOptions> = {}): Promise<Follower> =>
  Follower.open({
    url: log.url,
    folder: join(folder, "copy"),
    trust: null,
    compare: [],
    growthMax: 10_000,
    nowMs: Date.now,
    limits: { timeoutMs: 5_000, waitsMs: [], wait: async () => {} },
    ...options,
  })
const passOf = async (options: Partial<FollowerOptions> = {}) => (await open(options)).pass()

test("tidemark follow copies a log; shown another history it exits 1, and tidemark verify checks the proof anywhere", async () => {
  const copy = join(folder, "copy")
  const follow = (...more: string[]) => tidemark(["follow", log.url, "--data", copy, "--once", ...more])
  const first = await follow()
  expect(first).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^copied 300 leaves; the log has 300 leaves, root /) as string,
  })
  expect(first.stderr).toContain(`following ${servedVkey} at ${log.url}`)
  expect(first.stderr).toContain("the log has named this key itself")
  log.published = other
  log.size = 500
  const second = await follow("--json")
  expect(second.code).toBe(1)
  expect(second.stderr).not.toContain("itself")
  const { kind, paths } = JSON.parse(second.stdout) as { kind: string; paths: string[] }
  expect([kind, paths.length]).toEqual(["split", 1])
  const checked = await tidemark(["verify", paths[0]!, "--log-key", servedVkey])
  const says = `the log ${vectorOrigin} has signed two histories`
  expect(checked).toMatchObject({ code: 0, stdout: expect.stringContaining(says) as string })
  const inspected = formatInspectedSplit(inspectSplit(await readFile(paths[0]!)))
  expect(inspected.join("\n")).toContain("300 leaves of tidemark.example/vectors")
})

test("a copy is shown as a log, which others can follow and be compared with", async () => {
  const follower = await open()
  const status = { isWell: true, said: { kind: "same" } }
  const server = await startFollowServer({
    mirror: follower.mirror,
    host: "127.0.0.1",
    port: 0,
    status: () => status,
  })
  const url = `http://127.0.0.1:${server.port}`
  const get = (path: string) => fetch(`${url}${path}`)
  try {
    expect((await get("/log/checkpoint")).status).toBe(404)
    await follower.pass()
    const note = await get("/log/checkpoint")
    expect([note.headers.get("cache-control"), await note.text()]).toEqual(["no-cache", log.note()])
    expect((await get("/log/tile/0/000")).headers.get("cache-control")).toContain("immutable")
    for (const path of [
      "/log/tile/0/002",
      "/log/log.vkey",
      "/log/%2e%2e/log.vkey",
      "/split-views/",
      "/log.vkey",
    ])
      expect((await get(path)).status).toBe(404)
    expect((await fetch(`${url}/log/checkpoint`, { method: "POST", body: "x" })).status).toBe(405)
    expect(await (await get("/healthz")).json()).toEqual({ kind: "same" })
    // Of the copy, with the key known another way.
    const trust = policyOfLog(servedLog)
    const second = { url, folder: join(folder, "second"), trust }
    expect((await passOf(second)).followed).toMatchObject({ kind: "grown", checkpoint: { size: 300 } })
    // The log shows this one another history than it has shown the first.
    log.published = other
    log.size = 400
    const victim = { folder: join(folder, "victim"), compare: [url] }
    const { followed, compared } = await passOf(victim)
    expect(followed.kind).toBe("grown")
    expect(compared).toMatchObject([{ where: url, followed: { kind: "split" } }])
    expect((await passOf(victim)).followed.kind).toBe("was-split")
    // And the first finds it when it looks again, and shows the proof.
    expect((await follower.pass()).followed.kind).toBe("split")
    status.isWell = false
    expect((await get("/healthz")).status).toBe(503)
    const [, path] = /(\/split-views\/\S+)/.exec(await (await get("/")).text())!
    expect(await (await get(path!)).text()).toMatch(/^tidemark\/split-view@v1\n/)
  } finally {
    await server.close()
  }
})

test("the checkpoint in a file is compared too, alone, in a proof or in evidence, and one that cannot be had is told", async () => {
  await passOf()
  const theirs = log.note(other.head(200))
  const proof = formatTlogProof({ extra: null, index: 0, path: [], checkpoint: theirs })
  const head = encodeEvidenceItem({
    kind: "head",
    origin: vectorOrigin,
    device: "k7",
    from: 0,
    to: 0,
    checkpoint: new TextEncoder().encode(theirs),
    blocksBefore: [],
  })
  const file = join(folder, "theirs")
  for (const content of [theirs, proof, head, gzipSync(head)]) {
    await writeFile(file, content)
    expect((await passOf({ compare: [file] })).compared).toMatchObject([{ followed: { kind: "split" } }])
    await rm(join(folder, "copy/split-views"), { recursive: true })
  }
  await writeFile(file, "something else")
  expect((await passOf({ compare: [file] })).compared).toMatchObject([{ followed: { kind: "fault" } }])
  await writeFile(file, head.subarray(0, 60))
  await expect(passOf({ compare: [file] })).rejects.toThrow(/is evidence without its head/)
  await writeFile(file, proof.slice(0, -1))
  await expect(passOf({ compare: [file] })).rejects.toThrow(/is no tlog-proof: line/)
  await expect(passOf({ compare: [join(folder, "none")] })).rejects.toThrow(/there is no such file/)
  const { compared } = await passOf({ compare: ["http://127.0.0.1:1"] })
  expect(compared).toMatchObject([{ followed: { kind: "away" } }])
})

test("a log is held to the key that its first follower took, whatever it says of itself later", async () => {
  const strange = { name: vectorOrigin, publicKey: strangerKey.publicKey }
  await passOf()
  expect((await readFile(join(folder, "copy/log.vkey"), "utf8")).trimEnd()).toBe(servedVkey)
  log.policy = `log ${formatVkey(strange)}\nquorum none\n`
  log.lie = (path, response) => path === "checkpoint" && (response.end(log.note({}, strangerKey)), true)
  expect((await passOf()).followed).toMatchObject({
    kind: "fault",
    rule: expect.stringContaining("is not signed by the key") as string,
  })
  await expect(open({ trust: policyOfLog(strange) })).rejects.toThrow(/which is not what you trust/)
})

test("a key that was mistyped is not kept, and of several logs the one that has signed is taken", async () => {
  const strange = { name: vectorOrigin, publicKey: strangerKey.publicKey }
  expect((await passOf({ trust: policyOfLog(strange) })).followed.kind).toBe("fault")
  const trust: TlogPolicy = { ...policyOfLog(strange), logs: [strange, servedLog] }
  const follower = await open({ trust })
  expect((await follower.pass()).followed.kind).toBe("grown")
  expect(follower.log).toEqual(servedLog)
})

test("a log that says nothing of its key must be named one, and an operator's own folder is not taken", async () => {
  log.policy = null
  await expect(open()).rejects.toThrow(/does not name its key/)
  log.policy = "quorum none\n"
  await expect(open()).rejects.toThrow(/does not name its key/)
  await mkdir(join(folder, "copy/keys"), { recursive: true })
  await expect(open()).rejects.toThrow(/is the folder of a log's operator/)
})

test("of two processes one has the folder, and what a killed one left is in nobody's way", async () => {
  const copy = join(folder, "copy")
  const release = await lockFolder(copy)
  await expect(lockFolder(copy)).rejects.toThrow(`process ${process.pid} works on ${copy} already`)
  await release()
  // No system gives such a number.
  await writeFile(join(copy, "folder.lock-999999999-1-0123456789ab-1"), "")
  await (
    await lockFolder(copy)
  )()
  await writeFile(join(folder, "file"), "")
  await expect(lockFolder(join(folder, "file"))).rejects.toThrow(/a file is in its way/)
})

test("what has changed is said, once, and a log that has not grown for too long is said to be stale", async () => {
  const said: string[] = []
  let nowMs = 1_795_000_000_000
  const show = new Show({
    isJson: false,
    isTimed: true,
    staleMs: 7_200_000,
    print: (line) => said.push(line),
    nowMs: () => nowMs,
  })
  const follower = await open({ nowMs: () => nowMs })
  const look = async (): Promise<string[]> => {
    said.length = 0
    show.pass(follower, await follower.pass())
    return said.map((line) => line.slice(0, 50))
  }
  expect(await look()).toEqual(["2026-11-18T11:06:40Z  copied 300 leaves; the log h"])
  expect(await look()).toEqual(["2026-11-18T11:06:40Z  nothing new; the log has 300"])
  nowMs += 7_199_999
  expect(await look()).toEqual([])
  expect(show.status.isWell).toBe(true)
  nowMs += 1
  expect((await look())[1]).toBe("2026-11-18T13:06:40Z  the log is stale: it has not")
  expect(show.status).toMatchObject({ isWell: false, said: { kind: "same", isStale: true } })
  log.size = 400
  expect(await look()).toHaveLength(1)
  expect(show.status.isWell).toBe(true)
  log.published = other
  expect((await look())[0]).toContain("THE LOG HAS SIGNED TWO HIST")
  expect(await look()).toEqual([])
  expect(show.status).toMatchObject({ isWell: false, said: { kind: "was-split" } })
})
