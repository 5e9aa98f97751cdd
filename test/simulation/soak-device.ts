/** Devices of the soaks: keys from the seed, statements for any head, and the frames that carry them. */
import { generate } from "mqtt-packet"
import { type Algorithm, type PrivateKey, kidOf, makePrivateKey } from "../../chain/key.ts"
import type { Head } from "../../chain/receipt.ts"
import { encodePack } from "../../chain/senml.ts"
import { type Claims, contentSenml, encodeSignedBytes, encodeStatement } from "../../chain/statement.ts"
import { signNatively } from "../../devices-sim/device-sign.ts"
import type { Random } from "../../devices-sim/random.ts"

export interface SoakDevice {
  readonly id: string
  readonly key: PrivateKey
  readonly kid: Uint8Array
}

export function makeSoakDevice(id: string, algorithm: Algorithm, random: Random): SoakDevice {
  const key = makePrivateKey(algorithm, random.bytes(32))
  return { id, key, kid: kidOf(key.publicKey) }
}

/** An honest statement's claims for the place behind `head`. */
export function claimsBehind({ id, key, kid }: SoakDevice, head: Head, payload: Uint8Array): Claims {
  return {
    algorithm: key.publicKey.algorithm,
    kid,
    content: contentSenml,
    iss: id,
    sub: id,
    iat: 1_760_000_000 + head.seq,
    seq: head.seq + 1,
    prev: head.entry,
    payload,
  }
}

export function signClaims(key: PrivateKey, claims: Claims): Uint8Array {
  return encodeStatement(claims, signNatively(key, encodeSignedBytes(claims)))
}

/** `count` heart rates, a second apart. */
export function heartRates(seq: number, count: number): Uint8Array {
  const startsAt = 1_760_000_000 + 60 * seq
  const times = Array.from({ length: count }, (_, index) => startsAt + index)
  const values = times.map((_, index) => 60 + ((seq + index) % 50))
  return encodePack([{ kind: "number", name: "heart-rate", unit: "beat/min", times, values }])
}

export function connectFrame(clientId: string): Uint8Array {
  return generate({
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: 4,
    clean: true,
    keepalive: 0,
    clientId,
  })
}

export function subscribeFrame(clientId: string): Uint8Array {
  return generate({
    cmd: "subscribe",
    messageId: 1,
    subscriptions: [{ topic: `v1/${clientId}/receipts`, qos: 0 }],
  })
}

export function publishFrame(clientId: string, payload: Uint8Array, messageId: number): Uint8Array {
  return generate({
    cmd: "publish",
    topic: `v1/${clientId}/statements`,
    payload: Buffer.from(payload),
    qos: 1,
    dup: false,
    retain: false,
    messageId,
  })
}
