/** A log with some of everything: what the audit of a healthy one must pass, and what a tamperer may change. */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import type { PoolClient } from "pg"
import { encodeUtf8, joinBytes } from "../../chain/bytes.ts"
import { cosignNote, formatCosignerVkey } from "../../chain/cosignature.ts"
import { algorithmEd25519, algorithmEsp256 } from "../../chain/key.ts"
import { encodeLost } from "../../chain/lost.ts"
import { proveKey } from "../../chain/registry.ts"
import { encodePack } from "../../chain/senml.ts"
import { contentLost } from "../../chain/statement.ts"
import { readLastCheckpoint, storeCosignature, storePlan } from "../../ingest/cosignatures.ts"
import { AuditRows } from "../../ingest/database/audit-rows.ts"
import { type LogKeys, digestKeyOf } from "../../ingest/log-keys.ts"
import { hmacNative, sha256Native, verifyNative } from "../../ingest/native.ts"
import { publishLast } from "../../ingest/publication.ts"
import { readWitnessPlan } from "../../ingest/witness-plan.ts"
import { type RegistryChange, changeRegistry, enrolDevices } from "../../ingest/registry.ts"
import { type AuditOptions, type AuditResult, audit } from "../../verify/audit.ts"
import { type Stand, TestDevice, openStand, send } from "../ingest/stand.ts"
import { testKey } from "../vectors/keys.ts"

/** Far ahead of any clock of this service: 2100. */
const farAhead = 4_102_444_800

interface LogOptions {
  /** A block more, in front: of the enrolments alone. */
  readonly isSealedFirst?: boolean
}

/**
 * Three blocks (the second without a device's statement) and some statements that wait:
 *
 * - k1, Ed25519: 4 statements of numbers (one -0), 2 more in block 2, 1 unsealed; a fork at seq 2
 * - k2, P-256: a pack of all kinds; a pack that cannot be read; one that is ahead of its time; an opaque one
 * - k3, Ed25519: its key rotated after statement 2; then revoked as of seq 3
 * - k4, P-256: lost readings; suspended afterwards
 * - k5: enrolled with possession and attributes, silent
 *
 * The first and the last block are cosigned by the one witness of the policy.
 */
export async function openWholeLog({ isSealedFirst = false }: LogOptions = {}): Promise<Stand> {
  const stand = await openStand()
  const { pool, keys } = stand
  const k1 = await stand.enrol("k1", algorithmEd25519)
  const k2 = await stand.enrol("k2", algorithmEsp256)
  const k3 = await stand.enrol("k3", algorithmEd25519)
  const k4 = await stand.enrol("k4", algorithmEsp256)
  const k5 = new TestDevice("k5", algorithmEd25519, keys.binding)
  const proof = proveKey(k5.key, keys.origin, "k5", 1, k5.key.publicKey)
  const attributes = new Map([["make", "Tidemark"]])
  await enrolDevices(pool, keys, [{ device: "k5", key: k5.key.publicKey, proof, attributes }])
  if (isSealedFirst) await stand.seal()

  await sendAll(stand, k1, 2)
  await sendAll(stand, k2, 1)
  await sendOne(stand, k2, { payload: everyKind() })
  await sendAll(stand, k1, 2)
  await sendOne(stand, k2, { payload: joinBytes(everyKind(), Uint8Array.of(0)) })
  await sendOne(stand, k2, { iat: farAhead })
  await sendOne(stand, k2, { content: "image/png", payload: Uint8Array.of(1, 2, 3) })
  await sendAll(stand, k3, 2)
  const forked = new TestDevice("k1", algorithmEd25519, keys.binding)
  forked.next()
  await send(stand.intake.open("k1"), forked.next({ iat: 1_760_000_099 }))
  await stand.seal()
  await witnessLast(stand)

  await stand.seal({ isEmptyAllowed: true })

  const fresh = new TestDevice("k3-fresh", algorithmEsp256)
  await change(stand, {
    device: "k3",
    action: "rotate",
    key: fresh.key.publicKey,
    firstSeq: 3,
    proofOfNew: proveKey(fresh.key, keys.origin, "k3", 3, fresh.key.publicKey),
    proofOfOld: proveKey(k3.key, keys.origin, "k3", 3, fresh.key.publicKey),
  })
  const rotated = Object.assign(Object.create(k3) as TestDevice, { key: fresh.key })
  await sendAll(stand, rotated, 2)
  await change(stand, { device: "k3", action: "revoke", lastGoodSeq: 3, reason: "lost" })
  const lost = encodeLost({ reason: "sensor-off", count: null, from: 1_760_000_000, to: 1_760_000_100 })
  await sendOne(stand, k4, { content: contentLost, payload: lost })
  await change(stand, { device: "k4", action: "suspend" })
  await sendAll(stand, k1, 2)
  await stand.seal()
  await witnessLast(stand)

  await sendAll(stand, k1, 1)
  await sendOne(stand, k2, { payload: everyKind() })
  return stand
}

