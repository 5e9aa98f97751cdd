import { afterAll, beforeAll, expect, test } from "vitest"
import { encodeUtf8, formatHex } from "../../chain/bytes.ts"
import { sha256 } from "../../chain/hash.ts"
import { decodeCoseKey } from "../../chain/key.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import type { ChainVector } from "../vectors/chains.ts"
import { vectorOrigin } from "../vectors/keys.ts"
import { simulatedKey } from "../verify/simulated-log.ts"
import { type Stand, type StandLog, offer, openStand } from "./stand.ts"
import { bytesOf, readChainVectors, writeStanding } from "./vector-files.ts"

/** The log of the vectors of version 2, whose vkey is in each genesis. */
const boundLog: StandLog = { version: 2, origin: vectorOrigin, given: { log: simulatedKey("log").secret } }
const logOf = ({ version }: ChainVector): StandLog => (version === 2 ? boundLog : { version: 1 })

let stands: { readonly 1: Stand; readonly 2: Stand }
beforeAll(async () => {
  stands = { 1: await openStand({}, { version: 1 }), 2: await openStand({}, boundLog) }
})
afterAll(async () => {
  await stands[1].close()
  await stands[2].close()
})

const chains = readChainVectors()

test("the log of version 2 is the one of the vectors", () => {
  const { vector } = chains.find((one) => one.vector.version === 2)!
  expect(stands[2].keys.binding).toEqual({ logVkey: vector.vkey, version: 2 })
})

async function enrol(pool: Stand["pool"], keys: Stand["keys"], device: string, coseKey: string | undefined) {
  const key = decodeCoseKey(bytesOf(coseKey ?? ""))
  const [result] = await enrolDevices(pool, keys, [{ device, key }])
  if (result?.kind !== "enrolled") throw new Error(`${device} was not enrolled: ${result?.rule}`)
}

/** Each message on a connection of its own where the one before was refused. */
test.for(chains)("the chain $name gets its verdicts from the intake, one by one", async ({ vector }) => {
  const { device, steps } = vector
  const stand = stands[vector.version ?? 1]
  let place = stand.intake.open(device)
  let hasSpoken = false
  const heard: unknown[] = []
  for (const [index, step] of steps.entries()) {
    if ("operator" in step) {
      if (step.operator.action === "enrol") await enrol(stand.pool, stand.keys, device, step.operator.coseKey)
      else {
        // Only the entry of the last registry statement tells that the registry has moved.
        const registry = sha256(encodeUtf8(`${device} ${index}`))
        await writeStanding(stand.pool, device, step.keys, step.status, registry)
      }
      // A registry change fences off who has spoken.
      if (hasSpoken) heard.push((await place.submit({ kind: "question" })).kind)
      place = stand.intake.open(device)
      hasSpoken = false
      continue
    }
    const receipt = await offer(place, bytesOf(step.statement))
    const { seq, entry } = receipt!.head
    heard.push([step.says, receipt!.code, seq, formatHex(entry)])
    hasSpoken = step.verdict < 10
    if (!hasSpoken) place = stand.intake.open(device)
  }
  expect(heard).toEqual(expectedOf(vector))
})

function expectedOf({ steps }: ChainVector): unknown[] {
  return steps.flatMap((step, index): unknown[] => {
    const before = steps[index - 1]
    if (!("operator" in step)) return [[step.says, step.verdict, step.head.seq, step.head.entry]]
    return before !== undefined && "verdict" in before && before.verdict < 10 ? ["dropped"] : []
  })
}

/** Those in which the operator only enrols. */
test.for(chains.filter(({ vector }) => vector.steps.slice(1).every((step) => !("operator" in step))))(
  "the chain $name gets the same verdicts when everything arrives at once, each message by its own connection",
  async ({ vector }) => {
    const { steps } = vector
    const enrolment = steps[0]!
    if (!("operator" in enrolment)) throw new Error("a chain begins with an enrolment")
    // Another database, since the device is the same.
    const other = await openStand({}, logOf(vector))
    try {
      await enrol(other.pool, other.keys, vector.device, enrolment.operator.coseKey)
      const answers = steps.flatMap((step) => {
        if ("operator" in step) return []
        return [offer(other.intake.open(vector.device), bytesOf(step.statement))]
      })
      const codes = (await Promise.all(answers)).map((receipt) => receipt?.code)
      expect(codes).toEqual(steps.flatMap((step) => ("operator" in step ? [] : [step.verdict])))
    } finally {
      await other.close()
    }
  },
)
