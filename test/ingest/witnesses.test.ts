import { randomBytes } from "node:crypto"
import { EventEmitter, once } from "node:events"
import type { IncomingMessage } from "node:http"
import { cp, mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Pool } from "pg"
import { afterAll, beforeAll, expect, test } from "vitest"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { checkCosignature, formatCosignerVkey, parseCosignerVkey } from "../../chain/cosignature.ts"
import { algorithmEd25519 } from "../../chain/key.ts"
import { formatVkey, parseNote } from "../../chain/note.ts"
import { parseTlogPolicy } from "../../chain/tlog-policy.ts"
import { parseAddCheckpoint } from "../../chain/tlog-witness.ts"
import { readTiles } from "../../cli/parts/witnesses.ts"
import { type CosignOutcome, cosignLast } from "../../ingest/cosign.ts"
import { readWitnessLag, storePlan } from "../../ingest/cosignatures.ts"
import { migrate } from "../../ingest/database/migration.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { initLog } from "../../ingest/log.ts"
import type { LogKeys } from "../../ingest/log-keys.ts"
import { LogRolledBack } from "../../ingest/publication.ts"
import { type SealOptions, seal } from "../../ingest/seal.ts"
import { Courier } from "../../ingest/witness-courier.ts"
import { type WitnessPlan, readWitnessPlan } from "../../ingest/witness-plan.ts"
import { testKey } from "../vectors/keys.ts"
import { type TestDatabase, openTestDatabase } from "./postgres.ts"
import { startServiceOn } from "./service-stand.ts"
import { testOrigin, untilTrue } from "./stand.ts"
import { ScriptedWitness, WitnessStand, planFor, reply } from "./witness-stand.ts"

/** A log of one block, and what its copies have in common: keys and data folder. */
let begun: { readonly name: string; readonly prepare: (url: string) => Promise<void> }
let begunFolder: string
let keys: LogKeys

beforeAll(async () => {
  begunFolder = await mkdtemp(join(tmpdir(), "tidemark-witnesses-"))
  begun = {
    name: `witnesses_${randomBytes(4).toString("hex")}`,
    prepare: async (url) => {
      const pool = openPool(url)
      await migrate(pool)
      keys = await initLog(pool, begunFolder, testOrigin)
      await seal({ pool, keys, dataFolder: begunFolder })
      await pool.end()
    },
  }
  await (await openTestDatabase({ template: begun })).close()
})
afterAll(() => rm(begunFolder, { recursive: true, force: true }))

interface LogStand {
  readonly pool: Pool
  readonly database: TestDatabase
  readonly dataFolder: string
  seal(options?: Partial<SealOptions>): Promise<number>
  /** `answerMsMax` is far above what an answer takes here, unless a test is about one that does not come. */
  cosign(plan: WitnessPlan, place?: number, answerMsMax?: number): Promise<CosignOutcome>
  close(): Promise<void>
}

async function openLog(): Promise<LogStand> {
  const database = await openTestDatabase({ template: begun })
  const pool = openPool(database.url, 6)
  const dataFolder = await mkdtemp(join(tmpdir(), "tidemark-witnesses-"))
  await cp(begunFolder, dataFolder, { recursive: true })
  return {
    pool,
    database,
    dataFolder,
    seal: async (options = {}) => {
      const result = await seal({ pool, keys, dataFolder, isEmptyAllowed: true, ...options })
      if (result.kind === "nothing") throw new Error(result.reason)
      return result.block.treeSize
    },
    cosign: (plan, place = 0, answerMsMax = 30_000) =>
      cosignLast(
        {
          pool,
          dataFolder,
          keys,
          tiles: readTiles(pool),
          nowMs: Date.now,
          limits: { answerMsMax },
        },
        plan.asked[place]!,
      ),
    close: async () => {
      await pool.end()
      await database.close()
      await rm(dataFolder, { recursive: true, force: true })
    },
  }
}

