import { afterAll, beforeAll, expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import { type PublicKey, decodeCoseKey, kidOf } from "../../chain/key.ts"
import { findKey, noHead } from "../../chain/link.ts"
import { readPayload } from "../../chain/payload.ts"
import type { Head, Receipt } from "../../chain/receipt.ts"
import {
  type Statement,
  contentSenml,
  decodeStatement,
  entryOf,
  signStatement,
} from "../../chain/statement.ts"
import { encodePack } from "../../chain/senml.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import { type KeyInFile, vectorOrigin } from "../vectors/keys.ts"
import type { StatementVector } from "../vectors/statement-vector.ts"
import { DeviceSession } from "./device-session.ts"
import { auditLog } from "./log-audit.ts"
import { type ServiceStand, openServiceStand } from "./service-stand.ts"
import { heartRate } from "./stand.ts"
import { bytesOf, privateKeyOf, readStatementVectors, writeStanding } from "./vector-files.ts"

const vectors = readStatementVectors()
/** Connections at a time. */
const batchSize = 32
let stand: ServiceStand

beforeAll(async () => {
  stand = await openServiceStand({ origin: vectorOrigin, version: 1 })
  const enrolments = vectors.map(({ vector }) => ({
    device: vector.device,
    key: decodeCoseKey(bytesOf(vector.keys[0]!.coseKey)),
  }))
  const results = await enrolDevices(stand.pool, stand.service.keys, enrolments)
  if (results.some(({ kind }) => kind !== "enrolled")) throw new Error("a vector's key was not enrolled")
  for (const { vector } of vectors) {
    if (vector.keys.length > 1) await writeStanding(stand.pool, vector.device, vector.keys, "active", null)
  }
})
afterAll(() => stand.close())

/** The head behind a statement that was accepted. */
function headOf(bytes: Uint8Array): Head {
  const decoded = decodeStatement(bytes)
  if (decoded.kind !== "statement") throw new Error("what a device said before is a statement")
  return { seq: decoded.statement.seq, entry: entryOf(bytes) }
}

function plain({ code, seq, head }: Receipt) {
  return { code, seq, head: { seq: head.seq, entry: formatHex(head.entry) } }
}

/** The key for which the vector's statement asks, if it is granted: with it the next one is signed. */
function requestedKey({ statement, verdict }: StatementVector): PublicKey | null {
  const decoded = decodeStatement(bytesOf(statement))
  const payload = decoded.kind === "statement" && verdict === 1 ? readPayload(decoded.statement) : null
  return payload?.kind === "registry" ? payload.registry.key! : null
}

function nextOf(vector: StatementVector, head: Head): Statement {
  const { device, keys } = vector
  const seq = head.seq + 1
  const requested = requestedKey(vector)
  const standing =
    requested === null ? keys.find((key) => stands(key, seq))! : { kid: formatHex(kidOf(requested)) }
  const payload = encodePack(heartRate(seq))
  const claims = { content: contentSenml, iss: device, sub: device, iat: 1_760_000_000 } as const
  return signStatement({ ...claims, seq, prev: head.entry, payload }, privateKeyOf(standing))
}

function stands(key: KeyInFile, seq: number): boolean {
  const deviceKey = {
    ...key,
    kid: bytesOf(key.kid),
    key: decodeCoseKey(bytesOf(key.coseKey)),
  }
  const finding = findKey([deviceKey], deviceKey.kid, seq)
  return finding.kind === "key" && !finding.isRevokedBeyond
}

async function play(vector: StatementVector): Promise<unknown> {
  const { device } = vector
  const session = await DeviceSession.open(stand.service.mqtt, device)
  let head: Head = noHead
  for (const before of vector.before) {
    const heard = await session.say(bytesOf(before))
    head = headOf(bytesOf(before))
    if (heard.receipt.code !== 1) return { device, before: plain(heard.receipt) }
  }
  const bytes = bytesOf(vector.statement)
  const heard = await session.say(bytes)
  const isClosed =
    heard.isClosed ||
    (requestedKey(vector) !== null && (await session.client.next().catch(() => null)) === null)
  await session.close()
  if (vector.entry !== undefined && vector.verdict !== 2) head = headOf(bytes)

  const decoded = decodeStatement(bytes)
  const again = await DeviceSession.open(stand.service.mqtt, device)
  const next = nextOf(vector, head)
  const goesOn = await again.say(next.bytes)
  await again.close()
  const isRefused = vector.verdict >= 10
  return {
    device,
    found: {
      ...plain(heard.receipt),
      isAcknowledged: heard.isAcknowledged,
      isClosed,
      told: plain(again.told),
      goesOn: goesOn.receipt.code,
    },
    expected: {
      code: vector.verdict,
      seq: decoded.kind === "statement" ? decoded.statement.seq : null,
      head: { seq: head.seq, entry: formatHex(head.entry) },
      isAcknowledged: !isRefused,
      // Behind a rotation as well, with its PUBACK: the connection was opened by the old key.
      isClosed: isRefused || requestedKey(vector) !== null,
      told: { code: 0, seq: null, head: { seq: head.seq, entry: formatHex(head.entry) } },
      goesOn: 1,
    },
  }
}

test("every vector gets its verdict over MQTT, a refused one no PUBACK, and the device can go on afterwards", async () => {
  const played: unknown[] = []
  for (let start = 0; start < vectors.length; start += batchSize) {
    const batch = vectors.slice(start, start + batchSize)
    played.push(...(await Promise.all(batch.map(({ vector }) => play(vector)))))
  }
  expect(played).toHaveLength(vectors.length)
  for (const one of played) {
    const { device, found, expected } = one as { device: string; found: unknown; expected: unknown }
    expect({ device, ...(found as object) }).toEqual({ device, ...(expected as object) })
  }
})

test("what the vectors left behind seals into a log that adds up, and its readings can be read", async () => {
  expect(await stand.service.seal()).toMatchObject({ kind: "sealed" })
  const log = await auditLog(stand.pool, stand.service.keys)
  expect(log.unsealed.size).toBe(0)
  const entries = vectors.flatMap(({ vector }) => vector.entry ?? [])
  expect(new Set(entries.map((entry) => log.heightOf.get(entry)))).toEqual(new Set([0]))
  const { rows } = await stand.pool.query<{ count: number }>(
    "select count(*) as count from (select time, value, text, blob from readings) r",
  )
  expect(rows[0]!.count).toBeGreaterThan(vectors.length)
  const { rows: between } = await stand.pool.query<{ count: number }>(
    "select count(*) as count from devices d cross join lateral readings_between(d.device_id, null, '-infinity', 'infinity')",
  )
  expect(between[0]!.count).toBeGreaterThan(rows[0]!.count)
})
