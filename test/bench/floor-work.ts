/**
 * The physical cost of what ingest does: the same signatures verified natively, SHA-256 of the same bytes, COPY of the same
 * rows from one connection into the same tables, and nothing else. In a process of its own, each part by itself.
 */
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { createPublicKey, hash, verify } from "node:crypto"
import { Client } from "pg"
import { from as copyFrom, to as copyTo } from "pg-copy-streams"
import { type PublicKey, decodeCoseKey } from "../../chain/key.ts"
import { encodeSpki } from "../../chain/keyfile.ts"
import { decodeStatement, signedBytesOf } from "../../chain/statement.ts"
import { verifyNative } from "../../ingest/native.ts"
import { parseMessages } from "./fleet.ts"
import { serve } from "./worker.ts"

export type FloorRequest =
  | {
      readonly kind: "load"
      /** Of the statements, as they were published. */
      readonly path: string
      /** COSE_Keys of the fleet. */
      readonly keys: readonly Uint8Array[]
      /** Where their rows stand, and under which ids: `idFrom` <= id < `idTo`. */
      readonly from: string
      readonly idFrom: number
      readonly idTo: number
    }
  | { readonly kind: "verify"; readonly by: FloorVerifier }
  | { readonly kind: "hash" }
  /** Into a database with the same tables. */
  | { readonly kind: "copy"; readonly into: string }

/** OpenSSL by node:crypto, or whatever ingest verifies with. */
export type FloorVerifier = "node" | "ingest"

/** Used of the processor by a part, in seconds. */
export type FloorSeconds = number

const tables = ["entries", "statements", "series"] as const

/** A transaction: what ingest's groups have under load, or more. */
const statementsPerCommit = 1_000

interface Work {
  readonly key: PublicKey
  readonly bytes: Uint8Array
  readonly message: Uint8Array
  readonly signature: Uint8Array
}

let works: readonly Work[] = []
/** By transaction and table: a whole COPY in binary. */
let copies: readonly (readonly Buffer[])[] = []

async function answer(request: FloorRequest): Promise<unknown> {
  switch (request.kind) {
    case "load":
      works = readWorks(request.path, request.keys.map(decodeCoseKey))
      copies = await readRows(request.from, request.idFrom, request.idTo)
      return null
    case "verify":
      return timed(() => verifyAll(request.by))
    case "hash":
      return timed(() => works.forEach(({ bytes }) => hash("sha256", bytes, "buffer")))
    case "copy":
      return copyAll(request.into)
    default:
      throw new Error("no such request")
  }
}

function readWorks(path: string, keys: readonly PublicKey[]): Work[] {
  return parseMessages(readFileSync(path)).map(({ from, bytes }) => {
    const decoded = decodeStatement(bytes)
    if (decoded.kind !== "statement") throw new Error("the bench made a statement that is none")
    const { statement } = decoded
    return { key: keys[from]!, bytes, message: signedBytesOf(statement), signature: statement.signature }
  })
}

/** What ingest committed, as COPY gives it: no row of the floor is made by anybody else. */
async function readRows(url: string, idFrom: number, idTo: number): Promise<Buffer[][]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  const groups: Buffer[][] = []
  for (let from = idFrom; from < idTo; from += statementsPerCommit) {
    const to = Math.min(idTo, from + statementsPerCommit)
    const group: Buffer[] = []
    for (const table of tables) {
      const id = table === "series" ? "statement_id" : "id"
      const rows = `select * from ${table} where ${id} >= ${from} and ${id} < ${to} order by ${id}`
      const stream = client.query(copyTo(`copy (${rows}) to stdout (format binary)`))
      group.push(Buffer.concat(await stream.toArray()))
    }
    groups.push(group)
  }
  await client.end()
  return groups
}

function timed(work: () => void): FloorSeconds {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e6
}

function verifyAll(by: FloorVerifier): void {
  const verifyOne = by === "ingest" ? verifyNative : makeVerifyByNode()
  for (const { key, message, signature } of works)
    if (!verifyOne(key, message, signature)) throw new Error("the bench made a signature that is none")
}

function makeVerifyByNode(): typeof verifyNative {
  const keyObjects = new Map(
    [...new Set(works.map(({ key }) => key))].map((key) => [
      key,
      createPublicKey({ key: Buffer.from(encodeSpki(key)), format: "der", type: "spki" }),
    ]),
  )
  return (key, message, signature) => verify(null, message, keyObjects.get(key)!, signature)
}

async function copyAll(url: string): Promise<FloorSeconds> {
  const client = new Client({ connectionString: url, options: "-c synchronous_commit=on" })
  await client.connect()
  try {
    const before = process.cpuUsage()
    for (const group of copies) {
      await client.query("begin")
      for (const [index, table] of tables.entries()) {
        const stream = client.query(copyFrom(`copy ${table} from stdin (format binary)`))
        stream.end(group[index])
        await once(stream, "finish")
      }
      await client.query("commit")
    }
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1e6
  } finally {
    await client.end()
  }
}

serve((request) => answer(request as FloorRequest))
