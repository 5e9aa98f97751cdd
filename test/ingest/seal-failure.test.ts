import { afterAll, beforeAll, expect, test } from "vitest"
import { parseCheckpoint } from "../../chain/checkpoint.ts"
import { parseNote } from "../../chain/note.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { type SealStep, seal } from "../../ingest/seal.ts"
import { auditLog, countSealed, readPublishedText } from "./log-audit.ts"
import { openProxy } from "./proxy.ts"
import { type Stand, openStand, send } from "./stand.ts"

let stand: Stand
beforeAll(async () => {
  stand = await openStand()
})
afterAll(() => stand.close())

/** As the code runs through them. */
const steps: readonly SealStep[] = ["sealer", "cut", "computed", "stored", "committed", "published"]
const isStoredAt = (step: SealStep): boolean => step === "committed" || step === "published"

/** The connections of a seal that is under way, cut by the server. */
async function killSealer(): Promise<void> {
  const { rowCount } = await stand.pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid() and state = 'idle in transaction'`,
  )
  if ((rowCount ?? 0) === 0) throw new Error("no seal was under way")
}

interface Failure {
  readonly step: SealStep
  readonly how: string
  readonly fail: () => Promise<void>
}

const failures: readonly Failure[] = steps.flatMap((step): Failure[] => [
  {
    step,
    how: "this process fails",
    fail: () => Promise.reject(new Error("stopped by the test")),
  },
  ...(isStoredAt(step) ? [] : [{ step, how: "its connection is cut", fail: killSealer }]),
])

/** Two statements of two devices, and an enrolment. */
async function say(number: number): Promise<void> {
  const [one, two] = [await stand.enrol(`a${number}`), await stand.enrol(`b${number}`)]
  await send(stand.intake.open(one.id), one.next())
  await send(stand.intake.open(two.id), two.next())
}

async function expectPublishedIsLast(): Promise<void> {
  const text = await readPublishedText(stand.dataFolder)
  const { rows } = await stand.pool.query("select note, size from checkpoints order by height desc limit 1")
  expect(text).toBe(rows[0].note)
  expect(parseCheckpoint(parseNote(text!)!.text)?.size).toBe(rows[0].size)
}

test.for(failures.map((failure, number) => ({ ...failure, number })))(
  "a seal that fails at $step, because $how, leaves nothing half done, and the next one goes on",
  async ({ step, fail, number }) => {
    await say(number)
    const before = await countSealed(stand.pool)
    const { unsealed } = await auditLog(stand.pool, stand.keys)
    const publishedBefore = await readPublishedText(stand.dataFolder)
    const onStep = async (at: SealStep): Promise<void> => (at === step ? fail() : undefined)
    await expect(stand.seal({ onStep })).rejects.toThrow(/./)

    const blocks = isStoredAt(step) ? 1 : 0
    const after = await countSealed(stand.pool)
    expect({
      blocks: after["blocks"],
      checkpoints: after["checkpoints"],
      operator: after["operator"],
      leaves: after["leaves"],
      // Tiles and heads are compared with the leaves below.
      unsealed: (await auditLog(stand.pool, stand.keys)).unsealed.size,
    }).toEqual({
      blocks: before["blocks"]! + blocks,
      checkpoints: before["checkpoints"]! + blocks,
      operator: before["operator"]! + blocks,
      leaves: before["leaves"]! + blocks * (unsealed.size + 1),
      unsealed: (1 - blocks) * unsealed.size,
    })
    const published = await readPublishedText(stand.dataFolder)
    expect(published === publishedBefore).toBe(step !== "published")

    // Nothing new was said: what is not sealed is, and what is sealed is published.
    const again = await stand.seal()
    expect(again.kind).toBe(blocks === 1 ? "nothing" : "sealed")
    const log = await auditLog(stand.pool, stand.keys)
    expect(log.unsealed.size).toBe(0)
    expect(log.manifests).toHaveLength(before["blocks"]! + 1)
    await expectPublishedIsLast()
  },
)

test("a seal whose COMMIT was executed and never answered is read back, not planned again", async () => {
  await say(100)
  const proxy = await openProxy(stand.url)
  const pool = openPool(proxy.url)
  try {
    const { blocks } = await countSealed(stand.pool)
    const { keys, dataFolder } = stand
    const onStep = (step: SealStep): void => {
      // The barrier has committed: the next COMMIT is the block's.
      if (step === "stored") void proxy.loseNextCommitAnswer()
    }
    await expect(seal({ pool, keys, dataFolder, onStep })).rejects.toThrow(/./)
    const log = await auditLog(stand.pool, stand.keys)
    expect(log.manifests).toHaveLength(blocks! + 1)
    expect(log.unsealed.size).toBe(0)
    expect(await seal({ pool, keys, dataFolder })).toEqual({ kind: "nothing", reason: "no-statements" })
    expect((await auditLog(stand.pool, stand.keys)).manifests).toHaveLength(blocks! + 1)
    await expectPublishedIsLast()
  } finally {
    await pool.end()
    await proxy.close()
  }
})

test("a seal whose COMMIT never arrived has done nothing", async () => {
  await say(101)
  const proxy = await openProxy(stand.url)
  const pool = openPool(proxy.url)
  try {
    const before = await countSealed(stand.pool)
    const { keys, dataFolder } = stand
    const onStep = (step: SealStep): void => {
      if (step === "stored") void proxy.loseNextCommit()
    }
    await expect(seal({ pool, keys, dataFolder, onStep })).rejects.toThrow(/./)
    expect(await countSealed(stand.pool)).toEqual(before)
    expect(await seal({ pool, keys, dataFolder })).toMatchObject({ kind: "sealed" })
    expect((await auditLog(stand.pool, stand.keys)).unsealed.size).toBe(0)
  } finally {
    await pool.end()
    await proxy.close()
  }
})

test("a barrier whose connection is lost leaves the writers free and the seal undone", async () => {
  await say(102)
  const proxy = await openProxy(stand.url)
  const pool = openPool(proxy.url)
  try {
    const { keys, dataFolder } = stand
    const lost = { happened: Promise.resolve() }
    const onStep = (step: SealStep): void => {
      // The next COMMIT is the one that lifts the barrier.
      if (step === "sealer") lost.happened = proxy.loseNextCommit()
    }
    // The cut itself was made: the seal goes on, or fails whole.
    await seal({ pool, keys, dataFolder, onStep }).catch(() => null)
    await lost.happened
    await say(103)
    await seal({ pool, keys, dataFolder })
    expect((await auditLog(stand.pool, stand.keys)).unsealed.size).toBe(0)
    await expectPublishedIsLast()
  } finally {
    await pool.end()
    await proxy.close()
  }
})
