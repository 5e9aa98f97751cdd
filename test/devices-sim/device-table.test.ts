import { expect, test } from "vitest"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { parseHash } from "../../chain/hash.ts"
import { type Algorithm, algorithmEd25519, algorithmEsp256, makePrivateKey } from "../../chain/key.ts"
import { decodeLost } from "../../chain/lost.ts"
import { noHead } from "../../chain/link.ts"
import type { Head } from "../../chain/receipt.ts"
import { negateS } from "../../chain/signature.ts"
import { decodeStatement, signedBytesOf } from "../../chain/statement.ts"
import { type VerdictCode, parseVerdictCode } from "../../chain/verdict.ts"
import {
  type DeviceEvent,
  type DeviceState,
  type Effect,
  stepDevice,
  wakeDevice,
} from "../../devices-sim/device.ts"
import { type DeviceContext, deviceRulesDefault } from "../../devices-sim/device-state.ts"
import { makeSigner, makeSpeaker, replaceS, signDraft, signNatively } from "../../devices-sim/device-sign.ts"
import type { Draft, OutboxEntry } from "../../devices-sim/outbox.ts"

const secret = new Uint8Array(32).fill(7)
const contextOf = (algorithm: Algorithm, rules = {}): DeviceContext => ({
  speaker: makeSpeaker("k7", makeSigner(makePrivateKey(algorithm, secret), signNatively)),
  rules: { ...deviceRulesDefault, ...rules },
})
const ed25519 = contextOf(algorithmEd25519)
const nothing = { entries: [], forgottenUpTo: 0, acceptedSeq: 0 }
const draft = (text: string): Draft => ({
  content: "text/plain",
  payload: encodeUtf8(text),
  iat: 1_795_000_000,
  sub: "k7",
})
const content = (text: string): DeviceEvent => ({ kind: "content", draft: draft(text), readings: 1 })
const receipt = (code: VerdictCode, seq: number | null, head: Head): DeviceEvent => ({
  kind: "receipt",
  receipt: { code, seq, head, now: 1_795_000_000 },
})
const closed: DeviceEvent = { kind: "closed", nowMs: 0, chance: 0.5 }
const hash = (byte: number) => parseHash(new Uint8Array(32).fill(byte))

/** A device that is talked to; what it did since the last question is kept. */
function talkTo(context: DeviceContext, state: DeviceState = wakeDevice(nothing)) {
  const device = {
    state,
    effects: [] as Effect[],
    tell(...events: readonly DeviceEvent[]) {
      device.effects = []
      for (const event of events) {
        const step = stepDevice(device.state, event, context)
        device.state = step.state
        device.effects.push(...step.effects)
      }
      return device.effects
    },
    connect(head: Head = noHead) {
      device.tell(
        { kind: "start" },
        { kind: "timer", nowMs: 0 },
        { kind: "connected" },
        receipt(0, null, head),
      )
      return device
    },
    published: () =>
      device.effects.flatMap((effect) => {
        if (effect.kind !== "publish") return []
        const decoded = decodeStatement(effect.bytes)
        return decoded.kind === "statement" ? [decoded.statement] : []
      }),
    kinds: () => device.effects.map(({ kind }) => kind),
    alarms: () => device.effects.flatMap((effect) => (effect.kind === "alarm" ? [effect.alarm] : [])),
    outcomes: () => device.effects.flatMap((effect) => (effect.kind === "settle" ? [effect.outcome] : [])),
    head: (): Head => device.state.entries.at(-1)?.signed ?? device.state.head,
  }
  return device
}

test("a device asks for its head before it signs anything", () => {
  const device = talkTo(ed25519)
  expect(device.tell({ kind: "start" })).toEqual([{ kind: "wait", delayMs: 0 }])
  device.tell(content("a"))
  expect(device.kinds()).toEqual(["store"])
  expect(device.state.entries[0]?.signed).toBeNull()
  device.tell({ kind: "timer", nowMs: 5 }, { kind: "connected" })
  expect(device.kinds()).toEqual(["connect", "subscribe"])
  device.tell(receipt(0, null, { seq: 41, entry: hash(3) }))
  expect(device.kinds()).toEqual(["store", "publish"])
  expect(device.published()[0]).toMatchObject({ seq: 42, prev: hash(3), iss: "k7" })
})

