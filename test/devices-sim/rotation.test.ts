import { mkdtemp, readFile, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { encodeUtf8, formatHex } from "../../chain/bytes.ts"
import { findRequestFault } from "../../chain/key-request.ts"
import { sha256, zeroHash } from "../../chain/hash.ts"
import { algorithmEd25519, algorithmEsp256, kidOf, makePrivateKey } from "../../chain/key.ts"
import { readPayload } from "../../chain/payload.ts"
import type { Receipt } from "../../chain/receipt.ts"
import { decodeStatement } from "../../chain/statement.ts"
import { verdictCodes } from "../../chain/verdict.ts"
import { type DeviceStep, stepDevice, wakeDevice } from "../../devices-sim/device.ts"
import { type DeviceContext, type DeviceEvent, deviceRulesDefault } from "../../devices-sim/device-state.ts"
import { makeSigner, makeSpeaker, privateKeyOf } from "../../devices-sim/device-sign.ts"
import { makeFileKeyStore } from "../../devices-sim/key-store-file.ts"
import { type KeyStore, keysOf, makeMemoryKeyStore, wakeKeys } from "../../devices-sim/key-store.ts"
import { OutboxIndex } from "../../devices-sim/outbox.ts"

const origin = "tidemark.invalid/test"
const oldKey = makePrivateKey(algorithmEd25519, sha256(encodeUtf8("old")))
const nextKey = makePrivateKey(algorithmEsp256, sha256(encodeUtf8("next")))
const iat = 1_795_000_000

/** A device whose stores outlive it: what it publishes is looked at, and every answer is the test's. */
class Bench {
  context: DeviceContext = { speaker: makeSpeaker("k7", makeSigner(oldKey)), rules: deviceRulesDefault }
  outbox = new OutboxIndex()
  readonly keys: KeyStore = makeMemoryKeyStore()
  state = wakeDevice(this.outbox.content())
  published: Uint8Array[] = []
  readonly alarms: string[] = []

  async tell(event: DeviceEvent): Promise<void> {
    const step: DeviceStep = stepDevice(this.state, event, this.context)
    this.state = step.state
    this.context = step.context
    const keys = step.effects.findLast((effect) => effect.kind === "keys")
    if (keys !== undefined) await this.keys.save(keysOf(keys))
    for (const effect of step.effects) {
      if (effect.kind === "store") for (const entry of effect.entries) this.outbox.put(entry)
      if (effect.kind === "forget") this.outbox.forget(effect.upTo, effect.acceptedSeq, effect.acceptedEntry)
      if (effect.kind === "bind") this.outbox.bind(effect.firstPrev)
      if (effect.kind === "publish") this.published.push(effect.bytes)
      if (effect.kind === "alarm") this.alarms.push(effect.alarm.kind)
    }
  }

  async connect(seq: number, entry = zeroHash): Promise<void> {
    this.published = []
    if (this.state.phase === "closing") await this.tell({ kind: "closed", nowMs: 0, chance: 0 })
    await this.tell({ kind: "start" })
    await this.tell({ kind: "timer", nowMs: 0 })
    await this.tell({ kind: "connected" })
    await this.tell({ kind: "receipt", receipt: { code: 0, seq: null, head: { seq, entry }, now: iat } })
  }

  say(text: string): Promise<void> {
    const draft = { content: "text/plain", payload: encodeUtf8(text), iat, sub: "k7" }
    return this.tell({ kind: "content", draft, readings: 1 })
  }

  rotate(): Promise<void> {
    return this.tell({ kind: "rotate", next: makeSpeaker("k7", makeSigner(nextKey)), origin, iat })
  }

  answer(verdict: keyof typeof verdictCodes, seq: number): Promise<void> {
    const entry = sha256(this.published.at(-1)!)
    const receipt: Receipt = { code: verdictCodes[verdict], seq, head: { seq, entry }, now: iat }
    return this.tell({ kind: "receipt", receipt })
  }

  async losePower(isOutboxLost = false): Promise<void> {
    if (isOutboxLost) this.outbox = new OutboxIndex()
    const content = this.outbox.content()
    this.context = {
      speaker: makeSpeaker("k7", makeSigner(oldKey)),
      rules: deviceRulesDefault,
      ...wakeKeys("k7", await this.keys.load(), content.entries),
    }
    this.state = wakeDevice(content)
  }

  /** What was published since the connection: seq, the key that signed, and what it was. */
  get said(): unknown[] {
    return this.published.map((bytes) => {
      const decoded = decodeStatement(bytes)
      if (decoded.kind !== "statement") throw new Error("a device publishes statements")
      const { seq, kid, content, payload } = decoded.statement
      const isOld = formatHex(kid) === formatHex(kidOf(oldKey.publicKey))
      return [
        seq,
        isOld ? "old" : "next",
        content === "text/plain" ? new TextDecoder().decode(payload) : "request",
      ]
    })
  }
}

test("a device asks behind what it has said, says nothing behind the request, and goes on under the next key", async () => {
  const device = new Bench()
  await device.connect(0)
  await device.say("a")
  await device.rotate()
  await device.say("b")
  expect(device.said).toEqual([
    [1, "old", "a"],
    [2, "old", "request"],
  ])
  const request = device.published[1]!
  await device.answer("accepted", 2)
  expect(device.state.phase).toBe("closing")
  await device.connect(2, sha256(request))
  expect(device.said).toEqual([[3, "next", "b"]])
  expect(await device.keys.load()).toMatchObject({
    rotation: null,
    current: { publicKey: nextKey.publicKey },
  })
})

test("the request is one that the service's rule takes, for whatever place it is signed", async () => {
  const device = new Bench()
  // Asked for while nobody is connected: it is written when its place is known.
  await device.rotate()
  await device.connect(4, sha256(encodeUtf8("elsewhere")))
  const decoded = decodeStatement(device.published[0]!)
  if (decoded.kind !== "statement") throw new Error("no statement")
  const { statement } = decoded
  const payload = readPayload(statement)
  if (payload.kind !== "registry") throw new Error("no request")
  expect(statement.seq).toBe(5)
  const key = {
    kid: kidOf(oldKey.publicKey),
    key: oldKey.publicKey,
    firstSeq: 1,
    lastSeq: null,
    endedBy: null,
  }
  const record = {
    device: "k7",
    status: "active",
    keys: [{ ...key, isPossessionProven: false, introducedBy: "operator" }],
    registry: zeroHash,
    attributes: new Map(),
    caDigest: null,
  } as const
  const place = { origin, seq: statement.seq, entry: sha256(statement.bytes) }
  expect(findRequestFault(record, payload.registry, place)).toBeNull()
})

test("a request that was accepted, unread, leaves the old key, and what waited is signed by it", async () => {
  const device = new Bench()
  await device.connect(0)
  await device.rotate()
  await device.say("a")
  await device.answer("accepted-unread", 1)
  expect(device.said).toEqual([
    [1, "old", "request"],
    [2, "old", "a"],
  ])
  expect(device.alarms).toEqual(["rotation-refused"])
  expect(await device.keys.load()).toMatchObject({ rotation: null, current: { publicKey: oldKey.publicKey } })
})

test("power lost before the answer: the head covers the request, the next key is tried, and stands", async () => {
  const device = new Bench()
  await device.connect(0)
  await device.rotate()
  const request = device.published[0]!
  await device.say("a")
  await device.losePower()
  await device.connect(1, sha256(request))
  expect(device.said).toEqual([[2, "next", "a"]])
  await device.losePower()
  await device.connect(1, sha256(request))
  expect(device.said).toEqual([[2, "next", "a"]])
  await device.answer("accepted", 2)
  expect(await device.keys.load()).toMatchObject({
    rotation: null,
    current: { publicKey: nextKey.publicKey },
  })
  expect(device.alarms).toEqual([])
})

test("power lost before the answer, and the request was not granted: the old key is tried again, and stands", async () => {
  const device = new Bench()
  await device.connect(0)
  await device.rotate()
  const request = device.published[0]!
  await device.say("a")
  await device.losePower()
  await device.connect(1, sha256(request))
  await device.answer("unknown-key", 2)
  await device.connect(1, sha256(request))
  expect(device.said).toEqual([[2, "old", "a"]])
  await device.answer("accepted", 2)
  expect(await device.keys.load()).toMatchObject({ rotation: null, current: { publicKey: oldKey.publicKey } })
  expect(device.alarms).toEqual(["rotation-refused"])
})

test("power lost before the request was stored: nothing was asked, and the old key goes on", async () => {
  const device = new Bench()
  const speaker = makeSpeaker("k7", makeSigner(oldKey))
  const rotation = {
    stage: "asked",
    other: makeSpeaker("k7", makeSigner(nextKey)),
    isNextCurrent: false,
    origin,
  } as const
  await device.keys.save(keysOf({ kind: "keys", speaker, rotation }))
  await device.losePower()
  await device.connect(0)
  await device.say("a")
  expect(device.said).toEqual([[1, "old", "a"]])
  await device.answer("accepted", 1)
  expect(await device.keys.load()).toMatchObject({ rotation: null, current: { publicKey: oldKey.publicKey } })
  expect(device.alarms).toEqual(["rotation-refused"])
})

test("the outbox is lost with the power and the request was granted: the old key is not known any more, the next one stands", async () => {
  const device = new Bench()
  await device.connect(0)
  await device.rotate()
  const request = device.published[0]!
  await device.losePower(true)
  await device.connect(1, sha256(request))
  await device.say("a")
  expect(device.said).toEqual([[2, "old", "a"]])
  await device.answer("unknown-key", 2)
  await device.connect(1, sha256(request))
  expect(device.said).toEqual([[2, "next", "a"]])
  await device.answer("accepted", 2)
  expect(await device.keys.load()).toMatchObject({
    rotation: null,
    current: { publicKey: nextKey.publicKey },
  })
  expect(device.alarms).toEqual([])
})

test("power lost before the request arrived: it goes out again, byte for byte", async () => {
  const device = new Bench()
  await device.connect(0)
  await device.rotate()
  const [request] = device.published
  await device.losePower()
  await device.connect(0)
  expect(device.published).toEqual([request])
})

test("a connection that is refused while it is not known which key stands is tried with the other", async () => {
  const device = new Bench()
  await device.connect(0)
  await device.rotate()
  const request = device.published[0]!
  await device.losePower()
  await device.connect(1, sha256(request))
  expect(device.context.speaker.signer.publicKey).toBe(nextKey.publicKey)
  await device.tell({ kind: "closed", nowMs: 0, chance: 0 })
  await device.tell({ kind: "timer", nowMs: 0 })
  await device.tell({ kind: "closed", nowMs: 0, chance: 0 })
  expect(device.context.speaker.signer.publicKey).toBe(oldKey.publicKey)
})

test("a login by the old key is refused while the answer is not known: the next key logs in, and the head tells", async () => {
  const device = new Bench()
  await device.connect(0)
  await device.rotate()
  const request = device.published[0]!
  await device.say("a")
  await device.losePower()
  expect(device.state.isLoginByNext).toBe(false)
  await device.tell({ kind: "start" })
  await device.tell({ kind: "timer", nowMs: 0 })
  // CONNACK 5.
  await device.tell({ kind: "closed", nowMs: 0, chance: 0 })
  expect(device.state.isLoginByNext).toBe(true)
  await device.connect(1, sha256(request))
  expect(device.said).toEqual([[2, "next", "a"]])
  expect(device.state.isLoginByNext).toBe(false)
  await device.answer("accepted", 2)
  expect(await device.keys.load()).toMatchObject({
    rotation: null,
    current: { publicKey: nextKey.publicKey },
  })
  expect(device.alarms).toEqual([])
})

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tidemark-keys-"))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test("a key file gives back both keys, is its owner's alone, and takes no signer whose key it cannot have", async () => {
  const path = join(folder, "k7.keys")
  const store = makeFileKeyStore({ path })
  expect(await store.load()).toBeNull()
  const rotation = { stage: "asked", other: makeSigner(nextKey), isNextCurrent: false, origin } as const
  await store.save({ current: makeSigner(oldKey), rotation })
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  const loaded = await makeFileKeyStore({ path }).load()
  expect(privateKeyOf(loaded!.current)?.secret).toEqual(oldKey.secret)
  expect(privateKeyOf(loaded!.rotation!.other)?.secret).toEqual(nextKey.secret)
  expect(loaded!.rotation).toMatchObject({ stage: "asked", isNextCurrent: false, origin })
  const foreign = { publicKey: oldKey.publicKey, sign: () => new Uint8Array(64) }
  const before = await readFile(path)
  await expect(store.save({ current: foreign, rotation: null })).rejects.toThrow(/a key store of its own/)
  expect(await readFile(path)).toEqual(before)
})
