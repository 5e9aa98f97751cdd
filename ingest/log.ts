/** A log's beginning, and the check at every start that keys and database belong together. */
import { randomBytes } from "node:crypto"
import { readdir, rm } from "node:fs/promises"
import { join } from "node:path"
import type { Pool } from "pg"
import { equalBytes } from "../chain/bytes.ts"
import { type ChainBinding, type ProtocolVersion, protocolVersion } from "../chain/genesis.ts"
import { zeroHash } from "../chain/hash.ts"
import { type PublicKey, encodeCoseKey } from "../chain/key.ts"
import { formatVkey, parseVkey } from "../chain/note.ts"
import { encodePolicy, findOriginFault, parseVersion } from "../chain/policy.ts"
import { contentPolicy } from "../chain/statement.ts"
import { renameFolder } from "../disk/durable.ts"
import { migrate } from "./database/migration.ts"
import { inTransaction } from "./database/pool.ts"
import {
  type CheckpointSigner,
  type FolderKeys,
  type GivenSecrets,
  type LogKeys,
  type SecretName,
  type SomeKeys,
  allSecrets,
  findSharedSecret,
  makeLogKeys,
  pickLogKeys,
  policyOf,
  readLogKeys,
  writeLogKeys,
} from "./log-keys.ts"
import { appendOperator, lockOperator, lockSealShared } from "./operator.ts"
import { readClock, takeIds } from "./storage.ts"

/** Keys and database do not fit, or one of them is missing. The message says which and how to mend it. */
export class LogMismatch extends Error {
  override readonly name = "LogMismatch"
}

const keysFolder = (dataFolder: string): string => join(dataFolder, "keys")
/** Keys of a log that is being made: they become the log's when the database has committed its policy. */
const newKeysPattern = /^keys\.new(?:-[0-9a-f]{12})?$/
const nameNewKeys = (): string => `keys.new-${randomBytes(6).toString("hex")}`

/**
 * Makes the keys and commits the policy as the first statement of the operator's chain. Refuses where a log is. Makers that
 * come at once harm nothing: each has a folder of new keys of its own, the database takes one policy, and keys that have
 * their name are never replaced.
 *
 * @param random 32 byte secrets; the simulator passes a seeded one
 * @param given secrets that are neither made nor written
 * @param version of the protocol; tests make logs of version 1 to show that they go on
 */
export async function initLog(
  pool: Pool,
  dataFolder: string,
  origin: string,
  random?: (size: number) => Uint8Array,
  given: GivenSecrets = {},
  version: ProtocolVersion = protocolVersion,
): Promise<LogKeys> {
  const fault = findOriginFault(origin)
  if (fault !== null) throw new RangeError(`${origin} cannot be a log's origin: ${fault}`)
  if ((await readLogKeys(keysFolder(dataFolder), [])) !== null)
    throw new LogMismatch(`${dataFolder} holds a log's keys already`)
  const keys = makeLogKeys(origin, random, given, version)
  const shared = findSharedSecret(keys)
  if (shared !== null)
    throw new LogMismatch(
      `the log's secrets ${shared[0]} and ${shared[1]} are the same: each must be another`,
    )
  await migrate(pool)
  const newKeys = join(dataFolder, nameNewKeys())
  await writeLogKeys(newKeys, keys, given)
  // A crash here leaves keys that no database knows, which nobody reads or removes.
  try {
    await commitPolicy(pool, keys)
  } catch (error) {
    // Not committed. After any other error it may have been, and then openLog looks for these keys.
    if (error instanceof LogMismatch) await rm(newKeys, { recursive: true, force: true })
    throw error
  }
  // A crash here leaves a database whose keys are still called new: openLog finishes the rename.
  await adoptKeys(dataFolder, newKeys, keys, given)
  return keys
}

async function commitPolicy(pool: Pool, keys: LogKeys): Promise<void> {
  const policy = policyOf(keys)
  await inTransaction(pool, async (client) => {
    await lockSealShared(client)
    const { rowCount } = await client.query(
      "insert into log (origin, vkey, operator_key, receipt_key, version) values ($1, $2, $3, $4, $5) on conflict do nothing",
      [
        policy.origin,
        policy.logVkey,
        encodeCoseKey(policy.operatorKey),
        encodeCoseKey(policy.receiptKey),
        policy.version,
      ],
    )
    if (rowCount === 0)
      throw new LogMismatch(
        "this database holds a log already, and its keys are not here: give it the folder that has them",
      )
    await client.query("insert into chain_heads (device_id, seq, entry) values ($1, 0, $2)", [
      keys.origin,
      zeroHash,
    ])
    const head = await lockOperator(client, keys.origin)
    const receivedAtMs = await readClock(client)
    const [id] = await takeIds(client, 1)
    const payload = encodePolicy(policy)
    await appendOperator(client, keys, head, [
      { id: id!, sub: "policy", content: contentPolicy, payload, receivedAtMs },
    ])
  })
}

/** Gives new keys the name by which all others find them. Done already is done; the keys of another log are an error. */
async function adoptKeys(
  dataFolder: string,
  newKeys: string,
  keys: FolderKeys,
  given: GivenSecrets,
): Promise<void> {
  const isRenamed = await renameFolder(newKeys, keysFolder(dataFolder)).catch((error: unknown) => {
    // Another process that opened the log was faster.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false
    throw error
  })
  if (isRenamed) return
  const there = await readLogKeys(keysFolder(dataFolder), allSecrets, given)
  if (there !== null && equalBytes(there.log.publicKey.bytes, keys.log.publicKey.bytes)) return
  throw new LogMismatch(
    `${keysFolder(dataFolder)} holds the keys of another log than the database: those of ${keys.origin} are in ${newKeys}. Move that folder into an empty data folder, name it keys, and give that data folder with this database`,
  )
}

