/** `tidemark access`: who read what over HTTP. */
import type { Command } from "commander"
import { type Access, listAccesses } from "../research/access.ts"
import { withLog } from "./data-folder.ts"
import { addCommand, dataOption, jsonOption, parseCount } from "./option.ts"
import { ignoreBrokenPipe, print } from "./output.ts"
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
}

async function list({ data, json, key, device, limit }: ListOptions): Promise<void> {
  ignoreBrokenPipe()
  const accesses = await withLog(data, ({ pool }) =>
    listAccesses(pool, { key: key ?? null, device: device ?? null, limit }),
  )
  if (json) for (const access of accesses) print(JSON.stringify(describe(access)))
  else if (accesses.length === 0) print("nothing was read yet")
  else {
    print(
      formatTable(
        ["at (UTC)", "who", "what", "devices", "rows", "outcome"],
        accesses.map((access) => {
          const { at, who, route, devices, rows, outcome } = describe(access)
          return [at, who, route, devices === null ? "all" : devices.join(","), rows ?? "", outcome]
        }),
      ),
    )
  }
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
