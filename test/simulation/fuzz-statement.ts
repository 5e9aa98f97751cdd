/** Statements with one thing wrong, or none: damaged bytes, broken claims that are rightly signed, parts of several devices. */
import { joinBytes } from "../../chain/bytes.ts"
import { parseHash } from "../../chain/hash.ts"
import { algorithmEd25519, algorithmEsp256 } from "../../chain/key.ts"
import type { Head } from "../../chain/receipt.ts"
import { encodePack } from "../../chain/senml.ts"
import type { Series } from "../../chain/series.ts"
import { negateS, signatureSize } from "../../chain/signature.ts"
import {
  type Claims,
  contentLost,
  contentPolicy,
  contentRegistry,
  encodeSignedBytes,
  encodeStatement,
} from "../../chain/statement.ts"
import { signNatively } from "../../devices-sim/device-sign.ts"
import type { Random } from "../../devices-sim/random.ts"
import { mutate } from "./fuzz-mutation.ts"
import { type SoakDevice, claimsBehind, signClaims } from "./soak-device.ts"

export interface Made {
  readonly bytes: Uint8Array
  readonly what: string
}

/** A statement of `device` for the place behind `head`, right or wrong; `other` lends its parts. */
export function makeStatement(device: SoakDevice, other: SoakDevice, head: Head, random: Random): Made {
  const claims = claimsBehind(device, head, makePayload(random))
  const way = random.float()
  if (way < 0.12) return { bytes: signClaims(device.key, claims), what: "honest" }
  if (way < 0.4) {
    const stranger = encodeStatement(
      claimsBehind(other, head, makePayload(random)),
      random.bytes(signatureSize),
    )
    const { bytes, what } = mutate(signClaims(device.key, claims), random, stranger)
    return { bytes, what: `bytes ${what}` }
  }
  if (way < 0.62) {
    const { bytes, what } = mutate(claims.payload, random, random.bytes(40))
    return { bytes: signClaims(device.key, { ...claims, payload: bytes }), what: `signed payload ${what}` }
  }
  if (way < 0.88) return breakClaim(device, other, claims, random)
  return breakSignature(device, other, claims, random)
}

function breakClaim(device: SoakDevice, other: SoakDevice, claims: Claims, random: Random): Made {
  const far = random.pick([0, 1, 2 ** 31, 2 ** 32, 2 ** 53 - 1, random.int(0, 2 ** 40)])
  // Our own encoder writes no control characters.
  const words = new TextDecoder()
    .decode(random.bytes(random.int(0, 60)))
    .replaceAll(/[\u0000-\u001f\u007f]/g, "~")
  const choices: readonly (readonly [string, Partial<Claims>])[] = [
    ["iss of another", { iss: other.id }],
    ["iss", { iss: words }],
    ["sub", { sub: words }],
    ["iat", { iat: far }],
    ["seq", { seq: far }],
    ["the next seq but one", { seq: claims.seq + 1 }],
    ["the last seq", { seq: Math.max(1, claims.seq - 1) }],
    ["prev", { prev: parseHash(random.bytes(32)) }],
    ["kid", { kid: random.bytes(8) }],
    ["kid of another", { kid: other.kid }],
    ["alg", { algorithm: claims.algorithm === algorithmEd25519 ? algorithmEsp256 : algorithmEd25519 }],
    ["an opaque content", { content: words === "" ? "text/plain" : words }],
    ["lost", { content: contentLost }],
    ["registry", { content: contentRegistry }],
    ["policy", { content: contentPolicy }],
    ["a hash envelope", { content: { digestAlgorithm: random.pick([-16, -43, -44, -1]), location: words } }],
    ["an empty payload", { payload: new Uint8Array(0) }],
    ["a random payload", { payload: random.bytes(random.int(1, 400)) }],
  ]
  const [what, broken] = random.pick(choices)
  return { bytes: signClaims(device.key, { ...claims, ...broken }), what: `signed ${what}` }
}

function breakSignature(device: SoakDevice, other: SoakDevice, claims: Claims, random: Random): Made {
  const right = signNatively(device.key, encodeSignedBytes(claims))
  const choices: readonly (readonly [string, () => Uint8Array])[] = [
    ["of another device", () => signNatively(other.key, encodeSignedBytes(claims))],
    ["random", () => random.bytes(signatureSize)],
    ["zeros", () => new Uint8Array(signatureSize)],
    ["of small order", () => joinBytes(Uint8Array.of(1), new Uint8Array(31), right.subarray(32))],
    ["not canonical", () => joinBytes(new Uint8Array(32).fill(255), right.subarray(32))],
    ["with s of 255s", () => joinBytes(right.subarray(0, 32), new Uint8Array(32).fill(255))],
    ["with the other s", () => negateS(right)],
    ["mutated", () => mutate(right, random, random.bytes(64)).bytes],
  ]
  const [what, makeSignature] = random.pick(choices)
  return { bytes: encodeStatement(claims, makeSignature()), what: `a signature ${what}` }
}

/** A pack that may be read, of one kind or several. */
function makePayload(random: Random): Uint8Array {
  const at = 1_760_000_000 + random.int(0, 1_000_000)
  const count = random.float() < 0.005 ? random.int(500, 4_900) : random.int(1, 12)
  const times = Array.from({ length: count }, (_, index) => at + index)
  const kinds: readonly Series[] = [
    { kind: "number", name: "heart-rate", unit: "beat/min", times, values: times.map((t) => 40 + (t % 99)) },
    {
      kind: "number",
      name: "urn:dev:mac:01:temp",
      unit: null,
      times,
      values: times.map(() => random.float()),
    },
    { kind: "sum", name: "steps", unit: null, times, values: times.map((t) => t % 7) },
    { kind: "boolean", name: "worn", unit: null, times, values: times.map((t) => t % 2 === 0) },
    { kind: "text", name: "note", unit: null, times, values: times.map(() => "wie gestern ☾") },
    {
      kind: "bytes",
      name: "raw",
      unit: null,
      times,
      values: times.map((t) => Uint8Array.of(t & 255, 0, 92)),
    },
    {
      kind: "waveform",
      name: "ecg",
      unit: "mV",
      startsAt: at,
      periodMs: 4,
      factor: 0.001,
      origin: 0,
      samples: Int16Array.from(times, (t) => t % 3_000),
    },
  ]
  return encodePack(
    random.float() < 0.7
      ? [random.pick(kinds)]
      : [random.pick(kinds.slice(0, 2)), random.pick(kinds.slice(2))],
  )
}