const readCheckpointFile = (folder: string): Promise<string> =>
  readFile(join(folder, "log", "checkpoint"), "utf8")

test("a block is sealed at once, and witnessed when the quorum has cosigned it or a later one", async () => {
  const log = await openLog()
  const [one, two] = [await WitnessStand.start("one", keys), await WitnessStand.start("two", keys)]
  const plan = planFor(keys, `${one.line}${two.line}group both all one two\nquorum both\n`)
  await storePlan(log.pool, plan)
  await two.stop()
  expect(await log.cosign(plan)).toEqual({ kind: "cosigned", height: 0, isWitnessed: false })
  expect(await log.cosign(plan)).toEqual({ kind: "current" })
  expect(await log.cosign(plan, 1)).toMatchObject({ kind: "unreachable", rule: "ECONNREFUSED" })
  for (let block = 1; block <= 3; block++) await log.seal()
  expect(await readWitnessLag(log.pool)).toMatchObject({ blocks: 4, height: -1 })
  // The second one comes back and has missed the first blocks; the first one knows them.
  await two.start()
  expect(await log.cosign(plan, 1)).toEqual({ kind: "cosigned", height: 3, isWitnessed: false })
  expect(await log.cosign(plan, 0)).toEqual({ kind: "cosigned", height: 3, isWitnessed: true })
  expect(await readWitnessLag(log.pool)).toEqual({ blocks: 0, sinceMs: null, height: 3 })
  const { rows } = await log.pool.query(
    "select witnessed_at(1) = witnessed_at(3) as same, witnessed_at(4) as none",
  )
  expect(rows).toEqual([{ same: true, none: null }])
  const published = parseNote(await readCheckpointFile(log.dataFolder))!
  for (const { vkey } of [one, two])
    expect(checkCosignature(published, parseCosignerVkey(vkey)!).kind).toBe("good")
  await Promise.all([log.close(), one.close(), two.close()])
})

test("a witness that knows another size is caught up with, and one whose record was lost begins anew", async () => {
  const log = await openLog()
  const witness = await WitnessStand.start("one", keys)
  const plan = planFor(keys, `${witness.line}quorum one\n`)
  await storePlan(log.pool, plan)
  await log.cosign(plan)
  await log.seal()
  await log.seal()
  // As a restored table would: what the witness has cosigned is not known here.
  await log.pool.query(
    "begin; set local session_replication_role = replica; delete from cosignatures; commit",
  )
  expect(await log.cosign(plan)).toMatchObject({ kind: "cosigned", height: 2 })
  await log.close()
  await witness.close()
})

const yearsAhead = 1_000_000_000

