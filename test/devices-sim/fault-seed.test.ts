import { expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import { algorithmEd25519, kidOf, makePrivateKey } from "../../chain/key.ts"
import { makeSigner } from "../../devices-sim/device-sign.ts"
import { type Fault, planFaults } from "../../devices-sim/fault.ts"
import { FaultyDevice } from "../../devices-sim/fault-device.ts"
import { type ForgedFault, forge, verdictOfDamaged } from "../../devices-sim/fault-forgery.ts"
import { openWireLink } from "../../devices-sim/connection-wire.ts"
import { makeRandom } from "../../devices-sim/random.ts"
import { decodeStatement } from "../../chain/statement.ts"
import { TestDevice } from "../ingest/stand.ts"
import { ModelService, modelVkey } from "./device-service.ts"
import { hurried, stand } from "./fleet-stand.ts"

const faults: readonly Fault[] = [
  { kind: "unreadable" },
  { kind: "flip-bit" },
  { kind: "fork" },
  { kind: "clock", offsetSeconds: 86_400, statements: 2 },
]

/** What is stored of a device with these faults, and what was done to it. */
async function runOnce(seed: string): Promise<unknown> {
  const { service, broker } = await stand()
  const random = makeRandom(seed)
  const key = makePrivateKey(algorithmEd25519, random.fork("key").bytes(32))
  service.enrol("k7", key.publicKey)
  const device = new FaultyDevice({
    id: "k7",
    signer: makeSigner(key),
    service: { url: `mqtt://127.0.0.1:${broker.listeners[0]!.port}` },
    openLink: openWireLink,
    rules: hurried,
    random,
    faults: planFaults(
      random.fork("plan"),
      faults.map((fault) => ({ fault })),
      { statements: 8, algorithm: algorithmEd25519 },
    ),
    clock: () => Date.UTC(2027, 0, 1),
  })
  await device.start()
  const accounts = await Promise.all(
    Array.from({ length: 8 }, (_, index) => {
      const times = [1_767_225_600 + 60 * index]
      return device.publish([{ kind: "number", name: "x", unit: null, times, values: [index] }])
    }),
  )
  await device.stop()
  expect(device.findings.map(({ result }) => result)).toEqual(["met", "met", "met", "met"])
  expect(accounts.map(({ entry }) => entry)).toEqual(
    service.devices.get("k7")!.chain.map(({ entry }) => entry),
  )
  const done = device.findings.map(({ fault, place, verdict, detail }) => [fault, place, verdict, detail])
  return [done, accounts.map(({ entry }) => formatHex(entry!))]
}

test("the same seed gives the same faults at the same places and the same entries, another seed others", async () => {
  const [one, same, other] = await Promise.all(["a", "a", "b"].map(runOnce))
  expect(same).toEqual(one)
  expect(other).not.toEqual(one)
})

function decodeHeaderEnd(bytes: Uint8Array): number {
  const decoded = decodeStatement(bytes)
  if (decoded.kind !== "statement") throw new Error("no statement")
  return decoded.statement.protectedEnd
}

test("a flipped bit is refused by the check that the field in it fails", () => {
  const device = new TestDevice("k7", algorithmEd25519, { logVkey: modelVkey, version: 2 })
  const { bytes } = device.next()
  const kids = [kidOf(device.key.publicKey)]
  const seen = new Map<string, number>()
  // Every bit of the envelope; of payload and signature, which are of one field each, some.
  const header = decodeHeaderEnd(bytes)
  for (let bit = 0; bit < 8 * bytes.length; bit += bit < 8 * header ? 1 : 29) {
    const service = new ModelService(Date.UTC(2027, 0, 1))
    service.enrol("k7", device.key.publicKey)
    const flipped = Uint8Array.from(bytes)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    const expected = verdictOfDamaged(flipped, "k7", kids)
    const { verdict } = service.judge("k7", { kind: "statement", bytes: flipped })
    if (verdict !== expected) throw new Error(`bit ${bit} gives ${verdict}, and ${expected} was expected`)
    seen.set(verdict, (seen.get(verdict) ?? 0) + 1)
  }
  expect([...seen.keys()].toSorted()).toEqual(["bad-signature", "malformed", "unknown-key", "wrong-device"])
})

test("an oversized statement has the size that was asked for, to within the bytes of its lengths", () => {
  const device = new TestDevice("k7", algorithmEd25519, { logVkey: modelVkey, version: 2 })
  const own = device.next()
  const signer = makeSigner(device.key)
  for (const sizeBytes of [65_536, 66_000, 131_072, 300_000]) {
    const fault: ForgedFault = { kind: "oversized", sizeBytes }
    const forger = { signer, stranger: signer, neighbour: "neighbour" }
    const { length } = forge(fault, own, forger, makeRandom(1))
    expect([sizeBytes, Math.abs(length - sizeBytes) <= 4]).toEqual([sizeBytes, true])
    expect(length).toBeGreaterThan(65_535)
    expect(decodeStatement(new Uint8Array(length)).kind).toBe("too-large")
  }
})
