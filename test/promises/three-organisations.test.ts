/**
 * An operator, two witnesses and a follower, each with a folder of its own and nothing in common but HTTP. The operator's
 * database and data folder are rolled back to an old backup, and the log grows differently from there.
 */
import { randomBytes } from "node:crypto"
import { cp, mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import { type TlogPolicy, parseTlogPolicy, policyOfLog } from "../../chain/tlog-policy.ts"
import { formatAddCheckpoint, originHash } from "../../chain/tlog-witness.ts"
import { Follower } from "../../cli/follow-run.ts"
import { readTiles } from "../../cli/parts/witnesses.ts"
import type { Service } from "../../cli/service.ts"
import { TiledTree } from "../../chain/log-reader.ts"
import { migrate } from "../../ingest/database/migration.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { initLog } from "../../ingest/log.ts"
import type { LogKeys } from "../../ingest/log-keys.ts"
import { readLastCheckpoint } from "../../ingest/cosignatures.ts"
import { verifyNative } from "../../ingest/native.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import { seal } from "../../ingest/seal.ts"
import { postCheckpoint, readWitnessed } from "../../ingest/witness-client.ts"
import { formatFollowed } from "../../verify/follow-report.ts"
import type { Followed } from "../../verify/follow.ts"
import { type SplitResult, formatSplitResult, verifySplitView } from "../../verify/split-view.ts"
import { type TestDatabase, openTestDatabase } from "../ingest/postgres.ts"
import { startServiceOn } from "../ingest/service-stand.ts"
import { TestDevice, testOrigin } from "../ingest/stand.ts"
import { WitnessStand } from "../ingest/witness-stand.ts"

const folders: string[] = []
const makeFolder = async (): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), "tidemark-three-"))
  folders.push(folder)
  return folder
}
const copyFolder = async (folder: string): Promise<string> => {
  const copy = await makeFolder()
  await cp(folder, copy, { recursive: true })
  return copy
}

let keys: LogKeys
/** The operator's folder when the backup was made, with one block. */
let backupFolder: string
let grown: TestDatabase
let restored: TestDatabase
let witnesses: readonly [WitnessStand, WitnessStand]
let policyText: string
let policy: TlogPolicy

beforeAll(async () => {
  backupFolder = await makeFolder()
  const template = {
    name: `three_${randomBytes(4).toString("hex")}`,
    prepare: async (url: string) => {
      const pool = openPool(url)
      await migrate(pool)
      keys = await initLog(pool, backupFolder, testOrigin)
      await seal({ pool, keys, dataFolder: backupFolder })
      await pool.end()
    },
  }
  grown = await openTestDatabase({ template })
  restored = await openTestDatabase({ template })
  witnesses = [await WitnessStand.start("one", keys), await WitnessStand.start("two", keys)]
  policyText = `${witnesses.map(({ line }) => line).join("")}group both all one two\nquorum both\n`
  const parsed = parseTlogPolicy(new TextEncoder().encode(policyText))
  if (parsed.kind === "fault") throw new Error(parsed.rule)
  policy = { ...parsed.policy, logs: [{ name: testOrigin, publicKey: keys.log.publicKey }] }
})
afterAll(async () => {
  await Promise.all([...witnesses, grown, restored].map((one) => one.close()))
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })))
})

const follow = (service: Service, folder: string, compare: readonly string[] = []): Promise<Follower> =>
  Follower.open({
    url: `http://127.0.0.1:${service.http}`,
    folder,
    trust: policy,
    compare,
    growthMax: 1_000,
    nowMs: Date.now,
    limits: { timeoutMs: 5_000, waitsMs: [], wait: async () => {} },
  })

/** A block more, with a device that is in no other history. */
async function grow(service: Service, device: string): Promise<void> {
  const { key } = new TestDevice(device)
  await enrolDevices(service.database.pool, keys, [{ device, key: key.publicKey }])
  const sealed = await service.seal()
  expect(sealed.kind).toBe("sealed")
}

const says = (followed: Followed): string => formatFollowed(followed, policy).join("\n")

async function readProof(followed: Followed, trust = policy): Promise<SplitResult> {
  if (followed.kind !== "split") throw new Error(`no split was found: ${says(followed)}`)
  return verifySplitView(await readFile(followed.path), trust, verifyNative)
}

