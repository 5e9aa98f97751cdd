/** `tidemark access`: who read what over HTTP. */
import type { Command } from "commander"
import type { Pool } from "pg"
import { type Access, listAccesses } from "../research/access.ts"
import { listKeys } from "../research/key.ts"
import { listRefusals } from "../research/refusal-record.ts"
import { withLog } from "./data-folder.ts"
import { CommandFault } from "./fault.ts"
import { addCommand, dataOption, jsonOption, parseCount } from "./option.ts"
import { formatNumber, print } from "./output.ts"
import { formatTable } from "./table.ts"

interface ListOptions {
  readonly data: string
  readonly json: boolean
  readonly key?: string
  readonly device?: string
  readonly limit: number
}

export function addAccess(program: Command): void {
  const access = addCommand(program, "access", "the record of every read over HTTP")
  addCommand(access, "list", "who read what, the latest first")
    .option("--key <name>", "only by this key, its name or id")
    .option("--device <id>", "only reads that this device was in")
    .option("--limit <count>", "so many", parseCount(1, 100_000), 50)
    .addOption(dataOption())
    .addOption(jsonOption())
    .action(list)
  addCommand(access, "refused", "who was refused: guessed, revoked and expired keys, and readers without one")
    .option("--limit <count>", "so many", parseCount(1, 100_000), 50)
    .addOption(dataOption())
    .addOption(jsonOption())
    .action(listRefused)
}

async function listRefused({ data, json, limit }: Omit<ListOptions, "key" | "device">): Promise<void> {
  const refusals = await withLog(data, ({ pool }) => listRefusals(pool, limit))
  const rows = refusals.map(({ sinceMs, atMs, ...rest }) => ({
    since: new Date(sinceMs).toISOString(),
    until: new Date(atMs).toISOString(),
    ...rest,
  }))
  if (json) for (const row of rows) print(JSON.stringify(row))
  else if (rows.length === 0) print("nobody was refused yet")
  else {
    print(
      formatTable(
        ["until (UTC)", "address", "why", "what", "key", "times"],
        rows.map(({ until, address, reason, route, keyId, count }) => [
          until,
          address,
          reason,
          route,
          keyId ?? "-",
          count,
        ]),
      ),
    )
  }
}

async function list({ data, json, key, device, limit }: ListOptions): Promise<void> {
  const accesses = await withLog(data, async ({ pool }) => {
    await checkNames(pool, key, device)
    return listAccesses(pool, { key: key ?? null, device: device ?? null, limit })
  })
  if (json) for (const access of accesses) print(JSON.stringify(describe(access)))
  else if (accesses.length === 0) print("nothing was read yet")
  else {
    print(
      formatTable(
        ["at (UTC)", "who", "what", "devices", "rows", "outcome"],
        accesses.map((access) => {
          const { at, who, route, devices, rows, outcome } = describe(access)
          return [at, who, route, devices === null ? "all" : nameSome(devices), rows ?? "", outcome]
        }),
      ),
    )
  }
}

const namedMax = 3

/** A cell of a table has a few; `--json` has all. */
export function nameSome(devices: readonly string[]): string {
  const named = devices.slice(0, namedMax).join(",")
  const more = devices.length - namedMax
  return more > 0 ? `${named} and ${formatNumber(more)} more` : named
}

/** Refuses a name that does not exist: an empty list would say that nobody read. */
async function checkNames(pool: Pool, key: string | undefined, device: string | undefined): Promise<void> {
  if (key !== undefined && !(await listKeys(pool)).some(({ id, name }) => id === key || name === key))
    throw new CommandFault(`there is no key ${key}`, "tidemark key list shows those that there are")
  if (device === undefined) return
  const { rowCount } = await pool.query("select from devices where device_id = $1", [device])
  if (rowCount === 0)
    throw new CommandFault(`device ${device} is not enrolled`, "tidemark device list shows those that are")
}

function describe({ id, atMs, keyId, keyName, address, route, parameters, end }: Access) {
  return {
    id,
    at: new Date(atMs).toISOString(),
    who: keyName ?? `this machine (${address})`,
    key: keyId,
    address,
    route,
    parameters,
    // Without an end: it goes on, or the process ended first.
    outcome: end?.outcome ?? "not ended",
    status: end?.status ?? null,
    rows: end?.rows ?? null,
    devices: end?.devices ?? null,
    height: end?.height ?? null,
    ended: end === null ? null : new Date(end.atMs).toISOString(),
  }
}
