/** The operator's own chain: policy, registry statements, manifests (FORMAT §6 and §7). */
import type { PoolClient } from "pg"
import { type Hash, parseHash } from "../chain/hash.ts"
import { type Content, entryOf, signStatement, signedBytesOf } from "../chain/statement.ts"
import { begin, locks } from "./database/pool.ts"
import { type IngestKeys, digestKeyOf } from "./log-keys.ts"
import { hmacNative, sha256Native } from "./native.ts"
import { type StoredStatement, insertStatements } from "./storage.ts"

/** The operator's chain, locked until the transaction ends. */
export interface OperatorHead {
  readonly seq: number
  readonly entry: Hash
}

/**
 * Locks the operator's chain. Whoever also locks devices' heads locks this one first, and those in order of device id:
 * one order for everybody, or two transactions would wait for each other.
 */
export async function lockOperator(client: PoolClient, origin: string): Promise<OperatorHead> {
  const { rows } = await client.query<{ seq: number; entry: Uint8Array }>(
    "select seq, entry from chain_heads where device_id = $1 for update",
    [origin],
  )
  const row = rows[0]
  if (row === undefined) throw new Error(`the database has no operator's chain for ${origin}`)
  return { seq: row.seq, entry: parseHash(row.entry) }
}

/** The same without waiting: null where somebody else holds the chain, as a seal does until its block is committed. */
export async function tryLockOperator(client: PoolClient, origin: string): Promise<OperatorHead | null> {
  const { rows } = await client.query<{ seq: number; entry: Uint8Array }>(
    "select seq, entry from chain_heads where device_id = $1 for update skip locked",
    [origin],
  )
  const row = rows[0]
  return row === undefined ? null : { seq: row.seq, entry: parseHash(row.entry) }
}

/** Every writer of statements holds this lock shared from before its first id to its commit, so that a seal can cut. */
export async function lockSealShared(client: PoolClient): Promise<void> {
  await client.query("select pg_advisory_xact_lock_shared($1)", [locks.seal])
}

/** Begins a transaction with that lock, in one round trip. */
export async function beginUnderSeal(client: PoolClient): Promise<void> {
  await begin(client, `select pg_advisory_xact_lock_shared(${locks.seal})`)
}

export interface OperatorStatement {
  readonly id: number
  readonly sub: string
  readonly content: Content
  readonly payload: Uint8Array
  readonly receivedAtMs: number
}

/** The operator's chain while it is locked: statements are signed one by one, then stored together. */
export class OperatorChain {
  private readonly keys: IngestKeys
  private readonly before: OperatorHead
  private readonly digestKey: Uint8Array
  private head: OperatorHead
  private readonly rows: StoredStatement[] = []

  constructor(keys: IngestKeys, head: OperatorHead) {
    this.keys = keys
    this.before = head
    this.head = head
    this.digestKey = digestKeyOf(keys)
  }

  get origin(): string {
    return this.keys.origin
  }

  /** Signs the next statement and gives its entry. */
  sign({ id, sub, content, payload, receivedAtMs }: OperatorStatement): Hash {
    const { origin, operator } = this.keys
    const seq = this.head.seq + 1
    const claims = {
      content,
      iss: origin,
      sub,
      iat: Math.floor(receivedAtMs / 1000),
      seq,
      prev: this.head.entry,
      payload,
    }
    const statement = signStatement(claims, operator, origin)
    const entry = entryOf(statement.bytes, sha256Native)
    const signedDigest = hmacNative(this.digestKey, signedBytesOf(statement))
    const { bytes } = statement
    this.rows.push({
      id,
      chain: origin,
      seq,
      entry,
      receivedAtMs,
      signedDigest,
      code: 1,
      fault: null,
      bytes,
      series: [],
    })
    this.head = { seq, entry }
    return entry
  }

  /** Stores what was signed, and moves the head. The chain must be locked by this transaction. */
  async store(client: PoolClient): Promise<void> {
    if (this.rows.length === 0) return
    await insertStatements(client, this.rows)
    const { before, head } = this
    const { rowCount } = await client.query(
      "update chain_heads set seq = $2, entry = $3 where device_id = $1 and seq = $4 and entry = $5",
      [this.keys.origin, head.seq, head.entry, before.seq, before.entry],
    )
    if (rowCount !== 1) throw new Error("the operator's chain moved under its lock")
  }
}

/** Signs and stores the operator's next statements, in order. The chain must be locked by this transaction. */
export async function appendOperator(
  client: PoolClient,
  keys: IngestKeys,
  head: OperatorHead,
  statements: readonly OperatorStatement[],
): Promise<readonly Hash[]> {
  const chain = new OperatorChain(keys, head)
  const entries = statements.map((statement) => chain.sign(statement))
  await chain.store(client)
  return entries
}
