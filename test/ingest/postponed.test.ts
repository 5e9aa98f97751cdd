import { setImmediate as yieldToLoop } from "node:timers/promises"
import { afterAll, beforeAll, expect, test } from "vitest"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { sha256 } from "../../chain/hash.ts"
import { algorithmEd25519, makePrivateKey } from "../../chain/key.ts"
import { encodeRegistry, proveKey } from "../../chain/registry.ts"
import { contentRegistry } from "../../chain/statement.ts"
import type { IntakeAnswer, IntakeMessage } from "../../ingest/intake.ts"
import { type Stand, type TestDevice, ask, offer, openStand, send, testOrigin, untilTrue } from "./stand.ts"

const groups = { count: 0 }
let stand: Stand
beforeAll(async () => {
  stand = await openStand({
    beforeCommit: async () => {
      groups.count += 1
    },
  })
})
afterAll(() => stand.close())

/** A device's request for its next key, signed and not yet sent. */
function request(device: TestDevice): Uint8Array {
  const next = makePrivateKey(algorithmEd25519, sha256(encodeUtf8(`${device.id}, next`)))
  const key = next.publicKey
  const firstSeq = device.seq + 2
  const proofOfNew = proveKey(next, testOrigin, device.id, firstSeq, key)
  const payload = encodeRegistry({ action: "rotate", device: device.id, key, firstSeq, proofOfNew })
  return device.next({ content: contentRegistry, payload }).bytes
}

/** While a seal holds the operator's chain, until `work` is done. */
async function whileOperatorIsHeld(work: () => Promise<void>): Promise<void> {
  const client = await stand.pool.connect()
  try {
    await client.query("begin")
    await client.query("select from chain_heads where device_id = $1 for update", [stand.keys.origin])
    await work()
  } finally {
    await client.query("rollback")
    client.release()
  }
}

/** So many more transactions have begun: what was sent before is in them, or waits. */
async function untilGroups(more: number): Promise<void> {
  const before = groups.count
  while (groups.count < before + more) await yieldToLoop()
}

test("what comes behind a request that waits for a seal waits with it, whatever group it comes in", async () => {
  const device = await stand.enrol("waits-in-order")
  const place = stand.intake.open(device.id)
  await send(place, device.next())
  const answered: string[] = []
  const answers: Promise<IntakeAnswer>[] = []
  const say = (name: string, message: IntakeMessage): void => {
    const answer = place.submit(message)
    void answer.then(() => answered.push(name))
    answers.push(answer)
  }
  await whileOperatorIsHeld(async () => {
    say("request", { kind: "statement", bytes: request(device) })
    await yieldToLoop()
    // In the groups that follow; the head must not be told while the request can still be committed.
    say("question", { kind: "question" })
    await yieldToLoop()
    say("statement", { kind: "statement", bytes: device.sign().bytes })
    await untilGroups(6)
    expect(answered).toEqual([])
  })
  expect(await Promise.all(answers)).toMatchObject([
    { kind: "receipt", code: 1 },
    { kind: "dropped" },
    { kind: "dropped" },
  ])
  expect(answered).toEqual(["request", "question", "statement"])
  const { rows } = await stand.pool.query("select from refusals where device_id = $1", [device.id])
  expect(rows).toEqual([])
  expect(await ask(stand.intake.open(device.id))).toMatchObject({ code: 0, head: { seq: 2 } })
})

test("devices that ask for nothing do not wait for those that do", async () => {
  const [asking, other] = [await stand.enrol("asks-and-waits"), await stand.enrol("does-not-wait")]
  let answer: ReturnType<typeof offer> | null = null
  await whileOperatorIsHeld(async () => {
    answer = offer(stand.intake.open(asking.id), request(asking))
    const place = stand.intake.open(other.id)
    for (let number = 0; number < 5; number++)
      expect(await send(place, other.next())).toMatchObject({ code: 1 })
  })
  expect(await answer!).toMatchObject({ code: 1 })
  await untilTrue(stand.pool, "(select count(*) from device_keys where device_id = 'asks-and-waits') = 2")
})