test("a statement is stored before it is published, and what is stored is what is published", () => {
  const device = talkTo(ed25519).connect()
  device.tell(content("a"))
  const bytes = device.effects.map((effect) => {
    if (effect.kind === "store") return effect.entries[0]?.signed?.bytes
    return effect.kind === "publish" ? effect.bytes : null
  })
  expect(device.kinds()).toEqual(["store", "publish"])
  expect(bytes[0]).toBe(bytes[1])
})

test("at most a hundred statements are in flight, and an acknowledgement lets the next one go", () => {
  const device = talkTo(ed25519).connect()
  device.tell(...Array.from({ length: 103 }, (_, index) => content(`${index}`)))
  expect(device.published().map(({ seq }) => seq)).toEqual(
    Array.from({ length: 100 }, (_, index) => index + 1),
  )
  device.tell({ kind: "puback", number: 1 })
  expect(device.kinds()).toEqual(["settle", "forget", "publish"])
  expect(device.published()[0]?.seq).toBe(101)
})

test("an acknowledgement of a statement covers those before it", () => {
  const device = talkTo(ed25519).connect()
  device.tell(content("a"), content("b"), content("c"))
  device.tell({ kind: "puback", number: 2 })
  expect(device.outcomes().map((outcome) => outcome.kind === "stored" && outcome.seq)).toEqual([1, 2])
  expect(device.state.entries.map(({ number }) => number)).toEqual([3])
})

test("a device that lost its connection sends the same bytes again, from behind the head", () => {
  const device = talkTo(ed25519).connect()
  device.tell(content("a"), content("b"))
  const before = device.state.entries
  device.tell(closed, { kind: "timer", nowMs: 2_000 }, { kind: "connected" })
  expect(device.kinds()).toEqual(["wait", "connect", "subscribe"])
  device.tell(receipt(0, null, before[0]!.signed!))
  expect(device.outcomes()).toEqual([{ kind: "stored", verdict: "accepted", via: "head", seq: 1 }])
  expect(device.kinds()).toEqual(["settle", "forget", "publish"])
  expect(device.published()[0]?.bytes).toEqual(before[1]!.signed!.bytes)
})

test.each([1, 3, 4] as const)("a receipt %i lets a device forget the statement", (code) => {
  const device = talkTo(ed25519).connect()
  device.tell(content("a"))
  device.tell(receipt(code, 1, device.head()))
  expect(device.outcomes()).toEqual([
    { kind: "stored", verdict: parseVerdictCode(code), via: "receipt", seq: 1 },
  ])
  expect(device.state.entries).toEqual([])
})

test("a duplicate under another signature is gone on from, and nothing is signed twice for one place", () => {
  const device = talkTo(ed25519).connect()
  device.tell(content("a"))
  device.tell(receipt(2, 1, { seq: 1, entry: hash(9) }))
  device.tell(content("b"))
  expect(device.published()[0]).toMatchObject({ seq: 2, prev: hash(9) })
})

test("with more in flight behind a duplicate under another signature, a device asks for its head first", () => {
  const device = talkTo(ed25519).connect()
  device.tell(content("a"), content("b"))
  device.tell(receipt(2, 1, { seq: 1, entry: hash(9) }))
  // Forgotten, and then the entry that the service has in its place.
  expect(device.kinds()).toEqual(["settle", "forget", "forget", "disconnect"])
  device.tell(closed, { kind: "timer", nowMs: 2_000 }, { kind: "connected" })
  device.tell(receipt(0, null, { seq: 1, entry: hash(9) }))
  expect(device.published()[0]).toMatchObject({
    seq: 2,
    prev: hash(9),
    payload: encodeUtf8("b"),
    iat: 1_795_000_000,
  })
})

