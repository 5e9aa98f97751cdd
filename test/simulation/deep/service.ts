/** A process of the service: it starts on what is on disk and in the database, takes statements, seals, and dies. */
import { Registry } from "prom-client"
import { formatHex } from "../../../chain/bytes.ts"
import { decodeReceipt } from "../../../chain/receipt.ts"
import { entryOf } from "../../../chain/statement.ts"
import {
  type Verdict,
  isRefusal,
  isStored,
  parseVerdictCode,
  statementVerdicts,
} from "../../../chain/verdict.ts"
import { makeIngestMetrics } from "../../../cli/metrics.ts"
import type { Random } from "../../../devices-sim/random.ts"
import {
  type Intake,
  type IntakeEvents,
  type IntakeAnswer,
  type IntakeMessage,
  openIntake,
} from "../../../ingest/intake.ts"
import { openLog } from "../../../ingest/log.ts"
import type { LogKeys } from "../../../ingest/log-keys.ts"
import { sha256Native } from "../../../ingest/native.ts"
import {
  LogRolledBack,
  LogSealedElsewhere,
  checkPublished,
  claimPublication,
  publishLast,
} from "../../../ingest/publication.ts"
import { seal } from "../../../ingest/seal.ts"
import type { Clock } from "./clock.ts"
import type { Disk, Mount } from "./disk.ts"
import type { Listening, Wire } from "./network.ts"
import type { Plan } from "./plan.ts"
import { SimulatedPool, type PoolOptions } from "./pool.ts"
import type { Truth } from "./truth.ts"

export interface ProcessOptions {
  readonly name: string
  readonly clock: Clock
  readonly random: Random
  readonly plan: Plan
  readonly truth: Truth
  readonly disk: Disk
  readonly pool: Omit<PoolOptions, "clock" | "random" | "connectionsMax">
  readonly databaseClockMs: () => number
  /** Whether a statement stands in the database, by chain, seq and entry: asked before a device is told so. */
  readonly isCommitted: (device: string, seq: number, entry: Uint8Array | null) => boolean
  readonly mayFail: () => boolean
}

/** What a seal was stopped by; it is tried again. */
class StepFails extends Error {
  override readonly name = "StepFails"
}

export class ServiceProcess implements Listening {
  readonly options: ProcessOptions
  readonly pool: SimulatedPool
  readonly metrics = new Registry()
  /** Answers that went out to statements, by verdict: what `/metrics` must say too. */
  readonly answers = new Map<Verdict, number>()
  isAlive = true
  /** Why it could not start, where it is not the database's being away. */
  refusedToStart: Error | null = null
  private readonly mount: Mount
  private readonly wires = new Set<Wire>()
  private intake: Intake | null = null
  private keys: LogKeys | null = null
  private sealing: Promise<void> | null = null

  constructor(options: ProcessOptions) {
    this.options = options
    const { clock, random, plan, disk, name } = options
    this.pool = new SimulatedPool({
      ...options.pool,
      clock,
      random: random.fork("pool"),
      connectionsMax: plan.connectionsMax,
    })
    this.mount = disk.mount(name)
  }

  get dataFolder(): string {
    return `/deep/${this.mount.name}/data`
  }

  get isListening(): boolean {
    return this.isAlive && this.intake !== null
  }

  /** As `tidemark up` starts; a database that is away ends the process, and whoever watches it starts another. */
  async start(): Promise<"started" | "failed"> {
    const { clock, truth } = this.options
    const pool = this.pool.asPool
    try {
      const keys = await openLog(pool, this.dataFolder)
      if (keys === null) throw new Error("there is no log")
      await checkPublished(pool, this.dataFolder, keys)
      await claimPublication(pool, this.dataFolder)
      await publishLast(pool, this.dataFolder)
      const { intake: counters } = makeIngestMetrics(this.metrics)
      const events: IntakeEvents = {
        ...counters,
        troubled: (error) => {
          counters.troubled?.(error)
          if (error !== null) this.examine("a group commit", error)
        },
      }
      this.keys = keys
      this.intake = openIntake({ pool, keys, events, wait: (ms) => clock.wait(ms) })
      truth.see("service started")
      return "started"
    } catch (error) {
      if (error instanceof LogRolledBack || error instanceof LogSealedElsewhere) this.refusedToStart = error
      return "failed"
    }
  }

  accept(wire: Wire): ReturnType<Intake["open"]> {
    this.wires.add(wire)
    return this.intake!.open(wire.device)
  }

  /** How long the longest message waited for its answer, in simulated ms. */
  waitedMsMax = 0

  waited(ms: number): void {
    this.waitedMsMax = Math.max(this.waitedMsMax, ms)
  }