/** The keys of this log that a crash kept from getting their name, or null. They get it now. */
async function findNewKeys(
  dataFolder: string,
  stored: LogRow,
  given: GivenSecrets,
): Promise<FolderKeys | null> {
  const names = await readdir(dataFolder).catch(() => [])
  for (const name of names.filter((one) => newKeysPattern.test(one))) {
    const folder = join(dataFolder, name)
    // Keys that cannot be read are not whole, or another log's with other secrets given.
    const keys = await readLogKeys(folder, allSecrets, given).catch(() => null)
    if (keys === null || !isSameLog(keys, stored)) continue
    await adoptKeys(dataFolder, folder, keys, given)
    return keys
  }
  return null
}

/** Whether this folder holds a log's keys. Rejects where one that is needed is missing or damaged. */
export async function hasLogKeys(
  dataFolder: string,
  needed: readonly SecretName[],
  given: GivenSecrets = {},
): Promise<boolean> {
  return (await readLogKeys(keysFolder(dataFolder), needed, given)) !== null
}

/**
 * The keys of the log that this database holds, of all secrets those that are needed; null where neither folder nor
 * database has a log.
 *
 * @throws LogMismatch where only one of them has, or where they are of different logs
 */
export async function openLog(pool: Pool, dataFolder: string): Promise<LogKeys | null>
export async function openLog<Name extends SecretName>(
  pool: Pool,
  dataFolder: string,
  needed: readonly Name[],
  given?: GivenSecrets,
): Promise<(SomeKeys<Name> & CheckpointSigner) | null>
export async function openLog(
  pool: Pool,
  dataFolder: string,
  needed: readonly SecretName[] = allSecrets,
  given: GivenSecrets = {},
): Promise<(Omit<HeldKeys, "log"> & CheckpointSigner & { readonly binding: ChainBinding }) | null> {
  const stored = await readLogRow(pool)
  let keys: HeldKeys | null = await readLogKeys(keysFolder(dataFolder), needed, given)
  if (keys === null && stored !== null) keys = await findNewKeys(dataFolder, stored, given)
  // Another process may have given them their name meanwhile.
  if (keys === null && stored !== null) keys = await readLogKeys(keysFolder(dataFolder), needed, given)
  // A process that was given all that it needs has no folder of keys; whose log they are of is looked at below.
  if (keys === null && stored !== null && needed.length > 0) keys = pickLogKeys(stored.origin, needed, given)
  if (keys === null && stored === null) return null
  if (keys === null) {
    throw new LogMismatch(
      `the database holds the log ${stored!.origin}, whose keys are not in ${dataFolder}: give --data the folder that has them`,
    )
  }
  if (stored === null) {
    throw new LogMismatch(
      `${dataFolder} holds the keys of the log ${keys.origin}, and the database is empty: name the right database, or restore it`,
    )
  }
  if (!isSameLog(keys, stored)) {
    throw new LogMismatch(
      `the keys in ${dataFolder} are of the log ${keys.origin}, and the database holds ${stored.origin} with other keys`,
    )
  }
  // Whoever does not sign checkpoints knows their signer by the database, whose log its own keys are of.
  return { log: { publicKey: logKeyOf(stored) }, ...keys, binding: bindingOf(stored) }
}

/** Some or all of a log's. */
type HeldKeys = Partial<FolderKeys> & Pick<FolderKeys, "origin">

interface LogRow {
  readonly origin: string
  readonly vkey: string
  readonly operator_key: Uint8Array
  readonly receipt_key: Uint8Array
  readonly version: number
}

async function readLogRow(pool: Pool): Promise<LogRow | null> {
  const { rows: tables } = await pool.query<{ exists: boolean }>(
    "select to_regclass('log') is not null as exists",
  )
  if (tables[0]?.exists !== true) return null
  // As JSON, since a log is opened before its database is migrated to the version that has this column.
  const { rows } = await pool.query<LogRow>(
    "select origin, vkey, operator_key, receipt_key, coalesce((to_jsonb(log) ->> 'version')::int, 1) as version from log",
  )
  return rows[0] ?? null
}

/** By the keys that are held: each of them names its log. */
function isSameLog({ origin, log, operator, receipt }: HeldKeys, row: LogRow): boolean {
  return (
    row.origin === origin &&
    (log === undefined || row.vkey === formatVkey({ name: origin, publicKey: log.publicKey })) &&
    (operator === undefined || equalBytes(row.operator_key, encodeCoseKey(operator.publicKey))) &&
    (receipt === undefined || equalBytes(row.receipt_key, encodeCoseKey(receipt.publicKey)))
  )
}

function bindingOf({ vkey, version }: LogRow): ChainBinding {
  const known = parseVersion(version)
  if (known === null)
    throw new LogMismatch(
      `the database's log has protocol version ${version}, which this version of Tidemark does not know: use a newer one`,
    )
  return { logVkey: vkey, version: known }
}

function logKeyOf({ vkey }: LogRow): PublicKey {
  const parsed = parseVkey(vkey)
  if (parsed === null) throw new LogMismatch("the database's log has no readable key: run tidemark verify")
  return parsed.publicKey
}