test.each([10, 15, 20, 21] as const)(
  "after a refusal %i a device asks for its head and sends the same signed bytes",
  (code) => {
    const device = talkTo(ed25519).connect()
    device.tell(content("a"))
    const [sent] = device.published()
    device.tell(receipt(code, code === 10 ? null : 1, noHead))
    expect(device.kinds().at(-1)).toBe("disconnect")
    device.tell(closed, { kind: "timer", nowMs: 2_000 }, { kind: "connected" }, receipt(0, null, noHead))
    expect(signedBytesOf(device.published()[0]!)).toEqual(signedBytesOf(sent!))
  },
)

test.each([
  [10, 3],
  [11, 1],
  [15, 3],
] as const)("what is refused with %i, %i times in a row, is said to be lost", (code, times) => {
  const device = talkTo(ed25519).connect()
  device.tell(content("a"), content("b"))
  for (let time = 0; time < times; time++) {
    device.tell(receipt(code, null, noHead))
    expect(device.outcomes()).toEqual([])
    device.tell(closed, { kind: "timer", nowMs: 0 }, { kind: "connected" }, receipt(0, null, noHead))
  }
  expect(device.outcomes()).toMatchObject([{ kind: "refused" }])
  const [lost, next] = device.published()
  expect(decodeLost(lost!.payload)).toEqual({
    reason: "refused",
    count: null,
    from: 1_795_000_000,
    to: 1_795_000_000,
  })
  expect([lost!.seq, next!.seq, next!.payload]).toEqual([1, 2, encodeUtf8("b")])
})

test("readings are never given up for a place that was wrong", () => {
  const device = talkTo(ed25519).connect()
  device.tell(content("a"))
  for (const code of [20, 21, 10, 20, 15] as const) {
    device.tell(receipt(code, 1, noHead))
    device.tell(closed, { kind: "timer", nowMs: 0 }, { kind: "connected" }, receipt(0, null, noHead))
    expect(device.published().map(({ payload }) => payload)).toEqual([encodeUtf8("a")])
  }
})

test("a stored high s is replaced, stored and sent again, and what follows is made anew", () => {
  const context = contextOf(algorithmEsp256)
  const low = signDraft(context.speaker, draft("a"), 1, noHead.entry)
  const high = replaceS(low)
  const next = signDraft(context.speaker, draft("b"), 2, high.entry)
  const entries = [
    { ...draft("a"), number: 1, signed: high },
    { ...draft("b"), number: 2, signed: next },
  ]
  const device = talkTo(context, wakeDevice({ ...nothing, entries })).connect()
  expect(device.published()[0]?.bytes).toEqual(high.bytes)
  device.tell(receipt(17, 1, noHead))
  device.tell(closed, { kind: "timer", nowMs: 0 }, { kind: "connected" }, receipt(0, null, noHead))
  expect(device.kinds().slice(-4)).toEqual(["store", "store", "publish", "publish"])
  const [again, behind] = device.published()
  expect(again?.bytes).toEqual(low.bytes)
  expect(behind).toMatchObject({ seq: 2, prev: low.entry, payload: encodeUtf8("b") })
})

test("a damaged statement's seq does not make a device say something stored twice", () => {
  const device = talkTo(ed25519).connect()
  device.tell(content("a"), content("b"))
  const [first, second] = device.state.entries
  // The service stored "a", and read the damaged "b" as if it were at seq 1; no acknowledgement came through.
  device.tell(receipt(15, 1, first!.signed!))
  device.tell(closed, { kind: "timer", nowMs: 0 }, { kind: "connected" }, receipt(0, null, first!.signed!))
  expect(device.published().map(({ bytes }) => bytes)).toEqual([second!.signed!.bytes])
})

test("a signer that gives a high s never gets it onto the wire", () => {
  const key = makePrivateKey(algorithmEsp256, secret)
  const high = {
    publicKey: key.publicKey,
    sign: (message: Uint8Array) => negateS(makeSigner(key).sign(message)),
  }
  const speaker = makeSpeaker("k7", high)
  const low = makeSpeaker("k7", makeSigner(key))
  expect(signDraft(speaker, draft("a"), 1, noHead.entry)).toEqual(signDraft(low, draft("a"), 1, noHead.entry))
})

