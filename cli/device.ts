import type { Command } from "commander"
import { formatHex } from "../chain/bytes.ts"
import type { DeviceRecord } from "../chain/device.ts"
import { type PublicKey, algorithmEd25519, thumbprintOf } from "../chain/key.ts"
import { devicePattern } from "../chain/statement.ts"
import { parseVerdictCode } from "../chain/verdict.ts"
import { enrolDevices, readDevices } from "../ingest/registry.ts"
import { type OpenedLog, openExistingLog } from "./data-folder.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { readPublicKey } from "./key-file.ts"
import { addCommand, dataOption, jsonOption } from "./option.ts"
import { print } from "./output.ts"
import { formatTable } from "./table.ts"
import { addToken } from "./token.ts"

interface DataOptions {
  readonly data: string
}

export function addDevice(program: Command): void {
  const device = addCommand(program, "device", "enrol devices and look at them")
  addCommand(device, "enroll", "enrol a device with its public key: PEM, JWK or COSE_Key")
    .alias("enrol")
    .argument("<id>", "the device's id, which is also its MQTT client id")
    .requiredOption("--key <file>", "the public key (of a private key only the public half is taken)")
    .addOption(dataOption())
    .action((id: string, options: DataOptions & { key: string }) => enrol(id, options))
  addCommand(device, "list", "all enrolled devices")
    .addOption(dataOption())
    .addOption(jsonOption())
    .action((options: DataOptions & { json: boolean }) => list(options))
  addCommand(device, "show", "a device's keys, head and counts")
    .argument("<id>")
    .addOption(dataOption())
    .addOption(jsonOption())
    .action((id: string, options: DataOptions & { json: boolean }) => show(id, options))
  addToken(device)
}

async function withLog<T>(dataFolder: string, work: (log: OpenedLog) => Promise<T>): Promise<T> {
  const log = await openExistingLog(dataFolder)
  try {
    return await work(log)
  } finally {
    await log.close()
  }
}

async function enrol(id: string, { data, key: path }: DataOptions & { key: string }): Promise<void> {
  if (!devicePattern.test(id))
    throw new UsageFault(`"${id}" is no device id: it must match ${devicePattern.source}`)
  const key = await readPublicKey(path)
  await withLog(data, async ({ pool, keys }) => {
    const [result] = await enrolDevices(pool, keys, [{ device: id, key }])
    if (result?.kind !== "enrolled") throw new CommandFault(`${id} was not enrolled: ${result?.rule}`)
    print(`enrolled  ${id}`)
    print(`key       ${nameAlgorithm(key)}, thumbprint ${formatHex(thumbprintOf(key))}`)
    print(`log       ${keys.origin}`)
    print(`publish   to v1/${id}/statements, and subscribe to v1/${id}/receipts`)
  })
}

interface HeadRow {
  readonly device_id: string
  readonly seq: number
  readonly entry: Uint8Array
  readonly first_ms: number | null
  readonly last_ms: number | null
  readonly sealed_seq: number
}

async function readHeads({ pool }: OpenedLog, id: string | null): Promise<Map<string, HeadRow>> {
  const { rows } = await pool.query<HeadRow>(
    `select h.device_id, h.seq, h.entry,
       (select (extract(epoch from received_at) * 1000)::bigint from entries e where e.device_id = h.device_id and e.seq = 1) as first_ms,
       (select (extract(epoch from received_at) * 1000)::bigint from entries e where e.device_id = h.device_id and e.seq = h.seq) as last_ms,
       coalesce((select s.seq from sealed_heads s where s.device_id = h.device_id order by height desc limit 1), 0) as sealed_seq
     from chain_heads h join devices using (device_id) where $1::text is null or h.device_id = $1`,
    [id],
  )
  return new Map(rows.map((row) => [row.device_id, row]))
}

async function list({ data, json }: DataOptions & { json: boolean }): Promise<void> {
  await withLog(data, async (log) => {
    const records = await readDevices(log.pool, null)
    const heads = await readHeads(log, null)
    const rows = [...records.values()].map((record) => describe(record, heads.get(record.device)!))
    if (json) for (const row of rows) print(JSON.stringify(row))
    else if (rows.length === 0) print("no device is enrolled: tidemark device enroll ID --key FILE")
    else {
      const titles = ["device", "status", "key", "statements", "sealed", "last arrival (UTC)"]
      print(
        formatTable(
          titles,
          rows.map((row) => [
            row.device,
            row.status,
            row.keys.at(-1)!.algorithm,
            row.head.seq,
            row.sealedSeq,
            row.lastArrival ?? "never",
          ]),
        ),
      )
    }
  })
}

async function show(id: string, { data, json }: DataOptions & { json: boolean }): Promise<void> {
  await withLog(data, async (log) => {
    const record = (await readDevices(log.pool, [id])).get(id)
    if (record === undefined)
      throw new CommandFault(`device ${id} is not enrolled`, "tidemark device list shows those that are")
    const device = describe(record, (await readHeads(log, id)).get(id)!)
    const { rows: refusals } = await log.pool.query<{ code: number; count: number }>(
      "select code, count from refusals where device_id = $1 order by code",
      [id],
    )
    const { rows: forks } = await log.pool.query<{ seq: number }>(
      "select seq from forks where device_id = $1 order by seq",
      [id],
    )
    const refused = Object.fromEntries(
      refusals.map(({ code, count }) => [parseVerdictCode(code) ?? String(code), count]),
    )
    const whole = { ...device, refused, forksAtSeq: forks.map(({ seq }) => seq) }
    if (json) {
      print(JSON.stringify(whole))
      return
    }
    print(`device      ${device.device} (${device.status})`)
    for (const key of device.keys) {
      const until = key.lastSeq === null ? "on" : `to ${key.lastSeq}`
      print(
        `key         ${key.algorithm}, kid ${key.kid}, from seq ${key.firstSeq} ${until}${key.isPossessionProven ? "" : ", enrolled without proof of possession"}`,
      )
      print(`thumbprint  ${key.thumbprint}`)
    }
    print(`head        seq ${device.head.seq}, entry ${device.head.entry}`)
    print(`sealed      up to seq ${device.sealedSeq}`)
    print(
      `arrivals    ${device.firstArrival ?? "none yet"}${device.lastArrival === null ? "" : ` to ${device.lastArrival}`}`,
    )
    print(
      `refused     ${
        Object.entries(refused)
          .map(([verdict, count]) => `${verdict} ${count}`)
          .join(", ") || "nothing"
      }`,
    )
    if (forks.length > 0)
      print(`forks       at seq ${whole.forksAtSeq.join(", ")}: this key signed two histories`)
  })
}

function describe(record: DeviceRecord, head: HeadRow) {
  return {
    device: record.device,
    status: record.status,
    attributes: Object.fromEntries(record.attributes),
    keys: record.keys.map(({ key, kid, firstSeq, lastSeq, endedBy, isPossessionProven }) => ({
      algorithm: nameAlgorithm(key),
      kid: formatHex(kid),
      thumbprint: formatHex(thumbprintOf(key)),
      firstSeq,
      lastSeq,
      endedBy,
      isPossessionProven,
    })),
    head: { seq: head.seq, entry: formatHex(head.entry) },
    sealedSeq: head.sealed_seq,
    firstArrival: formatTime(head.first_ms),
    lastArrival: formatTime(head.last_ms),
  }
}

function nameAlgorithm(key: PublicKey): string {
  return key.algorithm === algorithmEd25519 ? "Ed25519" : "P-256"
}

function formatTime(unixMs: number | null): string | null {
  return unixMs === null ? null : new Date(unixMs).toISOString()
}
