/** The part that takes each checkpoint to the witnesses of other organisations: beside sealing, which never waits for it. */
import type { Pool } from "pg"
import { readWitnessLag, storePlan } from "../../ingest/cosignatures.ts"
import { type CosignOptions, compareWithWitness } from "../../ingest/cosign.ts"
import type { CheckpointSigner } from "../../ingest/log-keys.ts"
import { LogRolledBack } from "../../ingest/publication.ts"
import { type AskedWitness, type WitnessPlan, readWitnessPlan } from "../../ingest/witness-plan.ts"
import { Courier } from "../../ingest/witness-courier.ts"
import { StoredTiles } from "../../research/log-tiles.ts"
import { CommandFault } from "../fault.ts"
import { type WitnessLag, makeWitnessMetrics } from "../metrics.ts"
import { readNamedFile } from "../option.ts"
import type { Base } from "./base.ts"

export interface WitnessesPart {
  /** A block was sealed. */
  wake(): void
  /** Waits for answers that are under way, 10 s at most. */
  close(): Promise<void>
}

/** The policy file that the user named; a fault that names the line. */
export async function readWitnessFile(path: string): Promise<Uint8Array> {
  const file = await readNamedFile(path, "the witnesses")
  planOf(file, null)
  return file
}

/** The plan of a file for this log. */
export function planOf(file: Uint8Array, keys: CheckpointSigner | null): WitnessPlan {
  const read = readWitnessPlan(
    file,
    keys === null ? null : { name: keys.origin, publicKey: keys.log.publicKey },
  )
  if (read.kind === "plan") return read.plan
  throw new CommandFault(
    `the witnesses${read.line === null ? "" : `, line ${read.line}`}: ${read.rule}`,
    "a C2SP tlog-policy: witness <name> <vkey> <url>, group <name> all|any|<k> <name>..., quorum <name>",
  )
}

export function readTiles(pool: Pool): StoredTiles {
  return new StoredTiles(
    async <Row extends object>(sql: string, values: readonly unknown[]) =>
      (await pool.query<Row>(sql, [...values])).rows,
  )
}

/** A start waits so long for witnesses that do not answer. */
const startMsMax = 3_000

/**
 * Compares the database with what witnesses have seen, before anything is built on it: a backup of database and data folder
 * together is noticed by nobody else. A witness that does not answer holds up nothing.
 *
 * @throws LogRolledBack
 */
export async function compareWithWitnesses(
  log: Pick<CosignOptions, "pool" | "dataFolder" | "keys">,
  { asked }: WitnessPlan,
  onTrouble: (witness: string, rule: string) => void,
): Promise<void> {
  const options = { ...log, limits: { answerMsMax: startMsMax } }
  await Promise.all(
    asked.map(async (witness) => {
      const found = await compareWithWitness(options, witness)
      if (found.kind !== "agrees" && found.kind !== "none") onTrouble(witness.name, found.rule)
    }),
  )
}

/** The same for a process that stays. */
export async function compareBase(
  { database: { pool }, dataFolder, keys, log }: Base<CheckpointSigner>,
  plan: WitnessPlan,
): Promise<void> {
  await compareWithWitnesses({ pool, dataFolder, keys }, plan, (witness, trouble) =>
    log.warn({ witness, trouble }, "the witness could not be asked what it has seen"),
  )
}

const lagMsMax = 1_000

/** One query at a time for whoever asks meanwhile; a database that is silent must not silence the metrics. */
function boundedLag(pool: Pool): () => Promise<WitnessLag> {
  let reading: Promise<WitnessLag> | null = null
  return async () => {
    reading ??= readWitnessLag(pool).finally(() => (reading = null))
    let timer: NodeJS.Timeout | undefined
    const silence = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error("the database is silent")), lagMsMax)
    })
    try {
      return await Promise.race([reading, silence])
    } finally {
      clearTimeout(timer)
    }
  }
}

export async function startWitnesses(
  base: Base<CheckpointSigner>,
  plan: WitnessPlan,
): Promise<WitnessesPart> {
  const { database, dataFolder, keys, registry, readiness, log } = base
  const { pool } = database
  await storePlan(pool, plan)
  const names = plan.asked.map(({ name }) => name)
  const metrics = makeWitnessMetrics(registry, names, boundedLag(pool), Date.now)
  readiness.add("witnesses")
  const events = {
    cosigned: (witness: string, height: number, isWitnessed: boolean): void => {
      metrics.cosigned(witness)
      log.info({ witness, height }, "cosigned")
      if (isWitnessed) log.info({ height }, "witnessed")
    },
    failed: (witness: string, trouble: { readonly kind: string; readonly rule: string }): void => {
      metrics.failed(witness, trouble.kind)
      const said = { witness, kind: trouble.kind, trouble: trouble.rule }
      // Either it lies or the database went back; which of the two only a person finds out.
      if (trouble.kind === "disagrees") log.error(said, "a witness does not agree; it is asked again")
      else log.warn(said, "not cosigned; it is asked again")
    },
    rolledBack: (witness: string, error: LogRolledBack): void => {
      metrics.failed(witness, "disagrees")
      readiness.fail("witnesses", error.message)
      log.error({ witness, error: error.message }, "a witness has proof that the database went back")
    },
  }
  const couriers = plan.asked.map(
    (witness: AskedWitness) =>
      new Courier({
        pool,
        dataFolder,
        keys,
        tiles: readTiles(pool),
        nowMs: Date.now,
        random: Math.random,
        witness,
        events,
      }),
  )
  return {
    wake: () => {
      for (const courier of couriers) courier.wake()
    },
    close: async () => {
      await Promise.all(couriers.map((courier) => courier.close()))
    },
  }
}