test("a fork stops the device until a person has looked", () => {
  const device = talkTo(ed25519).connect()
  device.tell(content("a"))
  device.tell(receipt(22, 1, { seq: 1, entry: hash(5) }))
  expect(device.alarms()).toEqual([{ kind: "fork", seq: 1 }])
  expect(device.kinds().at(-1)).toBe("disconnect")
  expect(device.state.entries).toHaveLength(1)
  expect(
    device.tell(closed, { kind: "start" }, { kind: "timer", nowMs: 9e9 }, { kind: "connected" }),
  ).toEqual([])
  device.tell(content("b"))
  expect(device.kinds()).toEqual(["store"])
  expect(device.state.entries[1]?.signed).toBeNull()
})

test("a statement that names another device is an alarm; as a changed byte does it too, the device tries again after minutes", () => {
  const device = talkTo(ed25519).connect()
  device.tell(content("a"))
  const [sent] = device.published()
  device.tell(receipt(12, 1, noHead))
  expect(device.alarms()).toEqual([{ kind: "waiting", verdict: "wrong-device" }])
  device.tell(closed)
  expect(device.effects).toEqual([{ kind: "wait", delayMs: 180_000 }])
  device.tell({ kind: "timer", nowMs: 180_000 }, { kind: "connected" }, receipt(0, null, noHead))
  expect(device.published()[0]?.bytes).toEqual(sent?.bytes)
})

test.each([
  [13, "unknown-key", noHead],
  [14, "revoked", { seq: 7, entry: hash(1) }],
  [40, "suspended", { seq: 7, entry: hash(1) }],
] as const)(
  "after an answer %i (%s) a device keeps all and asks again after minutes",
  (code, verdict, head) => {
    const device = talkTo(ed25519)
    device.tell({ kind: "start" }, { kind: "timer", nowMs: 0 }, { kind: "connected" }, content("a"))
    device.tell(receipt(code, null, head))
    expect(device.alarms()).toEqual([{ kind: "waiting", verdict }])
    device.tell(closed)
    expect(device.effects).toEqual([{ kind: "wait", delayMs: 180_000 }])
    expect(device.state.entries).toMatchObject([{ signed: null }])
    device.tell({ kind: "timer", nowMs: 180_000 }, { kind: "connected" }, receipt(0, null, noHead))
    expect(device.published()).toHaveLength(1)
  },
)

test("a head below what was acknowledged is an alarm: all is kept and nothing is signed", () => {
  const device = talkTo(ed25519, wakeDevice({ ...nothing, acceptedSeq: 9 })).connect({
    seq: 8,
    entry: hash(2),
  })
  expect(device.alarms()).toEqual([{ kind: "service-lost-statements", acceptedSeq: 9, headSeq: 8 }])
  device.tell(content("a"))
  expect(device.state.entries).toMatchObject([{ signed: null }])
  device.tell(closed)
  expect(device.effects).toEqual([{ kind: "wait", delayMs: 180_000 }])
})

test("another's statement in our place is an alarm", () => {
  const device = talkTo(ed25519).connect()
  device.tell(content("a"))
  device.tell(
    closed,
    { kind: "timer", nowMs: 0 },
    { kind: "connected" },
    receipt(0, null, { seq: 1, entry: hash(8) }),
  )
  expect(device.alarms()).toEqual([{ kind: "another-signer", seq: 1 }])
})

test("the same statement refused for ever is an alarm, and the device waits for minutes", () => {
  const device = talkTo(ed25519).connect()
  device.tell(content("a"))
  for (let time = 0; time < 3; time++) {
    device.tell(receipt(21, 1, noHead))
    expect(device.alarms()).toEqual([])
    device.tell(closed, { kind: "timer", nowMs: 0 }, { kind: "connected" }, receipt(0, null, noHead))
  }
  device.tell(receipt(21, 1, noHead))
  device.tell(closed, { kind: "timer", nowMs: 0 }, { kind: "connected" }, receipt(0, null, noHead))
  expect(device.alarms()).toEqual([{ kind: "contradiction", verdict: "broken", seq: 1 }])
  expect(device.kinds().at(-1)).toBe("disconnect")
  device.tell(closed)
  expect(device.effects).toEqual([{ kind: "wait", delayMs: 180_000 }])
})

