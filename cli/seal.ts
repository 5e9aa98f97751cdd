import type { Command } from "commander"
import { formatBase64 } from "../chain/bytes.ts"
import { type CosignOptions, cosignLast } from "../ingest/cosign.ts"
import { readWitnessLag, storePlan } from "../ingest/cosignatures.ts"
import { sealSecrets } from "../ingest/log-keys.ts"
import { checkPublished, claimPublication } from "../ingest/publication.ts"
import { checkSchedule } from "../ingest/schedule.ts"
import { type SealResult, seal } from "../ingest/seal.ts"
import type { WitnessPlan } from "../ingest/witness-plan.ts"
import { openExistingLogWith } from "./data-folder.ts"
import { UsageFault } from "./fault.ts"
import { type HttpOptions, addHttpOptions, announce, callersOf, formatHttp } from "./listening.ts"
import { addCommand, dataOption, jsonOption, witnessesOption } from "./option.ts"
import { Progress, count, formatNumber, makeLogger, print } from "./output.ts"
import { openBase } from "./parts/base.ts"
import { compose } from "./parts/composition.ts"
import { httpHostOf, startHttp } from "./parts/http.ts"
import { announcePresence } from "./parts/presence.ts"
import { startSealing } from "./parts/sealing.ts"
import {
  compareBase,
  compareWithWitnesses,
  planOf,
  readTiles,
  readWitnessFile,
  startWitnesses,
} from "./parts/witnesses.ts"
import { waitForSignal } from "./signal.ts"

interface SealCommandOptions extends HttpOptions {
  readonly data: string
  readonly json: boolean
  readonly schedule?: string
  readonly takeOver: boolean
  readonly witnesses?: string
}

const needs = { command: "seal", needed: sealSecrets, connections: 4 } as const

export function addSeal(program: Command): void {
  const command = addCommand(
    program,
    "seal",
    "seal what is unsealed now, and publish the checkpoint; with --schedule again and again, as a process of its own; needs origin, log.key, operator.key, receipt.key and heads.key of the log's keys",
  )
    .addOption(dataOption())
    .addOption(jsonOption())
    .option("--schedule <cron>", "stay and seal by this schedule, five fields of cron in UTC")
    .option("--take-over", "seal from this folder from now on, and from no other", false)
    .addOption(witnessesOption())
  addHttpOptions(command, "with --schedule: /healthz, /readyz, /metrics", 0).action(runSeal)
}

async function runSeal(options: SealCommandOptions, command: Command): Promise<void> {
  const { schedule } = options
  if (schedule === undefined) {
    for (const name of ["http", "httpHost", "trustedProxy", "cors", "publicUrl"] as const) {
      const isNamed = (command.getOptionValueSource(name) ?? "default") !== "default"
      if (isNamed) throw new UsageFault("HTTP is for a process that stays: it needs --schedule")
    }
    await sealOnce(options)
    return
  }
  if (options.json)
    throw new UsageFault("--json is for one seal: with --schedule the log says what was sealed")
  checkSchedule(schedule)
  await sealBySchedule(options, schedule)
}

async function sealOnce({ data, json, takeOver, witnesses }: SealCommandOptions): Promise<void> {
  const file = witnesses === undefined ? null : await readWitnessFile(witnesses)
  const { pool, keys, close } = await openExistingLogWith(data, needs)
  const progress = new Progress()
  try {
    await checkPublished(pool, data, keys)
    await claimPublication(pool, data, takeOver)
    const plan = file === null ? null : planOf(file, keys)
    if (plan !== null) {
      await compareWithWitnesses({ pool, dataFolder: data, keys }, plan, () => {})
      await storePlan(pool, plan)
    }
    const onProgress = (statements: number): void =>
      progress.update(`sealing: ${formatNumber(statements)} statements`)
    const result = await seal({ pool, keys, dataFolder: data, onProgress })
    progress.done()
    if (plan === null) {
      print(json ? JSON.stringify(describeSeal(result)) : formatSeal(result))
      return
    }
    // The block stands and is published, whatever they answer.
    const cosigned = await askWitnesses({ pool, dataFolder: data, keys }, plan)
    const { height, blocks } = await readWitnessLag(pool)
    const witnessed = height < 0 ? null : height
    if (json)
      print(JSON.stringify({ ...describeSeal(result), witnesses: cosigned, witnessed, unwitnessed: blocks }))
    else
      print(
        [formatSeal(result), ...cosigned.map(formatCosigned), formatWitnessed(witnessed, blocks)].join("\n"),
      )
  } finally {
    await close()
  }
}

interface Cosigned {
  readonly witness: string
  readonly cosigned: boolean
  /** Why not. */
  readonly trouble: string | null
}

/** Each is asked once, all at the same time. */
async function askWitnesses(
  log: Pick<CosignOptions, "pool" | "dataFolder" | "keys">,
  { asked }: WitnessPlan,
): Promise<Cosigned[]> {
  const options = { ...log, tiles: readTiles(log.pool), nowMs: Date.now }
  return Promise.all(
    asked.map(async (witness) => {
      const outcome = await cosignLast(options, witness)
      const isDone = outcome.kind === "cosigned" || outcome.kind === "current"
      return { witness: witness.name, cosigned: isDone, trouble: isDone ? null : outcome.rule }
    }),
  )
}

function formatCosigned({ witness, trouble }: Cosigned): string {
  return trouble === null ? `cosigned by ${witness}` : `not cosigned by ${witness}: ${trouble}`
}

function formatWitnessed(height: number | null, unwitnessed: number): string {
  if (unwitnessed === 0) return "witnessed: the quorum of the policy has cosigned it"
  const last = height === null ? "no block is" : `block ${height} is the last that is`
  return `not witnessed yet: ${last}; the next seal asks again`
}

async function sealBySchedule(options: SealCommandOptions, schedule: string): Promise<void> {
  const log = makeLogger()
  const stopping = waitForSignal()
  const { data: dataFolder, takeOver } = options
  const file = options.witnesses === undefined ? null : await readWitnessFile(options.witnesses)
  await compose(async (parts) => {
    const base = parts.add(await openBase({ dataFolder, log }, needs))
    const plan = file === null ? null : planOf(file, base.keys)
    if (plan !== null) await compareBase(base, plan)
    if (takeOver) await claimPublication(base.database.pool, dataFolder, takeOver)
    const host = httpHostOf("127.0.0.1", options.httpHost)
    // Before what was missed is sealed, which may take a while.
    const http = parts.add(await startHttp(base, { host, port: options.http, ...callersOf(options) }))
    const witnesses = plan === null ? null : parts.add(await startWitnesses(base, plan))
    parts.add(await startSealing(base, { schedule, onSealed: () => witnesses?.wake() }))
    const { origin } = base.keys
    parts.add(await announcePresence(dataFolder, { kind: "seal", host, origin }, http))
    announce(log, origin, [], { http: formatHttp(http), seal: schedule })
    log.info({ signal: await stopping }, "stopping")
    await parts.close()
  })
  log.info("stopped")
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
