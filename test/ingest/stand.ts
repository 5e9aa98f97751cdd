/** A log of a test's own on a real Postgres: enrolled devices, the intake, sealing. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Pool } from "pg"
import { type ChainBinding, type ProtocolVersion, emptyHeadOf } from "../../chain/genesis.ts"
import { type Hash, sha256 } from "../../chain/hash.ts"
import {
  type Algorithm,
  type PrivateKey,
  algorithmEd25519,
  algorithmEsp256,
  makePrivateKey,
} from "../../chain/key.ts"
import { noHead } from "../../chain/link.ts"
import { type Head, type Receipt, decodeReceipt } from "../../chain/receipt.ts"
import { encodePack } from "../../chain/senml.ts"
import type { Series } from "../../chain/series.ts"
import { type Claims, type Statement, contentSenml, entryOf, signStatement } from "../../chain/statement.ts"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { migrate } from "../../ingest/database/migration.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { type Intake, type IntakeOptions, type IntakePlace, openIntake } from "../../ingest/intake.ts"
import { initLog } from "../../ingest/log.ts"
import type { GivenSecrets, LogKeys } from "../../ingest/log-keys.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import { type SealOptions, type SealResult, seal } from "../../ingest/seal.ts"
import { openTestDatabase } from "./postgres.ts"

export const testOrigin = "tidemark.invalid/test"

export interface Stand {
  readonly pool: Pool
  readonly url: string
  readonly keys: LogKeys
  readonly dataFolder: string
  readonly intake: Intake
  /** Makes a device and enrols it. */
  enrol(id: string, algorithm?: Algorithm): Promise<TestDevice>
  seal(options?: Partial<SealOptions>): Promise<SealResult>
  close(): Promise<void>
}

/** An empty log's schema, migrated once per run. */
export const spineTemplate = {
  name: "spine",
  prepare: async (url: string) => {
    const pool = openPool(url)
    await migrate(pool)
    await pool.end()
  },
}

/** How the log of a stand is made, where it is not one of the newest version. */
export interface StandLog {
  readonly version?: ProtocolVersion
  readonly origin?: string
  readonly given?: GivenSecrets
}

export async function openStand(
  intakeOptions: Partial<IntakeOptions> = {},
  { version, origin = testOrigin, given = {} }: StandLog = {},
): Promise<Stand> {
  const database = await openTestDatabase({ template: spineTemplate })
  const dataFolder = await mkdtemp(join(tmpdir(), "tidemark-test-"))
  const pool = openPool(database.url, 8)
  const keys = await initLog(pool, dataFolder, origin, undefined, given, version)
  const intake = openIntake({ pool, keys, ...intakeOptions })
  return {
    pool,
    url: database.url,
    keys,
    dataFolder,
    intake,
    enrol: async (id, algorithm = algorithmEd25519) => {
      const device = new TestDevice(id, algorithm, keys.binding)
      const [result] = await enrolDevices(pool, keys, [{ device: id, key: device.key.publicKey }])
      if (result?.kind !== "enrolled") throw new Error(`${id} was not enrolled: ${result?.rule}`)
      return device
    },
    seal: (options = {}) => seal({ pool, keys, dataFolder, ...options }),
    close: async () => {
      await intake.close()
      await pool.end()
      await database.close()
      await rm(dataFolder, { recursive: true, force: true })
    },
  }
}

/** An honest device that remembers its chain: `next` signs, and what is signed is taken for sent. */
export class TestDevice {
  readonly id: string
  readonly key: PrivateKey
  /** The head before its first statement. */
  readonly empty: Head
  seq = 0
  entry: Hash

  /** @param binding of the log that it speaks to; without one it begins at zeros, as in a log of version 1 */
  constructor(
    id: string,
    algorithm: Algorithm = algorithmEsp256,
    binding: ChainBinding | null = null,
    key = makePrivateKey(algorithm, sha256(encodeUtf8(`test key of ${id}`))),
  ) {
    this.id = id
    this.empty = binding === null ? noHead : emptyHeadOf(binding, id)
    this.entry = this.empty.entry
    this.key = key
  }

  sign(claims: Partial<Claims> = {}): Statement {
    return signStatement(
      {
        content: contentSenml,
        iss: this.id,
        sub: this.id,
        iat: 1_760_000_000 + this.seq,
        seq: this.seq + 1,
        prev: this.entry,
        payload: encodePack(heartRate(this.seq)),
        ...claims,
      },
      this.key,
    )
  }

  /** Takes the head that the service told: what the device forgot, or what was lost on the way. */
  goOnFrom({ head }: Pick<Receipt, "head">): void {
    this.seq = head.seq
    this.entry = head.entry
  }

  next(claims: Partial<Claims> = {}): Statement {
    const statement = this.sign(claims)
    this.seq += 1
    this.entry = entryOf(statement.bytes)
    return statement
  }
}

/** Three readings at plausible times, different for each seq. */
export function heartRate(seq: number): Series[] {
  const startsAt = 1_760_000_000 + 60 * seq
  return [
    {
      kind: "number",
      name: "heart-rate",
      unit: "beat/min",
      times: [startsAt, startsAt + 20, startsAt + 40],
      values: [60 + (seq % 40), 61.5, 62],
    },
  ]
}

/** Asks for the head; fails where the place was fenced off. */
export async function ask(place: IntakePlace): Promise<Receipt> {
  const answer = await place.submit({ kind: "question" })
  if (answer.kind !== "receipt") throw new Error("the question was dropped")
  return decodeReceipt(answer.receipt)
}

/** Sends bytes, and gives the receipt, or null where they were dropped. */
export async function offer(place: IntakePlace, bytes: Uint8Array): Promise<Receipt | null> {
  const answer = await place.submit({ kind: "statement", bytes })
  return answer.kind === "receipt" ? decodeReceipt(answer.receipt) : null
}

/** Sends a statement and gives its receipt; fails where the place was fenced off. */
export async function send(place: IntakePlace, statement: Statement): Promise<Receipt> {
  const receipt = await offer(place, statement.bytes)
  if (receipt === null) throw new Error("the message was dropped")
  return receipt
}

/** Waits until a query says so; the database is asked again as soon as it has answered. */
export async function untilTrue(pool: Pool, sql: string, values: readonly unknown[] = []): Promise<void> {
  for (;;) {
    const { rows } = await pool.query<{ holds: boolean }>(`select (${sql}) as holds`, [...values])
    if (rows[0]?.holds === true) return
    await pool.query("select pg_sleep(0.01)")
  }
}