/** Asks a witness as an operator would that has no scruples: from whatever size it likes, with whatever proof it has. */
async function askWitness(service: Service, { url }: WitnessStand, oldSize: number) {
  const last = (await readLastCheckpoint(service.database.pool))!
  const tree = await TiledTree.open(readTiles(service.database.pool), last)
  const proof = oldSize === 0 || oldSize >= last.size ? [] : await tree.proveConsistency(oldSize)
  return postCheckpoint(url, formatAddCheckpoint({ oldSize, proof, note: last.note }))
}

test("Of a log that was rolled back and grew differently, the witnesses cosign nothing, a follower finds it, and a file proves it to anybody", async () => {
  const followed = await makeFolder()
  const options = { witnesses: new TextEncoder().encode(policyText) }

  // An honest operator: each block is cosigned by both, and the follower copies it.
  const honest = await startServiceOn(grown.url, await copyFolder(backupFolder), options)
  for (const device of ["h1", "h2", "h3", "h4"]) await grow(honest, device)
  const follower = await follow(honest, followed)
  await expect
    .poll(async () => says((await follower.pass()).followed), { timeout: 20_000 })
    .toMatch(/has 10 leaves, .* cosigned by one, two$/)
  expect((await follower.pass()).followed).toMatchObject({ kind: "same", checkpoint: { size: 10 } })
  await honest.close()

  // The backup is put back. Whoever asks the witnesses is not even started; the operator asks nobody.
  const rolledBack = await copyFolder(backupFolder)
  await expect(startServiceOn(restored.url, rolledBack, options)).rejects.toThrow(/behind|another history/)
  const dishonest = await startServiceOn(restored.url, await copyFolder(backupFolder))
  try {
    for (const size of [4, 6, 8, 10, 12]) {
      await grow(dishonest, `d${size}`)
      if (size === 4 || size === 8) continue
      // The witnesses: neither from what they have cosigned, nor from the start, nor from the log's own last size.
      for (const witness of witnesses) {
        for (const oldSize of [0, size, 10]) {
          const reply = await askWitness(dishonest, witness, oldSize)
          expect(reply.kind).not.toBe("cosigned")
        }
        const shown = await readWitnessed(witness.url, testOrigin)
        expect(shown.kind === "note" ? shown.note.text : shown.kind).toMatch(/\n10\n/)
      }
      // And where they were shown it, they have the proof themselves.
      for (const { url } of witnesses) {
        const held = await fetch(`${url}/${formatHex(originHash(testOrigin))}/splits/10-${size}`)
        const file = new Uint8Array(await held.arrayBuffer())
        expect([held.status, verifySplitView(file, policy).kind]).toEqual(
          size < 10 ? [404, "refused"] : [200, "split"],
        )
      }
      // The follower, whichever of them is the first that it sees.
      const copy = await copyFolder(followed)
      const found = (await (await follow(dishonest, copy)).pass()).followed
      const proof = await readProof(found)
      const [first, second] = size < 10 ? [size, 10] : [10, size]
      expect(proof).toMatchObject({ kind: "split", first: { size: first }, second: { size: second } })
      // Who has the log's key and nothing else sees the same.
      expect(await readProof(found, policyOfLog(policy.logs[0]!))).toMatchObject({ kind: "split" })
      expect(formatSplitResult(proof)).toContain(`the log ${testOrigin} has signed two histories`)
      // What only the operator has signed is not what the policy's witnesses have seen.
      if (proof.kind === "refused") throw new Error(proof.rule)
      const seen = [proof.first, proof.second].map(({ witnesses: by }) => [...by])
      expect(seen).toContainEqual(["one", "two"])
      expect(seen).toContainEqual([])
    }

    // Somebody who was only ever shown the second history: it is not witnessed, and a witness tells the two apart.
    const newcomer = await follow(dishonest, await makeFolder(), [witnesses[1].url])
    const { followed: own, compared } = await newcomer.pass()
    expect(says(own)).toMatch(/cosigned by none of your witnesses: not witnessed as your policy demands$/)
    expect(await readProof(compared[0]!.followed)).toMatchObject({
      kind: "split",
      first: { size: 10, witnesses: ["two"] },
      second: { size: 12, witnesses: [] },
    })
  } finally {
    await dishonest.close()
  }
}, 240_000)
