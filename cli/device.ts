import type { Command } from "commander"
import { formatHex } from "../chain/bytes.ts"
import { type DeviceRecord, findOpenKey } from "../chain/device.ts"
import { formatKeyRange, formatKeyWord, nameAlgorithm } from "./device-key.ts"
import { thumbprintOf } from "../chain/key.ts"
import { parseVerdictCode } from "../chain/verdict.ts"
import { readAuthorities, readDevices } from "../ingest/registry.ts"
import { type OpenedLog, withLog } from "./data-folder.ts"
import { addAuthority } from "./device-authority.ts"
import { addChanges } from "./device-change.ts"
import { addEnrol } from "./device-enrol.ts"
import { addProve } from "./device-prove.ts"
import { CommandFault } from "./fault.ts"
import { addCommand, dataOption, jsonOption } from "./option.ts"
import { print } from "./output.ts"
import { formatTable } from "./table.ts"
import { addToken } from "./token.ts"

interface DataOptions {
  readonly data: string
}

export function addDevice(program: Command): void {
  const device = addCommand(program, "device", "enrol devices and look at them")
  addEnrol(device)
  addProve(device)
  addChanges(device)
  addAuthority(device)
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
    const authorities = await readAuthorityNames(log)
    const rows = [...records.values()].map((record) =>
      describe(record, heads.get(record.device)!, authorities),
    )
    if (json) for (const row of rows) print(JSON.stringify(row))
    else if (rows.length === 0) print("no device is enrolled: tidemark device enroll ID --key FILE")
    else {
      const titles = [
        "device",
        "status",
        "key",
        "by the word of",
        "possession",
        "revoked",
        "statements",
        "sealed",
        "last arrival (UTC)",
        "attributes",
      ]
      print(
        formatTable(
          titles,
          rows.map((row) => [
            row.device,
            row.status,
            row.key === null ? "none stands" : `${row.key.algorithm} from ${row.key.firstSeq}`,
            row.key?.introducedBy ?? "",
            row.key === null ? "" : row.key.isPossessionProven ? "proven" : "not proven",
            row.revokedBeyond === null ? "" : `beyond ${row.revokedBeyond}`,
            row.head.seq,
            row.sealedSeq,
            row.lastArrival ?? "never",
            formatAttributes(row.attributes),
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
    const device = describe(record, (await readHeads(log, id)).get(id)!, await readAuthorityNames(log))
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
    if (record.attributes.size > 0) print(`attributes  ${formatAttributes(device.attributes)}`)
    for (const [index, key] of record.keys.entries()) {
      const { algorithm, kid, thumbprint } = device.keys[index]!
      print(`key         ${algorithm}, kid ${kid}, ${formatKeyRange(key)}`)
      print(`            ${formatKeyWord(key, index === 0, device.authority)}`)
      print(`thumbprint  ${thumbprint}`)
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

async function readAuthorityNames({ pool }: OpenedLog): Promise<Map<string, string>> {
  const authorities = await readAuthorities(pool)
  return new Map([...authorities.values()].map(({ name, digest }) => [formatHex(digest), name]))
}

function describe(record: DeviceRecord, head: HeadRow, authorities: ReadonlyMap<string, string>) {
  const keys = record.keys.map(
    ({ key, kid, firstSeq, lastSeq, endedBy, isPossessionProven, introducedBy }) => ({
      algorithm: nameAlgorithm(key),
      kid: formatHex(kid),
      thumbprint: formatHex(thumbprintOf(key)),
      firstSeq,
      lastSeq,
      endedBy,
      isPossessionProven,
      introducedBy,
    }),
  )
  const open = findOpenKey(record)
  const revoked = record.keys.flatMap(({ lastSeq, endedBy }) => (endedBy === "revocation" ? [lastSeq!] : []))
  const caDigest = record.caDigest === null ? null : formatHex(record.caDigest)
  return {
    device: record.device,
    status: record.status,
    attributes: Object.fromEntries(record.attributes),
    /** The CA that enrolled it; its certificate's digest where another one has its name now. */
    authority: caDigest === null ? null : (authorities.get(caDigest) ?? caDigest),
    keys,
    /** The key that goes on without an end. */
    key: open === null ? null : keys[record.keys.indexOf(open)]!,
    /** The last good seq of the last revocation of keys. */
    revokedBeyond: revoked.length === 0 ? null : Math.max(...revoked),
    head: { seq: head.seq, entry: formatHex(head.entry) },
    sealedSeq: head.sealed_seq,
    firstArrival: formatTime(head.first_ms),
    lastArrival: formatTime(head.last_ms),
  }
}

function formatAttributes(attributes: Readonly<Record<string, string>>): string {
  return Object.entries(attributes)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ")
}

function formatTime(unixMs: number | null): string | null {
  return unixMs === null ? null : new Date(unixMs).toISOString()
}
