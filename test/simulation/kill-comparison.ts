/** After the last kill: what the devices remember against what is stored. */
import { execFile } from "node:child_process"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import type { Pool } from "pg"
import { equalBytes, formatHex } from "../../chain/bytes.ts"
import { type ProtocolVersion, firstPrevOf } from "../../chain/genesis.ts"
import { type Hash, zeroHash } from "../../chain/hash.ts"
import { decodeStatement } from "../../chain/statement.ts"
import { openEmbedded } from "../../ingest/database/embedded.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { sha256Native } from "../../ingest/native.ts"
import { programArgs, programEnvironment } from "../cli/program.ts"
import type { KillDevice } from "./kill-device.ts"

export interface Comparison {
  /** Of the devices. */
  readonly stored: number
  /** Acknowledged, and not stored with these bytes at this place. */
  readonly lost: number
  readonly storedTwice: number
  readonly blocks: number
  readonly faults: readonly string[]
}

/** @param published every checkpoint that was seen published between kills */
export async function compare(
  dataFolder: string,
  devices: readonly KillDevice[],
  published: ReadonlySet<string>,
): Promise<Comparison> {
  const database = await openEmbedded({ dataFolder, create: false, say: () => {} })
  const pool = openPool(database.url)
  try {
    return await compareStored(pool, dataFolder, devices, published)
  } finally {
    await pool.end()
    await database.close()
  }
}

/** The same on a database that is open. */
export async function compareStored(
  pool: Pool,
  dataFolder: string,
  devices: readonly KillDevice[],
  published: ReadonlySet<string>,
): Promise<Comparison> {
  const stored = new Map(devices.map((device) => [device.id, [] as Hash[]]))
  const { faults, storedTwice } = await readStored(pool, stored)
  let lost = 0
  for (const device of devices) {
    const entries = stored.get(device.id)!
    for (const seq of device.acknowledged) {
      const entry = entries[seq - 1]
      if (entry === undefined || !equalBytes(entry, device.entries[seq - 1]!)) lost += 1
    }
    if (entries.some((entry, index) => !equalBytes(entry, device.entries[index] ?? zeroHash)))
      faults.push(`${device.id}: a statement is stored that it never signed`)
  }
  const { rows } = await pool.query<{ note: string }>("select note from checkpoints")
  const notes = new Set(rows.map(({ note }) => note))
  const last = await readFile(join(dataFolder, "log", "checkpoint"), "utf8")
  for (const note of [...published, last])
    if (!notes.has(note)) faults.push("a checkpoint was published that the database does not have")
  const count = [...stored.values()].reduce((sum, entries) => sum + entries.length, 0)
  return { stored: count, lost, storedTwice, blocks: rows.length, faults }
}

interface StoredRow {
  readonly id: number
  readonly device_id: string
  readonly seq: number
  readonly entry: Uint8Array
  readonly bytes: Uint8Array | null
}

/** Fills `stored`, in order of seq, and looks at each row for what must not be. */
async function readStored(pool: Pool, stored: ReadonlyMap<string, Hash[]>) {
  const faults: string[] = []
  const { rows: logs } = await pool.query<{ vkey: string; version: ProtocolVersion }>(
    "select vkey, version from log",
  )
  const binding = { logVkey: logs[0]!.vkey, version: logs[0]!.version }
  const seen = new Set<string>()
  let storedTwice = 0
  for (let after = 0; ;) {
    const { rows } = await pool.query<StoredRow>(
      `select e.id, e.device_id, e.seq, e.entry, s.bytes from entries e left join statements s on s.id = e.id
       where e.id > $1 order by e.id limit 5000`,
      [after],
    )
    for (const { id, device_id: device, seq, entry, bytes } of rows) {
      after = id
      const entries = stored.get(device)
      if (entries === undefined) continue // the operator's chain: `tidemark verify` reads it
      if (seq !== entries.length + 1) faults.push(`${device}: seq ${seq} is stored behind ${entries.length}`)
      if (bytes === null) {
        faults.push(`${device}: statement ${seq} has an entry and no bytes`)
        continue
      }
      const hash = sha256Native(bytes)
      if (!equalBytes(hash, entry))
        faults.push(`${device}: the bytes of statement ${seq} are not its entry's`)
      const name = formatHex(hash)
      if (seen.has(name)) storedTwice += 1
      seen.add(name)
      const decoded = decodeStatement(bytes)
      const prev = entries.at(-1) ?? firstPrevOf(binding, device, sha256Native)
      if (decoded.kind !== "statement" || !equalBytes(decoded.statement.prev, prev))
        faults.push(`${device}: statement ${seq} does not link to the one before`)
      entries.push(hash)
    }
    if (rows.length < 5_000) break
  }
  const { rows: more } = await pool.query<{ count: number }>(
    "select count(*) as count from statements s where not exists (select from entries e where e.id = s.id)",
  )
  if (more[0]!.count > 0) faults.push(`${more[0]!.count} statements are stored without an entry`)
  return { faults, storedTwice }
}

/** `tidemark verify --json`: null where it passes, else what it said. */
export async function verify(
  dataFolder: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<string | null> {
  const args = [...programArgs, "verify", "--json", "--data", dataFolder]
  const options = { env: programEnvironment(environment), maxBuffer: 64 * 1024 * 1024 }
  try {
    const { stdout } = await promisify(execFile)(process.execPath, args, options)
    const { kind } = JSON.parse(stdout) as { kind?: unknown }
    return kind === "passed" ? null : stdout
  } catch (error) {
    const { stdout, stderr, message } = error as { stdout?: string; stderr?: string; message: string }
    return `${stdout ?? ""}${stderr ?? ""}` || message
  }
}
