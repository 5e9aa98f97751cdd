/**
 * `prove` and `verify`: a device's day as evidence, inclusion proofs one by one, the offline verifier as a reader without
 * anything native runs it (noble), and the audit of a whole database by `tidemark verify`.
 */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { parseCheckpoint } from "../../chain/checkpoint.ts"
import { type Hash, parseHash, zeroHash } from "../../chain/hash.ts"
import { type NodePlace, checkInclusion, hashLeaf, proveInclusion } from "../../chain/merkle.ts"
import { type NoteKey, parseNote, parseVkey } from "../../chain/note.ts"
import { policyOfLog } from "../../chain/tlog-policy.ts"
import { makeRandom } from "../../devices-sim/random.ts"
import { sha256Native } from "../../ingest/native.ts"
import { openEvidenceRows } from "../../research/evidence-rows.ts"
import { EvidenceVerifier } from "../../verify/evidence.ts"
import { watchTidemark } from "./command.ts"
import type { BenchContext } from "./context.ts"
import type { History } from "./history.ts"
import { readFamilySeconds } from "./processor-time.ts"
import { sumOf, timeProcesses } from "./stopwatch.ts"

const pieceSize = 65_536

/** @returns where the day's evidence lies */
export async function runProving({ service, dayDevice }: History, context: BenchContext): Promise<string> {
  const { samples, seed, isQuick, say } = context
  const path = join(service.folder, "day.evidence")
  const { stdout } = await watchTidemark([
    "evidence",
    dayDevice,
    "--json",
    "--out",
    path,
    "--data",
    service.dataFolder,
  ])
  const { statements, bytes, tookMs } = JSON.parse(stdout) as {
    statements: number
    bytes: number
    tookMs: number
  }
  samples.nextRound()
  samples.add("prove.evidence", (1000 * statements) / tookMs, "statements/s")
  samples.add("prove.evidence-bytes", bytes / statements, "bytes/statement")
  const count = isQuick ? 500 : 5_000
  const seconds = await proveLeaves(service.pool, count, seed)
  samples.add("prove.inclusion", count / seconds, "proofs/s")
  say(
    `evidence of ${statements} statements in ${tookMs} ms; ${count} inclusion proofs in ${seconds.toFixed(1)} s`,
  )
  return path
}

/** Proofs of leaves from all over the log, from what the database stores, each checked. Gives the seconds of proving. */
async function proveLeaves(pool: History["service"]["pool"], count: number, seed: number): Promise<number> {
  const source = await openEvidenceRows({
    query: async <Row extends object>(sql: string, values: readonly unknown[]) =>
      (await pool.query<Row>(sql, [...values])).rows,
    origin: (await readLogKey(pool)).name,
    sha256: sha256Native,
  })
  const { size, root } = parseCheckpoint(parseNote(source.checkpoint!.note)!.text)!
  const { rows } = await pool.query<{ entry: Uint8Array }>("select entry from entries order by id limit $1", [
    size,
  ])
  const random = makeRandom(`bench ${seed} proofs`)
  const indexes = Array.from({ length: count }, () => random.int(0, size - 1)).toSorted((a, b) => a - b)
  let ms = 0
  for (const index of indexes) {
    const startedAtMs = performance.now()
    const places: NodePlace[] = []
    proveInclusion(
      index,
      size,
      (place) => {
        places.push(place)
        return zeroHash
      },
      sha256Native,
    )
    const nodes = await source.readNodes(places)
    let at = 0
    const path: Hash[] = proveInclusion(index, size, () => nodes[at++]!, sha256Native)
    ms += performance.now() - startedAtMs
    const leaf = hashLeaf(parseHash(rows[index]!.entry), sha256Native)
    if (!checkInclusion(leaf, index, size, path, root, sha256Native))
      throw new Error(`leaf ${index} was not proven`)
  }
  return ms / 1000
}

async function readLogKey(pool: History["service"]["pool"]): Promise<NoteKey> {
  const { rows } = await pool.query<{ vkey: string }>("select vkey from log")
  return parseVkey(rows[0]!.vkey)!
}

/** @param evidence where the day's evidence lies; made here where nobody has */
export async function runVerifying(
  history: History,
  evidence: string | null,
  context: BenchContext,
): Promise<void> {
  const { service, statements } = history
  const { samples, rounds, say } = context
  const path = evidence ?? (await runProving(history, context))
  const file = Uint8Array.from(await readFile(path))
  const logKey = await readLogKey(service.pool)
  for (let round = 1; round <= rounds; round++) {
    const offline = verifyOffline(file, logKey)
    const clocks = { postgres: () => readFamilySeconds(service.postmaster) }
    const { result, seconds } = await timeProcesses(clocks, () =>
      watchTidemark(["verify", "--json", "--data", service.dataFolder]),
    )
    const found = JSON.parse(result.stdout) as { kind: string; statements: number }
    if (found.kind !== "passed" || found.statements !== statements)
      throw new Error(`the audit of ${statements} statements did not pass: ${result.stdout}`)
    samples.nextRound()
    samples.add("verify.offline", offline.statements / offline.seconds, "statements/s")
    samples.add("verify.audit", statements / result.wallSeconds, "statements/s")
    const spent = sumOf(result.seconds, seconds.postgres)
    if (spent !== null) samples.add("verify.audit-cpu", (1e6 * spent) / statements, "CPU-µs/statement")
    say(
      `round ${round} of ${rounds}: ${offline.statements} statements verified in ${offline.seconds.toFixed(1)} s, ${statements} audited in ${result.wallSeconds.toFixed(1)} s`,
    )
  }
}

/** By noble, as in a browser. */
function verifyOffline(
  file: Uint8Array,
  logKey: NoteKey,
): { readonly statements: number; readonly seconds: number } {
  const startedAtMs = performance.now()
  const verifier = new EvidenceVerifier({ trust: { policy: policyOfLog(logKey) } })
  for (let at = 0; at < file.length; at += pieceSize) verifier.push(file.subarray(at, at + pieceSize))
  const findings = verifier.end()
  if (findings.kind !== "verified") throw new Error("the evidence of the bench's own log was not verified")
  return { statements: findings.statements, seconds: (performance.now() - startedAtMs) / 1000 }
}
