/** Cases of the fuzz: each follows from the seed, its number and the head that its device was told last. */
import { generate } from "mqtt-packet"
import { joinBytes } from "../../chain/bytes.ts"
import { algorithmEd25519, algorithmEsp256 } from "../../chain/key.ts"
import type { Head } from "../../chain/receipt.ts"
import { type Random, makeRandom } from "../../devices-sim/random.ts"
import { encodeRemaining, lieAboutLength } from "./fuzz-frames.ts"
import { mutate } from "./fuzz-mutation.ts"
import { makeStatement } from "./fuzz-statement.ts"
import { type SoakDevice, connectFrame, makeSoakDevice, publishFrame } from "./soak-device.ts"

export type FuzzKind = "connect" | "publish" | "statement"

export interface FuzzCase {
  readonly number: number
  readonly kind: FuzzKind
  /** What is wrong with it, in words. */
  readonly what: string
  /** `connect`: the first bytes of a connection. Else what comes behind CONNECT. */
  readonly bytes: Uint8Array
}

/** Enrolled, and none of them a bit away from another. */
export function makeFuzzDevices(seed: number, count: number): readonly SoakDevice[] {
  const random = makeRandom(`fuzz ${seed} devices`)
  return Array.from({ length: count }, (_, index) => {
    const one = random.fork(String(index))
    const name = Array.from(one.bytes(8), (byte) => (byte % 36).toString(36)).join("")
    // P-256 is signed by noble, ten times slower: one in sixteen.
    return makeSoakDevice(`f${index}-${name}`, index % 16 === 0 ? algorithmEsp256 : algorithmEd25519, one)
  })
}

export function kindOf(seed: number, number: number): FuzzKind {
  const draw = caseRandom(seed, number).float()
  return draw < 0.2 ? "connect" : draw < 0.5 ? "publish" : "statement"
}

export function makeCase(seed: number, number: number, devices: readonly SoakDevice[], head: Head): FuzzCase {
  const random = caseRandom(seed, number)
  random.float()
  const kind = kindOf(seed, number)
  const device = devices[number % devices.length]!
  const other = devices[random.int(0, devices.length - 1)]!
  const made =
    kind === "connect"
      ? makeConnect(number, random)
      : kind === "publish"
        ? makePublish(device, other, head, random)
        : wrap(device, makeStatement(device, other, head, random), random)
  return { number, kind, ...made }
}

function caseRandom(seed: number, number: number): Random {
  return makeRandom(`fuzz ${seed} case ${number}`)
}

/** Below the probe's own. */
const messageIdMax = 60_000

function wrap(device: SoakDevice, made: { bytes: Uint8Array; what: string }, random: Random) {
  return { bytes: publishFrame(device.id, made.bytes, random.int(1, messageIdMax)), what: made.what }
}

const topics = [
  "$SYS/x/new/clients",
  "v1/+/statements",
  "v1/#",
  "#",
  "",
  "v1//statements",
  "v1/\u0000/statements",
  "a/".repeat(300),
  "v1/ü/statements",
]
const lengths = [0, 1, 2, 127, 128, 16_383, 16_384, 65_535, 65_536, 262_144, 262_145, 268_435_455]

