import type { Command } from "commander"
import { formatBase64 } from "../chain/bytes.ts"
import { openExistingLog } from "./data-folder.ts"
import { addCommand, dataOption, jsonOption } from "./option.ts"
import { print } from "./output.ts"
import { formatTable } from "./table.ts"

interface BlockRow {
  readonly height: number
  readonly from_ms: number
  readonly to_ms: number
  readonly devices: number
  readonly statements: number
  readonly readings: number
  readonly tree_size: number
  readonly tree_root: Uint8Array
  readonly witnessed_at: Date | null
}

export function addBlocks(program: Command): void {
  addCommand(program, "blocks", "the sealed blocks")
    .addOption(dataOption())
    .addOption(jsonOption())
    .action(async ({ data, json }: { data: string; json: boolean }) => {
      const { pool, close } = await openExistingLog(data)
      try {
        const { rows } = await pool.query<BlockRow>(
          `select b.height, from_ms, to_ms, devices, statements, readings, c.size as tree_size, c.root as tree_root, witnessed_at(b.height)
           from blocks b join checkpoints c using (height) order by height`,
        )
        if (json) for (const row of rows) print(JSON.stringify(describe(row)))
        else if (rows.length === 0) print("no block yet: tidemark seal makes one now")
        else {
          const { rows: policies } = await pool.query("select from witness_policies limit 1")
          print(formatBlocks(rows, policies.length > 0))
        }
      } finally {
        await close()
      }
    })
}

function describe(row: BlockRow) {
  return {
    height: row.height,
    from: new Date(row.from_ms).toISOString(),
    to: new Date(row.to_ms).toISOString(),
    devices: row.devices,
    statements: row.statements,
    readings: row.readings,
    treeSize: row.tree_size,
    root: formatBase64(row.tree_root),
    witnessed: row.witnessed_at?.toISOString() ?? null,
  }
}

/** @param hasWitnesses whether anybody is asked to cosign */
function formatBlocks(rows: readonly BlockRow[], hasWitnesses: boolean): string {
  const titles = [
    "height",
    "from (UTC)",
    "to (UTC)",
    "statements",
    "readings",
    "devices",
    "tree size",
    "root",
    ...(hasWitnesses ? ["witnessed (UTC)"] : []),
  ]
  return formatTable(
    titles,
    rows.map((row) => {
      const { height, from, to, statements, readings, devices, treeSize, root, witnessed } = describe(row)
      const cells = [height, from, to, statements, readings, devices, treeSize, `${root.slice(0, 12)}…`]
      return hasWitnesses ? [...cells, witnessed ?? "not yet"] : cells
    }),
  )
}