/** As its witness and the sealer would leave it. */
async function witnessLast({ pool, keys, dataFolder }: Stand): Promise<void> {
  const key = testKey(algorithmEd25519, "witness")
  const cosigner = { name: "witness.example/w1", publicKey: key.publicKey }
  const policy = `witness w1 ${formatCosignerVkey(cosigner)} https://w1.example/\nquorum w1\n`
  const log = { name: keys.origin, publicKey: keys.log.publicKey }
  const read = readWitnessPlan(encodeUtf8(policy), log)
  if (read.kind === "fault") throw new Error(read.rule)
  await storePlan(pool, read.plan)
  const { height, note } = (await readLastCheckpoint(pool))!
  const atSeconds = 1_760_000_000
  const cosignature = cosignNote(note.text, cosigner.name, key, atSeconds)
  if (!(await storeCosignature(pool, height, cosigner, cosignature, atSeconds)))
    throw new Error("the block is not witnessed")
  await publishLast(pool, dataFolder)
}

/** One block of a tile of arrivals and more: 300 statements of one device. */
export async function openLongLog({ isSealedFirst = false }: LogOptions = {}): Promise<Stand> {
  const stand = await openStand()
  const device = await stand.enrol("k1", algorithmEd25519)
  if (isSealedFirst) await stand.seal()
  const place = stand.intake.open(device.id)
  await Promise.all(Array.from({ length: 300 }, () => expectStored(send(place, device.next()))))
  await stand.seal()
  return stand
}

async function sendAll(stand: Stand, device: TestDevice, count: number): Promise<void> {
  const place = stand.intake.open(device.id)
  for (let left = count; left > 0; left--) await expectStored(send(place, device.next()))
}

async function sendOne(
  stand: Stand,
  device: TestDevice,
  claims: Parameters<TestDevice["next"]>[0],
): Promise<void> {
  await expectStored(send(stand.intake.open(device.id), device.next(claims)))
}

async function expectStored(receipt: ReturnType<typeof send>): Promise<void> {
  const { code } = await receipt
  if (code < 1 || code > 4) throw new Error(`the stand's statement was refused with ${code}`)
}

/** A pack with a series of each kind. */
function everyKind(): Uint8Array {
  const times = [1_760_000_000, 1_760_000_000.5]
  return encodePack([
    { kind: "text", name: "k2/posture", unit: null, times, values: ["sitting", "standing"] },
    { kind: "boolean", name: "k2/worn", unit: null, times, values: [true, false] },
    { kind: "bytes", name: "k2/raw", unit: null, times, values: [Uint8Array.of(1), Uint8Array.of(2, 3)] },
    { kind: "number", name: "k2/temperature", unit: "Cel", times, values: [36.6, -0] },
    { kind: "sum", name: "k2/steps", unit: "count", times, values: [10, 12] },
    {
      kind: "waveform",
      name: "k2/ecg",
      unit: "mV",
      startsAt: 1_760_000_000,
      periodMs: 4,
      factor: 0.005,
      origin: 0.5,
      samples: Int16Array.of(0, 1, -1, 32_767),
    },
  ])
}

/** Two CAs, of which one is distrusted again; nothing of it is sealed. */
export async function trustAuthorities(stand: Stand): Promise<void> {
  const [maker, before] = [encodeUtf8("a certificate"), encodeUtf8("another certificate")]
  await change(stand, { action: "trust-ca", device: "maker", certificate: maker })
  await change(stand, { action: "trust-ca", device: "maker.2024", certificate: before })
  await change(stand, { action: "distrust-ca", device: "maker.2024" })
}

/** A registry statement of the operator. */
async function change({ pool, keys }: Stand, said: RegistryChange): Promise<void> {
  const [result] = await changeRegistry(pool, keys, [said])
  if (result?.kind !== "changed") throw new Error(result?.rule)
}

export async function readPublishedNote(dataFolder: string): Promise<string> {
  return readFile(join(dataFolder, "log", "checkpoint"), "utf8")
}

/** The audit through a connection's own open transaction. */
export async function auditThrough(
  client: PoolClient,
  keys: LogKeys,
  published: string | null,
  options: Partial<AuditOptions> & { readonly firstPageSize?: number } = {},
): Promise<AuditResult> {
  const source = new AuditRows(client, undefined, options.firstPageSize)
  try {
    return await audit({
      source,
      logKey: { name: keys.origin, publicKey: keys.log.publicKey },
      headsSecret: keys.headsSecret,
      digestKey: digestKeyOf(keys),
      published,
      sha256: sha256Native,
      hmac: hmacNative,
      verify: verifyNative,
      ...options,
    })
  } finally {
    await source.close()
  }
}
