import type { Command } from "commander"
import { formatBase64 } from "../chain/bytes.ts"
import { type SealResult, seal } from "../ingest/seal.ts"
import { openExistingLog } from "./data-folder.ts"
import { addCommand, dataOption, jsonOption } from "./option.ts"
import { Progress, count, formatNumber, print } from "./output.ts"

export function addSeal(program: Command): void {
  addCommand(program, "seal", "seal what is unsealed now, and publish the checkpoint")
    .addOption(dataOption())
    .addOption(jsonOption())
    .action(async ({ data, json }: { data: string; json: boolean }) => {
      const { pool, keys, close } = await openExistingLog(data)
      const progress = new Progress()
      try {
        const onProgress = (statements: number): void =>
          progress.update(`sealing: ${formatNumber(statements)} statements`)
        const result = await seal({ pool, keys, dataFolder: data, onProgress })
        progress.done()
        print(json ? JSON.stringify(describeSeal(result)) : formatSeal(result))
      } finally {
        await close()
      }
    })
}

function describeSeal(result: SealResult) {
  if (result.kind === "nothing") return { sealed: false, reason: result.reason }
  const { manifest, summary, treeSize, treeRoot, tookMs } = result.block
  return {
    sealed: true,
    height: manifest.height,
    from: new Date(manifest.fromMs).toISOString(),
    to: new Date(manifest.toMs).toISOString(),
    statements: summary.statements,
    readings: summary.readings,
    devices: summary.devices,
    treeSize,
    root: formatBase64(treeRoot),
    tookMs: Math.round(tookMs),
  }
}

export function formatSeal(result: SealResult): string {
  if (result.kind === "nothing") return "nothing to seal: no statement since the last block"
  const { manifest, summary, treeSize, treeRoot, tookMs } = result.block
  const counts = `${count(summary.statements, "statement")} and ${count(summary.readings, "reading")} of ${count(summary.devices, "device")}`
  return `sealed block ${manifest.height}: ${counts} in ${formatNumber(tookMs)} ms\ntree of ${count(treeSize, "leaf", "leaves")}, root ${formatBase64(treeRoot)}`
}
