/** Those who do not keep the rules: a device that is broken or means ill, and strangers who replay, alter and make up. */
import { equalBytes } from "../../../chain/bytes.ts"
import type { Hash } from "../../../chain/hash.ts"
import { noHead } from "../../../chain/link.ts"
import { algorithmEsp256, kidOf, type PrivateKey } from "../../../chain/key.ts"
import { encodeRegistry } from "../../../chain/registry.ts"
import { decodeReceipt } from "../../../chain/receipt.ts"
import { encodePack } from "../../../chain/senml.ts"
import { negateS, signatureSize } from "../../../chain/signature.ts"
import {
  type Claims,
  contentRegistry,
  contentSenml,
  encodeSignedBytes,
  encodeStatement,
} from "../../../chain/statement.ts"
import type { Verdict } from "../../../chain/verdict.ts"
import { verdictCodes } from "../../../chain/verdict.ts"
import { signNatively } from "../../../devices-sim/connection.ts"
import type { Random } from "../../../devices-sim/random.ts"
import type { DeviceWorld } from "./device.ts"

/** Something to be sent to a device's topic, and the only verdicts that it may get. */
interface Foul {
  readonly device: string
  readonly bytes: Uint8Array | "too-large"
  readonly verdicts: readonly Verdict[]
}

/** Whether the verdict came or not: the connection may be fenced off before. */
function send(world: DeviceWorld, { device, bytes, verdicts }: Foul): void {
  const { network, truth } = world
  const codes = verdicts.map((verdict) => verdictCodes[verdict] as number)
  const wire = network.open(device, world.balance(), {
    connected: () =>
      // As it is: what becomes of damage is known for what it is damaged from.
      wire.sendWhole({
        message:
          bytes === "too-large" ? { kind: "too-large", sizeBytes: 70_000 } : { kind: "statement", bytes },
        number: 1,
      }),
    receipt: (payload) => {
      const { code } = decodeReceipt(payload)
      truth.demand(
        2,
        codes.includes(code),
        `${device} was sent what must be ${verdicts.join(" or ")}, and it was ${code}`,
      )
      wire.cut()
    },
    // Nobody subscribed: an acknowledgement stands for what is stored.
    acknowledged: () => {
      truth.demand(
        2,
        codes.some((code) => code < 10),
        `${device} was sent what must be ${verdicts.join(" or ")}, and it was acknowledged`,
      )
      wire.cut()
    },
    closed: () => {},
  })
  world.clock.after(20_000, () => wire.cut())
}

/** Somebody who has no key, and has seen what was published. */
export function actAsStranger(world: DeviceWorld, devices: readonly string[], random: Random): void {
  const { truth } = world
  const made = [...truth.made.values()]
  const victim = random.pick(devices)
  const seen = made.length === 0 ? null : random.pick(made).statement
  const kind = random.pick([
    "garbage",
    "too-large",
    "unknown",
    "replay",
    "elsewhere",
    "flip",
    "other-s",
    "another-log",
  ] as const)
  truth.see(`stranger ${kind}`)
  switch (kind) {
    case "garbage":
      send(world, { device: victim, bytes: random.bytes(random.int(1, 200)), verdicts: ["malformed"] })
      return
    case "too-large":
      send(world, { device: victim, bytes: "too-large", verdicts: ["too-large"] })
      return
    case "unknown":
      if (seen !== null) send(world, { device: "nobody", bytes: seen.bytes, verdicts: ["wrong-device"] })
      return
    case "elsewhere": {
      const other = devices.find((device) => device !== seen?.iss)
      if (seen !== null && other !== undefined)
        send(world, { device: other, bytes: seen.bytes, verdicts: ["wrong-device"] })
      return
    }
    case "replay":
      // It may be stored by now or not, or never come to be: what it may not be is anything else.
      if (seen !== null)
        send(world, {
          device: seen.iss,
          bytes: seen.bytes,
          verdicts: [
            "accepted",
            "accepted-unread",
            "accepted-ahead",
            "duplicate",
            "gap",
            "broken",
            "fork",
            "unknown-key",
            "revoked",
            "suspended",
          ],
        })
      return
    case "another-log": {
      // What the device said in another log, where it speaks under the same key.
      const bytes = random.pick(world.saidElsewhere(victim))
      send(world, {
        device: victim,
        bytes,
        verdicts: ["gap", "broken", "unknown-key", "revoked", "suspended"],
      })
      return
    }
    case "flip": {
      if (seen === null) return
      const bytes = Uint8Array.from(seen.bytes)
      bytes[random.int(0, bytes.length - 1)]! ^= 1 << random.int(0, 7)
      const verdicts = ["malformed", "wrong-device", "unknown-key", "bad-signature", "high-s"] as const
      send(world, { device: seen.iss, bytes, verdicts })
      return
    }
    case "other-s": {
      // The equation holds for both s of an ECDSA signature: only the rule keeps the second one out.
      if (seen === null || seen.algorithm !== algorithmEsp256) return
      const cut = seen.bytes.length - signatureSize
      const bytes = Uint8Array.from(seen.bytes)
      bytes.set(negateS(seen.bytes.subarray(cut)), cut)
      send(world, { device: seen.iss, bytes, verdicts: ["high-s", "unknown-key"] })
    }
  }
}

