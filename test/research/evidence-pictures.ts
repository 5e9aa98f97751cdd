/** Evidence of a test's log, as the database gives it through one connection. */
import type { PoolClient } from "pg"
import { blindOf } from "../../chain/heads.ts"
import type { CheckpointSigner, LogKeys } from "../../ingest/log-keys.ts"
import { sha256Native } from "../../ingest/native.ts"
import { planEvidence } from "../../research/evidence.ts"
import { openEvidenceRows } from "../../research/evidence-rows.ts"
import { policyOfLog } from "../../chain/tlog-policy.ts"
import type { EvidenceTrust } from "../../verify/evidence.ts"

export async function makeEvidence(
  client: Pick<PoolClient, "query">,
  keys: Pick<LogKeys, "origin" | "headsSecret">,
  device: string,
  from: number,
  to: number,
): Promise<Uint8Array> {
  const source = await openEvidenceRows({
    query: async <Row extends object>(sql: string, values: readonly unknown[]) =>
      (await client.query<Row>(sql, [...values])).rows,
    origin: keys.origin,
    sha256: sha256Native,
  })
  const plan = await planEvidence({
    source,
    device,
    from,
    to,
    blindOf: (height, id) => blindOf(keys.headsSecret, height, id),
    sha256: sha256Native,
  })
  if (plan.kind === "refused") throw new Error(plan.rule)
  const pieces: Uint8Array[] = []
  for await (const piece of plan.write()) pieces.push(Uint8Array.from(piece))
  return Uint8Array.from(Buffer.concat(pieces))
}

export function trustIn({ origin, log }: CheckpointSigner): EvidenceTrust {
  return { policy: policyOfLog({ name: origin, publicKey: log.publicKey }) }
}
