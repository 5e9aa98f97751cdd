import { createHash } from "node:crypto"
import { ed25519 } from "@noble/curves/ed25519.js"
import { expect, test } from "vitest"
import { joinBytes, parseHex } from "../../chain/bytes.ts"
import { zeroHash } from "../../chain/hash.ts"
import {
  type PublicKey,
  algorithmEd25519,
  algorithmEsp256,
  encodeCoseKey,
  findKeyFault,
  kidOf,
} from "../../chain/key.ts"
import { decodeReceipt } from "../../chain/receipt.ts"
import { negateS, signMessage } from "../../chain/signature.ts"
import {
  type Statement,
  contentSenml,
  encodeSignedBytes,
  encodeStatement,
  signStatement,
} from "../../chain/statement.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import { RawClient } from "../broker/raw-client.ts"
import { DeviceSession } from "../ingest/device-session.ts"
import { TestDevice } from "../ingest/stand.ts"
import { type AttackStand, openAttackStand, verdictMetric } from "./attack-stand.ts"

/** Says it as the attacker, who must be refused with `code`, get no PUBACK, and have stored nothing. */
async function refuse(stand: AttackStand, bytes: Uint8Array, code: number, as = "attacker"): Promise<void> {
  const before = await stand.countStored(as)
  const session = await DeviceSession.open(stand.port, as)
  const heard = await session.say(bytes)
  expect(heard).toMatchObject({ receipt: { code }, isAcknowledged: false, isClosed: true })
  expect(await stand.countStored(as)).toBe(before)
}

/** The same statement with other claims or another signature. */
function resign(statement: Statement, signature: Uint8Array, claims: Partial<Statement> = {}): Uint8Array {
  return encodeStatement({ ...statement, ...claims }, signature)
}

test("another device's statement, replayed, is 12, and changes neither chain", async () => {
  const stand = await openAttackStand()
  await refuse(stand, stand.victim.sign().bytes, 12)
  expect(await stand.metric(verdictMetric("wrong-device"))).toBe(1)
  await stand.expectUnharmed()
})

test("one's own old statement, replayed, is 2: acknowledged, and stored once", async () => {
  const stand = await openAttackStand()
  const session = await DeviceSession.open(stand.port, "attacker")
  const old = stand.attacker.next().bytes
  expect((await session.say(old)).receipt.code).toBe(1)
  expect((await session.say(stand.attacker.next().bytes)).receipt.code).toBe(1)
  for (let again = 0; again < 3; again++)
    expect(await session.say(old)).toMatchObject({
      receipt: { code: 2, head: { seq: 2 } },
      isAcknowledged: true,
    })
  expect(await stand.countStored("attacker")).toBe(2)
  expect(await stand.metric(verdictMetric("duplicate"))).toBe(3)
  await stand.expectUnharmed()
})

test("a statement of the same device id in another log is 13, and another operator's statement 10", async () => {
  const stand = await openAttackStand()
  const elsewhere = new TestDevice("attacker", algorithmEd25519)
  await refuse(stand, elsewhere.sign().bytes, 13)
  const origin = "tidemark.invalid/another"
  const claims = { content: contentSenml, iss: origin, sub: "attacker", iat: 1_760_000_000, seq: 1 } as const
  const payload = new Uint8Array(1)
  const operators = signStatement({ ...claims, prev: zeroHash, payload }, elsewhere.key, origin)
  await refuse(stand, operators.bytes, 10)
  expect(await stand.metric(verdictMetric("unknown-key"))).toBe(1)
  expect(await stand.metric(verdictMetric("malformed"))).toBe(1)
  await stand.expectUnharmed()
})

test("an algorithm that is not the key's is 15, whichever way they are confused", async () => {
  const stand = await openAttackStand()
  const edwards = await stand.enrol("edwards", algorithmEd25519)
  for (const [device, label] of [
    [edwards, algorithmEsp256],
    [stand.attacker, algorithmEd25519],
  ] as const) {
    // Relabelled as it stands, and relabelled and signed anew by the same key.
    const right = device.sign()
    await refuse(stand, resign(right, right.signature, { algorithm: label }), 15, device.id)
    const claims = { ...right, algorithm: label }
    await refuse(
      stand,
      resign(right, signMessage(device.key, encodeSignedBytes(claims)), claims),
      15,
      device.id,
    )
  }
  // A key's bytes as one of the other curve: another thumbprint, so no key of this device.
  const asPoint: PublicKey = {
    algorithm: algorithmEsp256,
    bytes: joinBytes(edwards.key.publicKey.bytes, edwards.key.publicKey.bytes),
  }
  const asEdwards: PublicKey = {
    algorithm: algorithmEd25519,
    bytes: stand.attacker.key.publicKey.bytes.subarray(0, 32),
  }
  const right = edwards.sign()
  await refuse(
    stand,
    resign(right, right.signature, { algorithm: algorithmEsp256, kid: kidOf(asPoint) }),
    13,
    "edwards",
  )
  const other = stand.attacker.sign()
  await refuse(
    stand,
    resign(other, other.signature, { algorithm: algorithmEd25519, kid: kidOf(asEdwards) }),
    13,
  )
  expect(await stand.metric(verdictMetric("bad-signature"))).toBe(4)
  await stand.expectUnharmed()
})