/** An enrolled device that signs what it likes. What it signs is its own word, so it may enter where it links. */
export class Rogue {
  readonly id: string
  readonly key: PrivateKey
  private readonly world: DeviceWorld
  private readonly random: Random
  /** As it was told last; it asks before it says anything. */
  private head: { readonly seq: number; readonly entry: Hash } = noHead
  private before: { readonly seq: number; readonly entry: Hash } = this.head

  constructor(id: string, key: PrivateKey, world: DeviceWorld, random: Random) {
    this.id = id
    this.key = key
    this.world = world
    this.random = random
  }

  /** Asks for its head, and sends a few things behind it. */
  act(): void {
    const { world, random, id } = this
    const { network, truth } = world
    let isAsked = false
    const wire = network.open(id, world.balance(), {
      connected: () => wire.subscribe(),
      receipt: (payload) => {
        const { head } = decodeReceipt(payload)
        if (!equalBytes(head.entry, this.head.entry)) this.before = this.head
        this.head = head
        if (isAsked) return
        isAsked = true
        for (let left = random.int(1, 4); left > 0; left--) {
          const bytes = this.sign()
          truth.publish(bytes)
          wire.send({ message: { kind: "statement", bytes }, number: random.float() < 0.8 ? left : null })
        }
      },
      acknowledged: () => {},
      closed: () => {},
    })
    world.clock.after(15_000, () => wire.cut())
  }

  private sign(): Uint8Array {
    const { random, head, before, world } = this
    const kind = random.pick(["next", "next", "fork", "gap", "broken", "again", "request", "far"] as const)
    world.truth.see(`rogue ${kind}`)
    const now = Math.floor(world.trueTimeMs() / 1000)
    const next = { seq: head.seq + 1, prev: head.entry, iat: now }
    switch (kind) {
      case "next":
        return this.make({ ...next, iat: now + random.int(0, 5) })
      case "fork":
        // At the place of its last statement, on the one before, with other content.
        if (head.seq === 0 || before.seq !== head.seq - 1) return this.make(next)
        return this.make({ seq: head.seq, prev: before.entry, iat: now + random.int(10, 1_000) })
      case "gap":
        return this.make({ ...next, seq: head.seq + random.int(2, 50) })
      case "broken":
        return this.make({ ...next, seq: Math.max(1, head.seq), prev: random.bytes(32) as Hash })
      case "again":
        return this.make({ seq: Math.max(1, head.seq), prev: before.entry, iat: now })
      case "request": {
        // A request for a key without a good proof: stored, and not granted.
        const payload = encodeRegistry({
          action: "rotate",
          device: this.id,
          key: this.key.publicKey,
          firstSeq: head.seq + 2,
          proofOfNew: random.bytes(64),
        })
        return this.make({ ...next, content: contentRegistry, payload })
      }
      default:
        return this.make({ ...next, iat: 2 ** 52 })
    }
  }

  private make(claims: Partial<Claims> & Pick<Claims, "seq" | "prev" | "iat">): Uint8Array {
    const { id, key, random } = this
    const time = claims.iat < 2 ** 40 ? claims.iat : 1_800_000_000
    const payload = encodePack([
      { kind: "number", name: "rogue", unit: null, times: [time], values: [random.int(0, 9)] },
    ])
    const whole: Claims = {
      algorithm: key.publicKey.algorithm,
      kid: kidOf(key.publicKey),
      content: contentSenml,
      iss: id,
      sub: id,
      payload,
      ...claims,
    }
    return encodeStatement(whole, signNatively(key, encodeSignedBytes(whole)))
  }
}