  answered(device: string, message: IntakeMessage, answer: IntakeAnswer): void {
    if (!this.isAlive || answer.kind !== "receipt" || message.kind === "question") return
    const { truth, isCommitted } = this.options
    const verdict = parseVerdictCode(answer.code)!
    this.answers.set(verdict, (this.answers.get(verdict) ?? 0) + 1)
    truth.see(verdict)
    truth.refuse(device, verdict)
    truth.demand(
      0,
      answer.refused === isRefusal(verdict),
      `a ${verdict} that is ${answer.refused ? "" : "not "}refused`,
    )
    if (!isStored(verdict) || message.kind !== "statement") return
    const { seq, head } = decodeReceipt(answer.receipt)
    const entry = entryOf(message.bytes, sha256Native)
    // Of a duplicate it may be another signature that is stored.
    const expected = verdict === "duplicate" ? null : entry
    truth.demand(
      1,
      seq !== null && isCommitted(device, seq, expected),
      `${device} was told ${verdict} of its statement ${seq}, which is not committed`,
    )
    truth.demand(
      3,
      head.seq === 0 || isCommitted(device, head.seq, head.entry),
      `${device} was told of the head ${head.seq}, which is not committed`,
    )
    if (verdict !== "duplicate") truth.acknowledged.add(formatHex(entry))
  }

  /** A slot of the schedule, or somebody who asks. Does nothing while another seal of this process is under way. */
  sealSlot(slotMs: number | undefined): void {
    if (!this.isListening || this.sealing !== null) return
    this.sealing = this.seal(slotMs).finally(() => (this.sealing = null))
  }

  private async seal(slotMs: number | undefined): Promise<void> {
    const { random, truth, mayFail } = this.options
    try {
      const result = await seal({
        pool: this.pool.asPool,
        keys: this.keys!,
        dataFolder: this.dataFolder,
        ...(slotMs === undefined ? {} : { slotMs }),
        isEmptyAllowed: slotMs !== undefined,
        random: (size) => random.bytes(size),
        onStep: (step) => {
          if (mayFail()) throw new StepFails(`stopped at ${step}`)
        },
      })
      if (this.isAlive) truth.see(result.kind === "sealed" ? "sealed" : "nothing to seal")
    } catch (error) {
      if (this.isAlive) this.takeSealFailure(error as Error)
    }
  }

  private takeSealFailure(error: Error): void {
    const { truth } = this.options
    truth.see("seal failed")
    const isRolledBack = error instanceof LogRolledBack || error instanceof LogSealedElsewhere
    truth.demand(6, !isRolledBack, `a seal found that ${error.message}`)
    if (!isRolledBack && !(error instanceof StepFails)) this.examine("a seal", error)
  }

  /** What a database that is away says, and no other: the rules of ingest leave no room for more. */
  private examine(where: string, error: Error): void {
    const { code } = error as { code?: unknown }
    this.options.truth.demand(0, isFromStorm(error), `${where} failed: ${error.message} (${String(code)})`)
  }

  get isSealing(): boolean {
    return this.sealing !== null
  }

  /** @param isSilent the whole machine is gone: nobody resets its connections */
  die(isSilent: boolean): void {
    this.isAlive = false
    this.mount.isAlive = false
    this.pool.die()
    for (const wire of this.wires) wire.loseService(isSilent)
    this.wires.clear()
  }

  /** Numbers of `/metrics` beside what went out. */
  async compareMetrics(): Promise<void> {
    const { truth, name } = this.options
    const metric = this.metrics.getSingleMetric("tidemark_verdicts_total")
    if (metric === undefined) return
    const counted = new Map<string, number>()
    for (const { labels, value } of (await metric.get()).values) counted.set(String(labels["verdict"]), value)
    for (const verdict of statementVerdicts) {
      const [answered, shown] = [this.answers.get(verdict) ?? 0, counted.get(verdict) ?? 0]
      truth.demand(
        9,
        answered === shown,
        `${name} answered ${answered} times ${verdict}, and counts ${shown}`,
      )
    }
    const received = await this.metrics.getSingleMetric("tidemark_statements_received_total")!.get()
    const sum = [...this.answers.values()].reduce((all, count) => all + count, 0)
    truth.demand(
      9,
      received.values[0]!.value === sum,
      `${name} answered ${sum} statements, and counts ${received.values[0]!.value}`,
    )
  }
}

/** A server without memory, and what else it says in the same transaction; or one that is gone. */
export function isFromStorm(error: Error): boolean {
  const { code } = error as { code?: unknown }
  if (code === "53200" || code === "25P02" || code === "ECONNREFUSED") return true
  // Of a row that cannot be stored, which the group is split for.
  if (code === "22P05") return true
  return error.message.startsWith("Connection terminated")
}