test("a device connects at most once a second, and less often while it gets nowhere", () => {
  const delays: number[] = []
  const device = talkTo(ed25519)
  device.tell({ kind: "start" })
  for (let nowMs = 0; delays.length < 9; nowMs += 10) {
    device.tell({ kind: "timer", nowMs }, { kind: "closed", nowMs: nowMs + 10, chance: 0.999 })
    delays.push(Math.round(device.effects.flatMap((e) => (e.kind === "wait" ? [e.delayMs] : []))[0]!))
  }
  expect(delays).toEqual([999, 1998, 3996, 7992, 15984, 31968, 59940, 59940, 59940])
  device.tell({ kind: "timer", nowMs: 5_000 }, { kind: "closed", nowMs: 5_100, chance: 0 })
  expect(device.effects.at(-1)).toEqual({ kind: "wait", delayMs: 900 })
})

test("a connection that brought something into the service starts the delays anew", () => {
  const device = talkTo(ed25519).connect()
  for (let time = 0; time < 5; time++) device.tell(closed, { kind: "timer", nowMs: 0 })
  device.tell({ kind: "connected" }, receipt(0, null, noHead), content("a"), { kind: "puback", number: 1 })
  device.tell({ kind: "closed", nowMs: 60_000, chance: 0.5 })
  expect(device.effects).toEqual([{ kind: "wait", delayMs: 500 }])
})

test("readings that found no room are said to be lost, once there is room", () => {
  const device = talkTo(contextOf(algorithmEd25519, { entriesMax: 2 })).connect()
  device.tell(content("a"), content("b"), content("c"), content("d"))
  expect(device.outcomes()).toEqual([{ kind: "overflowed" }, { kind: "overflowed" }])
  device.tell({ kind: "puback", number: 1 })
  const [lost] = device.published()
  expect(lost?.seq).toBe(3)
  expect(decodeLost(lost!.payload)).toMatchObject({ reason: "buffer-overflow", count: 2 })
})

test("what cannot be a statement is refused before it is stored", () => {
  const device = talkTo(ed25519).connect()
  const large: Draft = { ...draft(""), payload: new Uint8Array(65_500) }
  const operators: Draft = { ...draft("a"), content: "application/vnd.tidemark.block+cbor" }
  for (const bad of [large, operators]) device.tell({ kind: "content", draft: bad, readings: null })
  expect(device.kinds()).toEqual(["settle"])
  expect(device.outcomes()).toMatchObject([{ kind: "refused", verdict: "malformed" }])
  device.tell(content("fine"))
  expect(device.published()[0]).toMatchObject({ seq: 1 })
})

test("a device that was stopped and started again goes on where it was", () => {
  const device = talkTo(ed25519).connect()
  device.tell(content("a"))
  const sent = device.state.entries[0]?.signed?.bytes
  device.tell({ kind: "stop" }, closed)
  expect(device.kinds()).toEqual(["disconnect"])
  device.connect()
  expect(device.published()[0]?.bytes).toEqual(sent)
})

test("a chain that was half made anew before a loss of power is made anew as a whole", () => {
  const { speaker } = ed25519
  const entry = (number: number, signed: OutboxEntry["signed"]): OutboxEntry => ({
    ...draft(`${number}`),
    number,
    signed,
  })
  const one = signDraft(speaker, draft("1"), 5, hash(1))
  const two = signDraft(speaker, draft("2"), 6, hash(2))
  const device = talkTo(
    ed25519,
    wakeDevice({ ...nothing, entries: [entry(1, one), entry(2, two), entry(3, null)] }),
  )
  device.connect({ seq: 4, entry: hash(1) })
  const [first, second, third] = device.published()
  expect(first?.bytes).toEqual(one.bytes)
  expect(second).toMatchObject({ seq: 6, prev: one.entry, payload: encodeUtf8("2") })
  expect(third).toMatchObject({ seq: 7, payload: encodeUtf8("3") })
})

test("node's Ed25519 and noble give the same bytes", () => {
  const key = makePrivateKey(algorithmEd25519, secret)
  expect(signNatively(key, encodeUtf8("a"))).toEqual(makeSigner(key).sign(encodeUtf8("a")))
})
