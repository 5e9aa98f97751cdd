/** A device and the log that its chain belongs to (FORMAT §4, genesis). */
import { expect, test } from "vitest"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { genesisOf } from "../../chain/genesis.ts"
import { type Hash, parseHash, zeroHash } from "../../chain/hash.ts"
import { algorithmEd25519, makePrivateKey } from "../../chain/key.ts"
import type { Head } from "../../chain/receipt.ts"
import { type Statement, decodeStatement } from "../../chain/statement.ts"
import { type DeviceEvent, type DeviceState, stepDevice, wakeDevice } from "../../devices-sim/device.ts"
import { makeSigner, makeSpeaker } from "../../devices-sim/device-sign.ts"
import { type Alarm, deviceRulesDefault } from "../../devices-sim/device-state.ts"
import { OutboxIndex } from "../../devices-sim/outbox.ts"

const key = makePrivateKey(algorithmEd25519, new Uint8Array(32).fill(1))
const iat = 1_795_000_000
const logA = genesisOf("a.example/log+1+a", "k7")
const logB = genesisOf("b.example/log+2+b", "k7")
const empty = (firstPrev: Hash): Head => ({ seq: 0, entry: firstPrev })
const otherEntry = parseHash(new Uint8Array(32).fill(9))

/** A device whose outbox outlives it. */
class Kept {
  readonly outbox = new OutboxIndex()
  published: Statement[] = []
  alarms: Alarm[] = []
  #state: DeviceState
  #configured: Hash | null

  constructor(configured: Hash | null = null, outbox?: OutboxIndex) {
    if (outbox !== undefined) this.outbox = outbox
    this.#configured = configured
    this.#state = wakeDevice(this.outbox.content(), configured)
  }

  /** Power off, and on again with this configuration. */
  restart(configured: Hash | null): Kept {
    return new Kept(configured, this.outbox)
  }