/** A PUBLISH that is wrong itself, whatever it carries. */
function makePublish(device: SoakDevice, other: SoakDevice, head: Head, random: Random) {
  const statement = makeStatement(device, other, head, random)
  const messageId = random.int(1, messageIdMax)
  const frame = publishFrame(device.id, statement.bytes, messageId)
  const way = random.float()
  if (way < 0.35) {
    const { bytes, what } = mutate(frame, random, publishFrame(other.id, random.bytes(30), messageId))
    return { bytes, what: `frame ${what}` }
  }
  if (way < 0.45) {
    const length = random.pick([
      ...lengths,
      frame.length - random.int(0, 40),
      frame.length + random.int(0, 40),
    ])
    return { bytes: lieAboutLength(frame, Math.max(0, length)), what: `length ${length}` }
  }
  if (way < 0.55) {
    const topic = random.pick([...topics, `v1/${other.id}/statements`, `v1/${device.id}/receipts`])
    return {
      bytes: publishTo(topic, statement.bytes, random.pick([0, 2, 4]), messageId),
      what: `topic ${topic}`,
    }
  }
  if (way < 0.56) {
    // Around what a statement may have, and around what a packet may.
    const size = random.pick([65_535, 65_536, 70_000, 262_110, 262_144, 262_145])
    return { bytes: publishFrame(device.id, new Uint8Array(size).fill(7), messageId), what: `${size} bytes` }
  }
  if (way < 0.6) {
    const size = random.pick([0, 1, 255])
    return { bytes: publishFrame(device.id, random.bytes(size), messageId), what: `${size} random bytes` }
  }
  // QoS, DUP and RETAIN in all their combinations, with a packet id of any kind.
  const flags = random.int(0, 15)
  const id = random.pick([0, 1, messageId])
  return {
    bytes: publishTo(`v1/${device.id}/statements`, statement.bytes, flags, id),
    what: `flags ${flags}`,
  }
}

/** mqtt-packet refuses to make most of these. */
function publishTo(topic: string, payload: Uint8Array, flags: number, messageId: number): Uint8Array {
  const name = new TextEncoder().encode(topic)
  const id = (flags & 6) === 0 ? [] : [messageId >> 8, messageId & 255]
  const body = joinBytes(
    Uint8Array.of(name.length >> 8, name.length & 255),
    name,
    Uint8Array.from(id),
    payload,
  )
  return joinBytes(Uint8Array.of(0x30 | flags), encodeRemaining(body.length), body)
}

/** A CONNECT with a will, a login, or a flaw, and then damaged. */
function makeConnect(number: number, random: Random) {
  const clientId = random.pick([
    `c${number}-${random.int(0, 1e9)}`,
    "",
    "a b",
    "+",
    "$SYS",
    "x".repeat(51),
    "ü",
    `c${number}`,
  ])
  const text = (sizeMax: number): string => "p".repeat(random.int(0, sizeMax))
  const isOld = random.float() < 0.1 && clientId !== ""
  const bytes = generate({
    cmd: "connect",
    protocolId: isOld ? "MQIsdp" : "MQTT",
    protocolVersion: isOld ? 3 : 4,
    clean: clientId === "" ? true : random.float() < 0.8,
    keepalive: random.pick([0, 30, 600, 65_535]),
    clientId,
    ...(random.float() < 0.3 ? { username: text(300), password: Buffer.from(text(600)) } : {}),
    ...(random.float() < 0.3
      ? {
          will: {
            topic: random.pick(["v1/k7/statements", "$SYS/x/new/clients", "a"]),
            payload: Buffer.from(text(400)),
            qos: random.pick([0, 1, 2]),
            retain: random.float() < 0.5,
          },
        }
      : {}),
  })
  const way = random.float()
  if (way < 0.1) return { bytes, what: `client id ${clientId.length}` }
  if (way < 0.25) {
    const length = random.pick([...lengths, bytes.length + random.int(-20, 20)])
    return { bytes: lieAboutLength(bytes, Math.max(0, length)), what: `length ${length}` }
  }
  if (way < 0.35) {
    // Protocol level, connect flags and keepalive stand behind the name.
    const changed = Uint8Array.from(bytes)
    for (let count = random.int(1, 3); count > 0; count--)
      changed[Math.min(changed.length - 1, random.int(8, 13))] = random.int(0, 255)
    return { bytes: changed, what: "level, flags, keepalive" }
  }
  if (way < 0.37) return { bytes: random.bytes(random.int(1, 200)), what: "random bytes" }
  const { bytes: mutated, what } = mutate(bytes, random, connectFrame(`c${number}`))
  // Nothing at all is no case.
  return mutated.length === 0 ? { bytes: Uint8Array.of(0), what: "a zero" } : { bytes: mutated, what }
}