test("a high s is 17, a second signature of what is stored is 2, and there is one entry", async () => {
  const stand = await openAttackStand()
  const first = stand.attacker.next()
  const malleated = resign(first, negateS(first.signature))
  await refuse(stand, malleated, 17)
  const session = await DeviceSession.open(stand.port, "attacker")
  expect((await session.say(first.bytes)).receipt.code).toBe(1)
  // Also afterwards: 17 speaks before 2.
  expect((await session.say(malleated)).receipt.code).toBe(17)
  expect(await stand.countStored("attacker")).toBe(1)
  await stand.expectUnharmed()
})

const points = [
  ["the identity", `01${"00".repeat(31)}`],
  ["the identity with a sign", `01${"00".repeat(30)}80`],
  ["the point of order 2", `ec${"ff".repeat(30)}7f`],
  ["a point of order 4", "00".repeat(32)],
  ["a point of order 8", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"],
  ["zero, not canonical", `ed${"ff".repeat(30)}7f`],
  ["one, not canonical", `ee${"ff".repeat(30)}7f`],
  ["all bits", "ff".repeat(32)],
] as const

test("an R of small order or not canonical is 15, also with the S that would verify without the check", async () => {
  const stand = await openAttackStand()
  const device = await stand.enrol("edwards", algorithmEd25519)
  const right = device.sign()
  for (const [, hex] of points) {
    const r = parseHex(hex)!
    // With R of small order, S = k a satisfies the equation with the cofactor.
    const { scalar } = ed25519.utils.getExtendedPublicKey(device.key.secret)
    const k = ed25519.Point.Fn.create(challenge(r, device.key.publicKey.bytes, encodeSignedBytes(right)))
    const s = littleEndian(ed25519.Point.Fn.mul(k, ed25519.Point.Fn.create(scalar)))
    await refuse(stand, resign(right, joinBytes(r, s)), 15, "edwards")
    await refuse(stand, resign(right, joinBytes(r, right.signature.subarray(32))), 15, "edwards")
  }
  expect(await stand.metric(verdictMetric("bad-signature"))).toBe(2 * points.length)
  await stand.expectUnharmed()
})

test("a key A of small order or not canonical is never enrolled, so that nothing can be signed under it", async () => {
  const stand = await openAttackStand()
  for (const [name, hex] of points) {
    const key: PublicKey = { algorithm: algorithmEd25519, bytes: parseHex(hex)! }
    expect([name, findKeyFault(key)]).not.toEqual([name, null])
    const enrolled = await enrolDevices(stand.service.database.pool, stand.service.keys, [
      { device: "weak", key },
    ]).catch(() => [{ kind: "refused" }])
    expect([name, enrolled[0]?.kind]).not.toEqual([name, "enrolled"])
    expect(encodeCoseKey(key)).not.toHaveLength(0)
    // Under the identity as a key everything would verify: R = B s, S = s.
    const forged = {
      ...stand.attacker.sign({ iss: "weak", sub: "weak" }),
      algorithm: algorithmEd25519,
      kid: kidOf(key),
    }
    const signature = joinBytes(ed25519.Point.BASE.toBytes(), littleEndian(1n))
    const client = await RawClient.connect(stand.port, "weak")
    client.publish(encodeStatement(forged, signature))
    expect(decodeReceipt(await client.expectReceipt()).code).toBe(13)
    expect(await client.readUntilClose()).toEqual([])
  }
  expect(await stand.countStored("weak")).toBe(0)
  await stand.expectUnharmed()
})

function challenge(r: Uint8Array, a: Uint8Array, message: Uint8Array): bigint {
  const digest = createHash("sha512")
    .update(joinBytes(r, a, message))
    .digest()
  let value = 0n
  for (let index = digest.length - 1; index >= 0; index--) value = (value << 8n) | BigInt(digest[index] ?? 0)
  return value
}

function littleEndian(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, index) => Number((value >> BigInt(8 * index)) & 255n))
}