  tell(...events: readonly DeviceEvent[]): this {
    const context = {
      speaker: makeSpeaker("k7", makeSigner(key)),
      firstPrev: this.#configured,
      rules: deviceRulesDefault,
    }
    for (const event of events) {
      const { state, effects } = stepDevice(this.#state, event, context)
      this.#state = state
      for (const effect of effects) {
        if (effect.kind === "store") for (const entry of effect.entries) this.outbox.put(entry)
        if (effect.kind === "bind") this.outbox.bind(effect.firstPrev)
        if (effect.kind === "forget")
          this.outbox.forget(effect.upTo, effect.acceptedSeq, effect.acceptedEntry)
        if (effect.kind === "alarm") this.alarms.push(effect.alarm)
        if (effect.kind === "publish") {
          const decoded = decodeStatement(effect.bytes)
          if (decoded.kind === "statement") this.published.push(decoded.statement)
        }
      }
    }
    return this
  }

  connect(head: Head): this {
    this.published = []
    this.alarms = []
    return this.tell(
      { kind: "start" },
      { kind: "timer", nowMs: 0 },
      { kind: "connected" },
      { kind: "receipt", receipt: { code: 0, seq: null, head, now: iat } },
    )
  }

  /** The connection ends, and the next one is told this head. */
  reconnect(head: Head): this {
    return this.tell(
      { kind: "closed", nowMs: 0, chance: 0 },
      { kind: "timer", nowMs: 0 },
      { kind: "connected" },
      { kind: "receipt", receipt: { code: 0, seq: null, head, now: iat } },
    )
  }

  say(...texts: readonly string[]): this {
    for (const text of texts) {
      const draft = { content: "text/plain", payload: encodeUtf8(text), iat, sub: "k7" }
      this.tell({ kind: "content", draft, readings: 1 })
    }
    return this
  }

  get isReady(): boolean {
    return this.#state.phase === "ready"
  }
}

const texts = ({ published }: Kept): string[] =>
  published.map(({ payload }) => new TextDecoder().decode(payload))

test("a device that knows its log begins there, and its first prev is the genesis", () => {
  const device = new Kept(logA).connect(empty(logA)).say("a", "b")
  expect(device.published[0]).toMatchObject({ seq: 1, prev: logA })
  expect(device.outbox.content().firstPrev).toEqual(logA)
})

test.each([
  ["the empty head of another log", empty(logB)],
  ["the zeros of a log of version 1", empty(zeroHash)],
])("a device that knows its log signs nothing on %s", (_, head) => {
  const device = new Kept(logA).connect(head).say("a")
  expect(device.alarms).toEqual([{ kind: "another-log", headSeq: 0 }])
  expect(device.isReady).toBe(false)
  expect(device.published).toEqual([])
  expect(device.outbox.content().entries).toMatchObject([{ signed: null }])
})

test("a device that only asks takes the log that it meets first, remembers it and refuses another", () => {
  const first = new Kept().connect(empty(logA)).say("a")
  expect(first.published[0]).toMatchObject({ seq: 1, prev: logA })
  const later = first.restart(null).connect(empty(logB))
  expect(later.alarms).toEqual([{ kind: "another-log", headSeq: 0 }])
  expect(later.isReady).toBe(false)
  expect(texts(first.restart(null).connect(empty(logA)))).toEqual(["a"])
})

test("a head at the accepted seq with another entry is another log's: nothing is signed on it", () => {
  const first = new Kept().connect(empty(logA)).say("a", "b")
  first.tell({ kind: "puback", number: 1 }, { kind: "puback", number: 2 })
  const { acceptedEntry } = first.outbox.content()
  const confused = first.restart(null).connect({ seq: 2, entry: otherEntry }).say("c")
  expect(confused.alarms).toEqual([{ kind: "another-log", headSeq: 2 }])
  expect(confused.published).toEqual([])
  const right = first.restart(null).connect({ seq: 2, entry: acceptedEntry! })
  expect(right.published).toMatchObject([{ seq: 3, prev: acceptedEntry }])
})

test("a device that is configured for another log makes its backlog again, and nothing is lost", () => {
  const old = new Kept(logA).connect(empty(logA)).say("a", "b", "c")
  old.tell({ kind: "puback", number: 1 })
  const moved = old.restart(logB)
  expect(moved.connect(empty(logB)).alarms).toEqual([{ kind: "log-changed", waiting: 2 }])
  expect(texts(moved)).toEqual(["b", "c"])
  expect(moved.published).toMatchObject([{ seq: 1, prev: logB }, { seq: 2 }])
  // Told once: the outbox is of the new log now, and a loss of power does not change that.
  expect(moved.restart(logB).connect(empty(logB)).alarms).toEqual([])
})

test("a backlog for a log where the device has spoken before goes behind its head there", () => {
  const old = new Kept(logA).connect(empty(logA)).say("a", "b")
  const moved = old.restart(logB).connect({ seq: 5, entry: otherEntry })
  expect(texts(moved)).toEqual(["a", "b"])
  expect(moved.published).toMatchObject([{ seq: 6, prev: otherEntry }, { seq: 7 }])
})

test("a loss of power in the middle of a change of log loses nothing and signs no place twice", () => {
  const old = new Kept(logA).connect(empty(logA)).say("a", "b")
  // The new beginning is on disk, and then the power goes before anything was signed for it.
  old.outbox.bind(logB)
  const after = old.restart(logB).connect(empty(logB))
  expect(after.published).toMatchObject([{ seq: 1, prev: logB }, { seq: 2 }])
  expect(texts(after)).toEqual(["a", "b"])
})

test("an outbox of a log of version 1 goes on in a new log with what it had not delivered", () => {
  const outbox = new OutboxIndex()
  const before = new Kept(null, outbox).connect(empty(zeroHash)).say("a", "b")
  before.tell({ kind: "puback", number: 1 })
  const moved = before.restart(logA).connect(empty(logA))
  expect(texts(moved)).toEqual(["b"])
  expect(moved.published).toMatchObject([{ seq: 1, prev: logA }])
})

test("an outbox from before chains were bound goes on in the first log that it is configured for", () => {
  const outbox = new OutboxIndex()
  outbox.forget(3, 3)
  const draft = { content: "text/plain", payload: encodeUtf8("d"), iat, sub: "k7" }
  outbox.put({ ...draft, number: 4, signed: null })
  const moved = new Kept(logA, outbox).connect(empty(logA))
  expect(moved.published).toMatchObject([{ seq: 1, prev: logA }])
  expect(outbox.content()).toMatchObject({ firstPrev: logA, acceptedSeq: 0 })
})

test("a service that lost what it acknowledged is still an alarm in a bound chain", () => {
  const first = new Kept(logA).connect(empty(logA)).say("a")
  first.tell({ kind: "puback", number: 1 })
  const later = first.restart(logA).connect(empty(logA))
  expect(later.alarms).toEqual([{ kind: "service-lost-statements", acceptedSeq: 1, headSeq: 0 }])
  expect(later.isReady).toBe(false)
})

/** A device with "a" acknowledged in log A, and "b" signed behind it and not known to be stored. */
function halfStored(): Kept {
  const device = new Kept(logA).connect(empty(logA)).say("a", "b")
  return device.tell({ kind: "puback", number: 1 })
}

test("a service whose head is further on has to know the last stored statement, or it is another log", () => {
  const device = halfStored().restart(logA).connect({ seq: 7, entry: otherEntry })
  expect(texts(device)).toEqual(["a"])
  device.tell({
    kind: "receipt",
    receipt: { code: 21, seq: 1, head: { seq: 7, entry: otherEntry }, now: iat },
  })
  expect(device.alarms).toEqual([])
  device.reconnect({ seq: 7, entry: otherEntry })
  expect(device.alarms).toEqual([{ kind: "another-log", headSeq: 7 }])
  expect(device.isReady).toBe(false)
  expect(device.outbox.content().entries).toHaveLength(1)
  const [a, b] = [device.outbox.content().acceptedEntry!, device.outbox.content().entries[0]!.signed!]
  expect(b.prev).toEqual(a)
  expect(texts(device.restart(logA).connect({ seq: 1, entry: a }))).toEqual(["b"])
})

test("where the chain went on without this outbox, the last stored statement is a duplicate, and the device goes on", () => {
  const head = { seq: 7, entry: otherEntry }
  const device = halfStored().restart(logA).connect(head)
  device.say("c").tell({ kind: "receipt", receipt: { code: 2, seq: 1, head, now: iat } })
  expect(device.alarms).toEqual([])
  expect(device.published.at(-1)).toMatchObject({ seq: 8, prev: otherEntry })
  expect(texts(device)).toEqual(["a", "c"])
})

test("what stands in the place of another's statement is said again behind it", () => {
  const head = { seq: 2, entry: otherEntry }
  const device = halfStored().restart(logA).connect(head)
  device.tell({ kind: "receipt", receipt: { code: 2, seq: 1, head, now: iat } })
  expect(device.alarms).toEqual([{ kind: "another-signer", seq: 2 }])
  expect(device.published.at(-1)).toMatchObject({ seq: 3, prev: otherEntry })
  expect(texts(device)).toEqual(["a", "b"])
})

test("a device that is configured for another log and still led to the old one knows its old head", () => {
  const old = halfStored()
  const { acceptedEntry, entries } = old.outbox.content()
  for (const head of [{ seq: 1, entry: acceptedEntry! }, entries[0]!.signed!]) {
    const moved = old.restart(logB).connect(head)
    expect(moved.alarms.at(-1)).toEqual({ kind: "another-log", headSeq: head.seq })
    expect(moved.published).toEqual([])
  }
  expect(texts(old.restart(logB).connect(empty(logB)))).toEqual(["b"])
})

test("a device that comes back to a log says again what it had signed there, and signs no place for another content", () => {
  const old = halfStored()
  const { acceptedEntry, entries } = old.outbox.content()
  const away = old.restart(logB).connect(empty(logB)).say("c")
  away.tell({ kind: "puback", number: 2 }, { kind: "puback", number: 3 })
  const back = away.restart(logA).connect({ seq: 1, entry: acceptedEntry! }).say("d")
  expect(texts(back)).toEqual(["b", "d"])
  expect(back.published[0]!.bytes).toEqual(entries[0]!.signed!.bytes)
})

test("an outbox from before chains were bound goes on in a log where the device has spoken before", () => {
  for (const seq of [2, 7]) {
    const outbox = new OutboxIndex()
    outbox.forget(3, 3)
    const old = new Kept(null, outbox).connect({ seq: 3, entry: otherEntry }).say("d")
    expect(old.published).toMatchObject([{ seq: 4 }])
    const head = { seq, entry: parseHash(new Uint8Array(32).fill(8)) }
    const moved = new Kept(logA, outbox).connect(head)
    expect([seq, texts(moved), moved.published[0]?.seq]).toEqual([seq, ["d"], seq + 1])
  }
})

test("an empty head where something was acknowledged binds no device that only asks", () => {
  const outbox = new OutboxIndex()
  outbox.forget(3, 3, otherEntry)
  const device = new Kept(null, outbox).connect(empty(logB))
  expect(device.alarms).toEqual([{ kind: "service-lost-statements", acceptedSeq: 3, headSeq: 0 }])
  expect(outbox.content().firstPrev).toBeNull()
})
