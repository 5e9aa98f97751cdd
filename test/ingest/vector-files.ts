/** The project's own vectors, read from their files. */
import { readFileSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { equalBytes, formatHex, parseHex } from "../../chain/bytes.ts"
import { type PrivateKey, decodeCoseKey, kidOf } from "../../chain/key.ts"
import type { ChainVector } from "../vectors/chains.ts"
import { type KeyInFile, ecKey, edKey, edKeyNext } from "../vectors/keys.ts"
import type { StatementVector } from "../vectors/statement-vector.ts"
import type { Pool } from "pg"

const folder = fileURLToPath(new URL("../vectors/", import.meta.url))

function readVectors(path: string): { readonly name: string; readonly vector: unknown }[] {
  return readdirSync(join(folder, path))
    .toSorted()
    .map((file) => ({
      name: file.replace(/\.json$/, ""),
      vector: JSON.parse(readFileSync(join(folder, path, file), "utf8")) as unknown,
    }))
}

export function readStatementVectors(): { readonly name: string; readonly vector: StatementVector }[] {
  return ["statements/valid", "statements/invalid"].flatMap(readVectors) as {
    name: string
    vector: StatementVector
  }[]
}

export function readChainVectors(): { readonly name: string; readonly vector: ChainVector }[] {
  return ["chains", "version-2/chains"].flatMap(readVectors) as { name: string; vector: ChainVector }[]
}

export function bytesOf(hex: string): Uint8Array {
  const bytes = parseHex(hex)
  if (bytes === null) throw new Error("a vector's bytes are hex")
  return bytes
}

/** The secret half of a key in a file. */
export function privateKeyOf({ kid }: Pick<KeyInFile, "kid">): PrivateKey {
  const key = [edKey, edKeyNext, ecKey].find(({ publicKey }) => formatHex(kidOf(publicKey)) === kid)
  if (key === undefined) throw new Error(`no test key has the kid ${kid}`)
  return key
}

/**
 * Brings an enrolled device's keys and status to where a vector has them: what rotation, revocation and suspension leave
 * behind, epoch and registry included.
 */
export async function writeStanding(
  pool: Pool,
  device: string,
  keys: readonly KeyInFile[],
  status: string,
  registry: Uint8Array | null,
): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query("begin")
    await client.query("select from chain_heads where device_id = $1 for update", [device])
    for (const { kid, coseKey, firstSeq, lastSeq, endedBy } of keys) {
      const bytes = bytesOf(coseKey)
      if (!equalBytes(kidOf(decodeCoseKey(bytes)), bytesOf(kid))) throw new Error("a kid is not its key's")
      await client.query(
        `insert into device_keys (device_id, kid, cose_key, first_seq, last_seq, ended_by, possession_proven, introduced_by)
         values ($1, $2, $3, $4, $5, $6, false, 'operator')
         on conflict (device_id, kid) do update set last_seq = excluded.last_seq, ended_by = excluded.ended_by`,
        [device, bytesOf(kid), bytes, firstSeq, lastSeq, endedBy],
      )
    }
    await client.query(
      "update devices set status = $2, registry = coalesce($3, registry) where device_id = $1",
      [device, status, registry],
    )
    await client.query("update chain_heads set epoch = epoch + 1 where device_id = $1", [device])
    await client.query("commit")
  } finally {
    client.release()
  }
}
