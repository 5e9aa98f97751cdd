/** What is sealed of a device, shown by its evidence: fetched over HTTP, checked as a reader would, offline. */
import { policyOfLog } from "../chain/tlog-policy.ts"
import type { LogKeys } from "../ingest/log-keys.ts"
import { sha256Native, verifyNative } from "../ingest/native.ts"
import { EvidenceVerifier } from "../verify/evidence.ts"

/** @returns why it does not verify, or null */
export async function proveByEvidence(
  { api, key }: { readonly api: string; readonly key?: string },
  device: string,
  { origin, log }: LogKeys,
): Promise<string | null> {
  const trust = { policy: policyOfLog({ name: origin, publicKey: log.publicKey }) }
  const verifier = new EvidenceVerifier({ trust, sha256: sha256Native, verify: verifyNative })
  const response = await fetch(`${api}/v1/evidence?device=${encodeURIComponent(device)}`, {
    redirect: "error",
    signal: AbortSignal.timeout(evidenceMsMax),
    ...(key === undefined ? {} : { headers: { authorization: `Bearer ${key}` } }),
  })
  if (!response.ok || response.body === null) return `its evidence was not given: HTTP ${response.status}`
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    verifier.push(chunk)
    if (verifier.refused !== null) break
  }
  const result = verifier.end()
  return result.kind === "refused" ? `its evidence is refused: ${result.what} ${result.rule}` : null
}

const evidenceMsMax = 300_000
