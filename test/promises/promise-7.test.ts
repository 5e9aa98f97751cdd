import type { PoolClient } from "pg"
import { afterAll, beforeAll, expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import { parseVkey } from "../../chain/note.ts"
import { algorithmEsp256 } from "../../chain/key.ts"
import { policyOfLog } from "../../chain/tlog-policy.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import { type EvidencedStatement, EvidenceVerifier } from "../../verify/evidence.ts"
import { DeviceSession } from "../ingest/device-session.ts"
import { type ServiceStand, openServiceStand } from "../ingest/service-stand.ts"
import { TestDevice } from "../ingest/stand.ts"
import { makeEvidence, trustIn } from "../research/evidence-pictures.ts"
import { readEvidence } from "../verify/evidence-file.ts"

let stand: ServiceStand
/** What the devices signed, by device. */
const signed = new Map<string, TestDevice>()

/** Three devices over MQTT, four blocks: nobody speaks in block 2, and k3 only in block 3. */
beforeAll(async () => {
  stand = await openServiceStand()
  const { service, pool } = stand
  const says: readonly Readonly<Record<string, number>>[] = [
    { k1: 3, k2: 2 },
    { k1: 2, k2: 4 },
    {},
    { k1: 1, k3: 2 },
  ]
  const devices = ["k1", "k2", "k3"].map((id) => new TestDevice(id, algorithmEsp256, service.keys.binding))
  for (const device of devices) signed.set(device.id, device)
  const enrol = async (ids: readonly string[]): Promise<void> => {
    const enrolments = ids.map((id) => ({ device: id, key: signed.get(id)!.key.publicKey }))
    const results = await enrolDevices(pool, service.keys, enrolments)
    if (results.some(({ kind }) => kind !== "enrolled")) throw new Error("a device was not enrolled")
  }
  await enrol(["k1", "k2"])
  for (const [height, block] of says.entries()) {
    if (height === 3) await enrol(["k3"])
    await Promise.all(
      Object.entries(block).map(async ([id, count]) => {
        const session = await DeviceSession.open(service.mqtt, id)
        for (let left = count; left > 0; left--) {
          const heard = await session.say(signed.get(id)!.next().bytes)
          if (!heard.isAcknowledged) throw new Error(`a statement of ${id} was refused`)
        }
        await session.close()
      }),
    )
    await service.seal({ isEmptyAllowed: true })
  }
})
afterAll(() => stand.close())

async function download(query: string): Promise<Uint8Array> {
  const response = await fetch(`http://127.0.0.1:${stand.service.http}/v1/evidence?${query}`)
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`)
  expect(response.headers.get("content-type")).toBe("application/cbor-seq")
  return new Uint8Array(await response.arrayBuffer())
}

test("A result can be checked offline: every reading that the service gives is in the evidence, signed by its device, and with it the proof that none is missing", async () => {
  const { http, keys } = stand.service
  const answer = await fetch(`http://127.0.0.1:${http}/v1/readings?device=k1&blockFrom=1&blockTo=3`)
  const { items, complete } = (await answer.json()) as {
    items: { time: string; value: number; entry: string }[]
    complete: boolean
  }
  expect(complete).toBe(true)
  // What a researcher knows of the log is one line, from its operator.
  const trust = { policy: policyOfLog(parseVkey(await logVkey())!) }
  expect(trust).toEqual(trustIn(keys))

  const statements: EvidencedStatement[] = []
  const verifier = new EvidenceVerifier({ trust, onStatement: (statement) => statements.push(statement) })
  verifier.push(await download("device=k1&from=1&to=3"))
  const result = verifier.end()
  expect(result).toMatchObject({ kind: "verified", device: "k1", statements: 3, seqs: { from: 4, to: 6 } })
  const shown = statements.flatMap(({ payload, entry }) =>
    payload.kind !== "readings"
      ? []
      : payload.series.flatMap((series) =>
          series.kind === "number"
            ? series.times.map(
                (time, place) =>
                  `${new Date(time * 1000).toISOString()} ${series.values[place]!} ${formatHex(entry)}`,
              )
            : [],
        ),
  )
  expect(shown).toHaveLength(9)
  const given = items.map(({ time, value, entry }) => `${time} ${value} ${entry}`)
  expect(new Set(given)).toEqual(new Set(shown))
  expect(given).toHaveLength(shown.length)
})

async function logVkey(): Promise<string> {
  const { rows } = await stand.pool.query<{ vkey: string }>("select vkey from log")
  return rows[0]!.vkey
}

test("A result can be checked offline, for every device and every range of blocks", async () => {
  const { keys } = stand.service
  const seqs: Record<string, readonly (readonly [number, number] | null)[]> = {
    k1: [[1, 3], [4, 5], null, [6, 6]],
    k2: [[1, 2], [3, 6], null, null],
    k3: [null, null, null, [1, 2]],
  }
  let verified = 0
  for (const [device, blocks] of Object.entries(seqs)) {
    for (let from = 0; from < 4; from++) {
      for (let to = from; to < 4; to++) {
        if (device === "k3" && to < 3) continue
        const file = await makeEvidence(stand.pool, keys, device, from, to)
        const said = blocks.slice(from, to + 1).filter((range) => range !== null)
        const range = said.length === 0 ? null : { from: said[0]![0], to: said.at(-1)![1] }
        expect(readEvidence(file, trustIn(keys))).toMatchObject({ kind: "verified", seqs: range })
        verified += 1
      }
    }
  }
  expect(verified).toBe(24)
  const early = makeEvidence(stand.pool, keys, "k3", 0, 2)
  await expect(early).rejects.toThrow("device k3 was not enrolled when block 2 was sealed")
})

/** With the rights of the database's owner, undone afterwards. */
async function asOwner<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await stand.pool.connect()
  try {
    await client.query("begin; set local session_replication_role = replica")
    return await work(client)
  } finally {
    await client.query("rollback")
    client.release()
  }
}

const ofSeq5 = "(select id from entries where device_id = 'k1' and seq = 5)"

test.each([
  [
    "a byte of a statement",
    `update statements set bytes = set_byte(bytes, octet_length(bytes) - 70, 0) where id = ${ofSeq5}`,
    "statement 5 of device k1",
  ],
  ["a statement that is gone", `delete from statements where id = ${ofSeq5}`, "statement 5 of device k1"],
  [
    "an arrival",
    `update entries set received_at = received_at - interval '1 s' where id = ${ofSeq5}; update statements set received_at = received_at - interval '1 s' where id = ${ofSeq5}`,
    "block 1",
  ],
  [
    "a neighbour's entry",
    "update entries set entry = sha256(entry) where device_id = 'k2' and seq = 3",
    "block 1",
  ],
  [
    "a node of the log",
    "update tiles set hashes = overlay(hashes placing sha256(hashes) from 65 for 32)",
    "block 0",
  ],
  ["a sealed head", "update sealed_heads set seq = 6 where device_id = 'k1' and height = 1", "block 1"],
])(
  "Evidence of a database in which somebody changed %s is refused, and names what it is about",
  async (_, sql, named) => {
    const { keys } = stand.service
    const result = await asOwner(async (client) => {
      await client.query(sql)
      return readEvidence(await makeEvidence(client, keys, "k1", 1, 1), trustIn(keys))
    })
    expect(result).toMatchObject({ kind: "refused", what: named })
    expect(readEvidence(await makeEvidence(stand.pool, keys, "k1", 1, 1), trustIn(keys)).kind).toBe(
      "verified",
    )
  },
)