test("a hostile witness gives nothing that is kept, and takes nothing but its own time", async () => {
  const log = await openLog()
  const hostile = await ScriptedWitness.start()
  const plan = planFor(keys, `${hostile.line}quorum hostile\n`)
  await storePlan(log.pool, plan)
  const size = await log.seal()
  const nowS = Math.floor(Date.now() / 1000)
  const other = testKey(algorithmEd25519, "another witness")
  const conflict = { "content-type": "text/x.tlog.size" }
  let said = 0
  const cases: readonly (readonly [string, ScriptedWitness["answer"], CosignOutcome["kind"], RegExp])[] = [
    ["says nothing", () => {}, "unreachable", /no whole answer within 0.4 s/],
    [
      "stops in the middle",
      (_, response) => response.writeHead(200).write("— w"),
      "unreachable",
      /no whole answer/,
    ],
    ["hangs up", (request) => request.socket.destroy(), "unreachable", /./],
    ["never ends", (_, response) => flood(response), "nonsense", /larger than 32768 bytes/],
    [
      "redirects",
      (_, response) => reply(response, 307, "", { location: "http://127.0.0.1:1/" }),
      "refused",
      /307; redirects are not followed/,
    ],
    [
      "refuses with a page",
      (_, response) => reply(response, 500, `<html>\n\u001b[31m${"x".repeat(9_000)}`),
      "refused",
      /^it answers 500: <html> \[31mx{100,112}$/,
    ],
    ["answers with nothing", (_, response) => reply(response, 200, ""), "nonsense", /no signature lines/],
    [
      "answers with bytes",
      (_, response) => reply(response, 200, Uint8Array.of(0xff, 0xfe, 10)),
      "nonsense",
      /no signature lines/,
    ],
    [
      "says that it is 409 and no size",
      (_, response) => reply(response, 409, "many\n", conflict),
      "nonsense",
      /no size/,
    ],
    ["names a size as a page", (_, response) => reply(response, 409, "0\n"), "refused", /409: 0/],
    [
      "names another size each time",
      (_, response) => reply(response, 409, `${++said % 2}\n`, conflict),
      "nonsense",
      /another size each time/,
    ],
    [
      "claims to have seen more",
      (_, response) => reply(response, 409, `${size + 9}\n`, conflict),
      "disagrees",
      /has cosigned 12 leaves, and this log has 3/,
    ],
    ["claims a proof is wrong", (_, response) => reply(response, 422, ""), "disagrees", /refuses our proof/],
    [
      "signs with another key",
      (_, response) => reply(response, 200, hostile.cosign(nowS, other)),
      "nonsense",
      /no cosignature by the key/,
    ],
    [
      "signs another text",
      (_, response) => reply(response, 200, hostile.cosign(nowS).replace(/(.{8})=*\n$/, "AAAAAAAA\n")),
      "nonsense",
      /./,
    ],
    [
      "signs in the far future",
      (_, response) => reply(response, 200, hostile.cosign(nowS + yearsAhead)),
      "nonsense",
      /its clock is (999\d{6}|1000\d{6}) s ahead of ours/,
    ],
    [
      "signs in the past",
      (_, response) => reply(response, 200, hostile.cosign(1)),
      "nonsense",
      /behind ours/,
    ],
  ]
  for (const [what, answer, kind, rule] of cases) {
    hostile.answer = answer
    const outcome = await log.cosign(plan, 0, kind === "unreachable" ? 400 : 30_000)
    expect([what, outcome.kind]).toEqual([what, kind])
    expect("rule" in outcome ? outcome.rule : "").toMatch(rule)
  }
  const { rows } = await log.pool.query(
    "select (select count(*) from cosignatures) + (select count(*) from witnessed) as kept",
  )
  expect(rows).toEqual([{ kept: 0 }])
  // Every request was one that an honest witness would have taken or named its size for.
  for (const body of hostile.asked) expect(parseAddCheckpoint(encodeUtf8(body)).kind).toBe("request")
  hostile.answer = (_, response) => reply(response, 200, hostile.cosign(nowS))
  expect(await log.cosign(plan)).toMatchObject({ kind: "cosigned", isWitnessed: true })
  await log.close()
  await hostile.close()
})

function flood(response: Parameters<ScriptedWitness["answer"]>[1]): void {
  const piece = Buffer.alloc(16_384, "x")
  const write = (): void => {
    while (!response.destroyed && response.write(piece));
  }
  response.on("drain", write).writeHead(200)
  write()
}

test("sealing never waits on a witness: blocks are made while it is silent, and it is asked for the last one when it speaks", async () => {
  const log = await openLog()
  const hostile = await ScriptedWitness.start()
  const plan = planFor(keys, `${hostile.line}quorum hostile\n`)
  await storePlan(log.pool, plan)
  const moments = new EventEmitter()
  const [isAsked, isDone] = [once(moments, "asked"), once(moments, "cosigned 3")]
  hostile.answer = (request) => moments.emit("asked", request)
  const events: string[] = []
  const courier = new Courier({
    pool: log.pool,
    dataFolder: log.dataFolder,
    keys,
    tiles: readTiles(log.pool),
    nowMs: Date.now,
    random: () => 0,
    retryMs: 20,
    limits: { answerMsMax: 60_000 },
    witness: plan.asked[0]!,
    events: {
      failed: (_, { kind }) => events.push(kind),
      cosigned: (_, height) => {
        events.push(`cosigned ${height}`)
        moments.emit(`cosigned ${height}`)
      },
    },
  })
  const [held] = (await isAsked) as [IncomingMessage]
  // It holds the first request; three blocks are sealed meanwhile.
  for (let block = 1; block <= 3; block++) await log.seal()
  courier.wake()
  expect(events).toEqual([])
  hostile.answer = (_, response) => reply(response, 200, hostile.cosign(Math.floor(Date.now() / 1000)))
  held.socket.destroy()
  await isDone
  await courier.close()
  expect(events).toEqual(["unreachable", "cosigned 3"])
  await log.close()
  await hostile.close()
})

test.for([
  ["as far", 2],
  ["less far", 1],
  ["farther", 4],
] as const)(
  "a backup of database and folder that has grown %s on another way is refused by the witness, proven by what it shows, and sealed no more",
  async ([, blocks]) => {
    const [grown, restored] = [await openLog(), await openLog()]
    const witness = await WitnessStand.start("one", keys)
    const plan = planFor(keys, `${witness.line}quorum one\n`)
    for (const log of [grown, restored]) await storePlan(log.pool, plan)
    expect((await grown.cosign(plan)).kind).toBe("cosigned")
    for (let block = 0; block < 2; block++) await grown.seal()
    expect((await grown.cosign(plan)).kind).toBe("cosigned")
    // Nothing of its own tells the restored one; an empty block's manifest has another time.
    for (let block = 0; block < blocks; block++) await restored.seal()
    await expect(restored.cosign(plan)).rejects.toThrow(
      /the database (is behind|tells another history than) what witnesses have seen/,
    )
    const moments = new EventEmitter()
    const isBack = once(moments, "back")
    const courier = new Courier({
      ...restored,
      keys,
      tiles: readTiles(restored.pool),
      nowMs: Date.now,
      random: () => 0,
      witness: plan.asked[0]!,
      events: { rolledBack: (_, error) => moments.emit("back", error) },
    })
    expect((await isBack)[0]).toBeInstanceOf(LogRolledBack)
    await courier.close()
    await expect(restored.seal()).rejects.toThrow(/what witnesses have seen/)
    await expect(startServiceOn(restored.database.url, restored.dataFolder)).rejects.toThrow(
      /what witnesses have seen/,
    )
    // The right database on the same folder goes on.
    await seal({ pool: grown.pool, keys, dataFolder: grown.dataFolder, isEmptyAllowed: true })
    expect((await grown.cosign(plan)).kind).toBe("cosigned")
    await Promise.all([grown.close(), restored.close(), witness.close()])
  },
)

/** The service counts beside what it stores. */
async function untilMetric(ask: (path: string) => Promise<string>, line: RegExp): Promise<void> {
  while (!line.test(await ask("/metrics")));
}

test("a start on a restored backup is refused by what a witness shows, before anything is accepted; on the right database it counts what is sealed and what is witnessed", async () => {
  const [grown, restored] = [await openLog(), await openLog()]
  const [witness, hostile] = [await WitnessStand.start("one", keys), await ScriptedWitness.start()]
  const policy = `${hostile.line}${witness.line}quorum one\n`
  const plan = planFor(keys, policy)
  await storePlan(grown.pool, plan)
  await grown.seal()
  expect((await grown.cosign(plan, 1)).kind).toBe("cosigned")
  hostile.answer = (request) => request.socket.destroy()
  await expect(
    startServiceOn(restored.database.url, restored.dataFolder, { witnesses: encodeUtf8(policy) }),
  ).rejects.toThrow(/the database is behind what witnesses have seen: it holds 2 leaves, and 3 were cosigned/)
  const service = await startServiceOn(grown.database.url, grown.dataFolder, {
    witnesses: encodeUtf8(policy),
  })
  const ask = async (path: string): Promise<string> =>
    (await fetch(`http://127.0.0.1:${service.http}${path}`)).text()
  await service.seal({ isEmptyAllowed: true })
  await untilTrue(grown.pool, "exists (select from witnessed where height = 2)")
  await untilMetric(ask, /^tidemark_witness_cosignatures_total\{witness="one"\} 1$/m)
  const metrics = await ask("/metrics")
  for (const line of [
    "tidemark_block_height 2",
    "tidemark_block_witnessed_height 2",
    "tidemark_blocks_unwitnessed 0",
    "tidemark_witness_lag_seconds 0",
    'tidemark_witness_cosignatures_total{witness="hostile"} 0',
  ])
    expect(metrics).toContain(`\n${line}\n`)
  const served = parseNote(await ask("/log/checkpoint"))!
  expect(checkCosignature(served, parseCosignerVkey(witness.vkey)!).kind).toBe("good")
  expect(JSON.parse(await ask("/readyz"))).toMatchObject({ status: "ready" })
  const askJson = async (path: string): Promise<unknown> => JSON.parse(await ask(path)) as unknown
  const at = expect.stringMatching(/^2\d{3}-.*Z$/) as unknown
  expect(await askJson("/v1/witnesses")).toMatchObject({
    quorum: "one",
    witnesses: [
      { name: "hostile", height: null, at: null },
      { name: "one", vkey: witness.vkey, height: 2, at },
    ],
    witnessed: { height: 2, at },
    unwitnessed: 0,
  })
  expect(await askJson("/v1/blocks/2")).toMatchObject({
    witnessed: at,
    cosignatures: [{ witness: "witness.example/one", vkey: witness.vkey, at }],
  })
  expect(await askJson("/v1/blocks")).toMatchObject({
    items: [{ witnessed: at }, { witnessed: at }, { witnessed: at }],
  })
  // Whoever takes the operator's word has a policy that the checkpoint meets.
  const parsed = parseTlogPolicy(encodeUtf8(await ask("/log/policy")))
  expect(parsed).toMatchObject({ kind: "policy", policy: { quorum: { kind: "witness", name: "one" } } })
  await service.close()
  await Promise.all([grown.close(), restored.close(), witness.close(), hostile.close()])
})

const strange = { name: "strange.example/log", publicKey: testKey(algorithmEd25519, "strange").publicKey }
const vkeyOf = (name: string): string =>
  formatCosignerVkey({
    name: `witness.example/${name}`,
    publicKey: testKey(algorithmEd25519, name).publicKey,
  })

test.for([
  [
    "that names another log",
    `log ${formatVkey(strange)}\n`,
    "its log strange.example/log is not this one, tidemark.invalid/test",
  ],
  [
    "that names another key of this log",
    `log ${formatVkey({ ...strange, name: testOrigin })}\n`,
    "its key of tidemark.invalid/test is not this log's",
  ],
  [
    "without a quorum",
    "quorum none\n",
    "the quorum is none: name the witnesses that a block needs, or leave --witnesses out",
  ],
  [
    "that cannot be met",
    `witness a ${vkeyOf("a")} https://a.example/\nwitness b ${vkeyOf("b")}\ngroup g all a b\nquorum g\n`,
    "the quorum can never be met by the witnesses that have an address and a key of Ed25519",
  ],
  ...["ftp://a.example/", "https://user:secret@a.example/", "https://a.example/?q", "here"].map(
    (url): [string, string, string] => [
      `with the address ${url}`,
      `witness a ${vkeyOf("a")} ${url}\nquorum a\n`,
      "the address of witness a is no prefix of http or https, without login, query and fragment",
    ],
  ),
] as const)("a policy %s is no plan for witnesses", ([, policy, rule]) => {
  const file = encodeUtf8(
    policy.includes("quorum") ? policy : `${policy}witness a ${vkeyOf("a")} https://a.example/\nquorum a\n`,
  )
  const log = { name: keys.origin, publicKey: keys.log.publicKey }
  expect(readWitnessPlan(file, log)).toEqual({ kind: "fault", line: null, rule })
})
