/** A service in memory that judges by chain's pure functions: the model that devices are tried against. */
import { createPublicKey, verify } from "node:crypto"
import type { Answer, Message, Place, Submit } from "../../broker/submit.ts"
import { equalBytes, formatBase64url } from "../../chain/bytes.ts"
import { type Head, encodeReceipt } from "../../chain/receipt.ts"
import {
  type DeviceKey,
  type DeviceStatus,
  type StoredPlace,
  findKey,
  judgeLink,
  verdictOfNext,
} from "../../chain/link.ts"
import { type PublicKey, algorithmEd25519, kidOf } from "../../chain/key.ts"
import { type ChainBinding, emptyHeadOf, firstPrevOf } from "../../chain/genesis.ts"
import { isAhead, readPayload } from "../../chain/payload.ts"
import { type VerifyEquation, checkSignature, verifyEquation } from "../../chain/signature.ts"
import { type Statement, decodeStatement, entryOf, signedBytesOf } from "../../chain/statement.ts"
import { type Verdict, isRefusal, verdictCodes } from "../../chain/verdict.ts"
import { sha256 } from "../../chain/hash.ts"

interface StoredStatement extends StoredPlace {
  readonly statement: Statement
}

export interface ModelDevice {
  readonly keys: DeviceKey[]
  status: DeviceStatus
  chain: StoredStatement[]
  epoch: number
}

const native: VerifyEquation = (key, message, signature) => {
  if (key.algorithm !== algorithmEd25519) return verifyEquation(key, message, signature)
  const jwk = { kty: "OKP", crv: "Ed25519", x: formatBase64url(key.bytes) }
  return verify(null, message, createPublicKey({ key: jwk, format: "jwk" }), signature)
}

/** The vkey of the model's log: nothing here checks a checkpoint. */
export const modelVkey = "model.example/log+00000000+model"

export class ModelService implements Submit {
  readonly devices = new Map<string, ModelDevice>()
  /** How often each verdict was given. */
  readonly given = new Map<Verdict, number>()
  readonly nowMs: number
  binding: ChainBinding = { logVkey: modelVkey, version: 2 }
  /** A verdict that a test forces on the next statement, once. */
  private readonly forced: Verdict[] = []

  constructor(nowMs: number) {
    this.nowMs = nowMs
  }

  enrol(id: string, key: PublicKey): ModelDevice {
    const known = this.devices.get(id)
    if (known !== undefined) return known
    const device: ModelDevice = {
      keys: [{ kid: kidOf(key), key, firstSeq: 1, lastSeq: null, endedBy: null }],
      status: "active",
      chain: [],
      epoch: 0,
    }
    this.devices.set(id, device)
    return device
  }

  force(...verdicts: Verdict[]): void {
    this.forced.push(...verdicts)
  }

  headOf(id: string): Head {
    const chain = this.devices.get(id)?.chain ?? []
    const last = chain.at(-1)
    return last === undefined ? emptyHeadOf(this.binding, id) : { seq: chain.length, entry: last.entry }
  }

  /** The payloads in the order in which they are stored. */
  payloadsOf(id: string): Uint8Array[] {
    return (this.devices.get(id)?.chain ?? []).map(({ statement }) => statement.payload)
  }

  countOf(verdict: Verdict): number {
    return this.given.get(verdict) ?? 0
  }

  open(deviceId: string): ModelPlace {
    return new ModelPlace(this, deviceId)
  }

  judge(deviceId: string, message: Message): { readonly verdict: Verdict; readonly seq: number | null } {
    const device = this.devices.get(deviceId)
    if (message.kind === "question") {
      if (device === undefined) return { verdict: "unknown-key", seq: null }
      if (device.status === "active") return { verdict: "head", seq: null }
      return { verdict: device.status, seq: null }
    }
    if (message.kind === "too-large") return { verdict: "too-large", seq: null }
    const decoded = decodeStatement(message.bytes)
    if (decoded.kind !== "statement") return { verdict: decoded.kind, seq: null }
    const { statement } = decoded
    const { seq } = statement
    const forced = this.forced.shift()
    if (forced !== undefined)
      return { verdict: forced, seq: isRefusal(forced) && forced === "malformed" ? null : seq }
    return { verdict: this.judgeStatement(deviceId, device, statement), seq }
  }

  private judgeStatement(id: string, device: ModelDevice | undefined, statement: Statement): Verdict {
    if (statement.iss !== id) return "wrong-device"
    const { seq, prev, bytes } = statement
    const finding = findKey(device?.keys ?? [], statement.kid, seq)
    if (device === undefined || finding.kind === "unknown-key") return "unknown-key"
    const signedBytes = signedBytesOf(statement)
    const signature = checkSignature(
      finding.deviceKey.key,
      statement.algorithm,
      signedBytes,
      statement.signature,
      native,
    )
    if (signature === "bad") return "bad-signature"
    if (signature === "high-s") return "high-s"
    const place: StoredPlace = { entry: entryOf(bytes), signedDigest: sha256(signedBytes) }
    const link = judgeLink(
      { seq, prev, ...place, isRevokedBeyond: finding.isRevokedBeyond },
      {
        status: device.status,
        head: this.headOf(id),
        firstPrev: () => firstPrevOf(this.binding, id),
        stored: (at) => device.chain[at - 1] ?? null,
      },
    )
    if (link.kind !== "next") return link.kind
    device.chain.push({ ...place, statement })
    const payload = readPayload(statement)
    return verdictOfNext(payload.kind === "unread", isAhead(statement.iat, payload, this.nowMs))
  }

  count(verdict: Verdict): void {
    this.given.set(verdict, this.countOf(verdict) + 1)
  }
}

/** One connection, behind the fence: the first thing that it says takes the device's epoch from every older one. */
export class ModelPlace implements Place {
  private readonly service: ModelService
  private readonly deviceId: string
  private epoch: number | null = null
  private isRefused = false

  constructor(service: ModelService, deviceId: string) {
    this.service = service
    this.deviceId = deviceId
  }

  submit(message: Message): Promise<Answer> {
    return Promise.resolve(this.answer(message))
  }

  answer(message: Message): Answer {
    const device = this.service.devices.get(this.deviceId)
    if (this.isRefused) return { kind: "dropped" }
    if (device !== undefined) {
      if (this.epoch === null) this.epoch = device.epoch += 1
      if (this.epoch !== device.epoch) return { kind: "dropped" }
    }
    const { verdict, seq } = this.service.judge(this.deviceId, message)
    if (message.kind !== "question") this.service.count(verdict)
    this.isRefused = isRefusal(verdict)
    const head = this.service.headOf(this.deviceId)
    const code = verdictCodes[verdict]
    const receipt = encodeReceipt({ code, seq, head, now: Math.floor(this.service.nowMs / 1000) })
    return { kind: "receipt", code, receipt, refused: this.isRefused }
  }

  close(): void {
    this.isRefused = true
  }
}

export function samePayloads(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((payload, index) => equalBytes(payload, b[index]!))
}
