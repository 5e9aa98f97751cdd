/**
 * `prove` and `verify`: a device's day as evidence, inclusion proofs one by one, the offline verifier as a reader without
 * anything native runs it (noble), and the audit of a whole database by `tidemark verify`.
 */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import type { Pool } from "pg"
import { parseCheckpoint } from "../../chain/checkpoint.ts"
import { type Hash, parseHash, zeroHash } from "../../chain/hash.ts"
import { decodeCoseKey } from "../../chain/key.ts"
import { type NodePlace, checkInclusion, hashLeaf, proveInclusion } from "../../chain/merkle.ts"
import { type NoteKey, parseNote, parseVkey } from "../../chain/note.ts"
import { decodeStatement, signedBytesOf } from "../../chain/statement.ts"
import { policyOfLog } from "../../chain/tlog-policy.ts"
import { makeRandom } from "../../devices-sim/random.ts"
import { sha256Native, verifyNative } from "../../ingest/native.ts"
import { openEvidenceRows } from "../../research/evidence-rows.ts"
import { EvidenceVerifier } from "../../verify/evidence.ts"
import { watchTidemark } from "./command.ts"
import type { BenchContext } from "./context.ts"
import type { History } from "./history.ts"
import { IngestStand } from "./ingest-stand.ts"
import { medianOf } from "./measure.ts"
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
  const spent: number[] = []
  for (let round = 1; round <= rounds; round++) {
    const offline = verifyOffline(file, logKey)
    const audited = await auditWhole(history, statements)
    samples.nextRound()
    samples.add("verify.offline", offline.statements / offline.seconds, "statements/s")
    samples.add("verify.audit", statements / audited.wallSeconds, "statements/s")
    if (audited.seconds !== null) {
      spent.push(audited.seconds)
      samples.add("verify.audit-cpu", (1e6 * audited.seconds) / statements, "CPU-µs/statement")
    }
    say(
      `round ${round} of ${rounds}: ${offline.statements} statements verified in ${offline.seconds.toFixed(1)} s, ${statements} audited in ${audited.wallSeconds.toFixed(1)} s`,
    )
  }
  if (spent.length > 0) await runLongAudit(history, medianOf(spent), context)
}

/** Of all processes, the start of the program among them. */
async function auditWhole(
  { service }: History,
  statements: number,
): Promise<{ readonly wallSeconds: number; readonly seconds: number | null }> {
  const clocks = { postgres: () => readFamilySeconds(service.postmaster) }
  const { result, seconds } = await timeProcesses(clocks, () =>
    watchTidemark(["verify", "--json", "--data", service.dataFolder]),
  )
  const found = JSON.parse(result.stdout) as { kind: string; statements: number }
  if (found.kind !== "passed" || found.statements !== statements)
    throw new Error(`the audit of ${statements} statements did not pass: ${result.stdout}`)
  return { wallSeconds: result.wallSeconds, seconds: sumOf(result.seconds, seconds.postgres) }
}

/**
 * What a statement more costs, beside its signature alone: of a log of a million statements the start of the program,
 * which is a second, is no part worth a name, and of one that is made here in a minute it is a fifth.
 *
 * @param before processor seconds of the audit of the history as it is
 */
async function runLongAudit(history: History, before: number, context: BenchContext): Promise<void> {
  const { service } = history
  const { samples, rounds, seed, nowS, isQuick, say } = context
  const more = isQuick ? 10_000 : 100_000
  say(`making the log longer by ${more.toLocaleString("en-US")} statements`)
  const stand = await IngestStand.open(service, { name: "long", devices: 100, seed, nowS })
  try {
    const pace = { window: 20, perSecond: null }
    await stand.ingest(stand.prepare({ readings: 60, statements: more }), pace, [service.up])
    await watchTidemark(["seal", "--json", "--data", service.dataFolder])
    await service.pool.query("vacuum analyze")
  } finally {
    await stand.close()
  }
  for (let round = 1; round <= rounds; round++) {
    const native = await timeNative(service.pool, stand.fleet.devices[0]!.id)
    const { seconds, wallSeconds } = await auditWhole(history, history.statements + more)
    if (seconds === null) return
    const each = (1e6 * (seconds - before)) / more
    samples.nextRound()
    samples.add("verify.native", native, "CPU-µs/statement")
    samples.add("verify.audit-each", each, "CPU-µs/statement", "verify.native")
    say(
      `round ${round} of ${rounds}: ${each.toFixed(1)} CPU-µs for each statement more, ${native.toFixed(1)} for its signature alone, ${wallSeconds.toFixed(1)} s`,
    )
  }
}

/** Processor time of a signature by the service's own verifier, over those of one device. */
async function timeNative(pool: Pool, device: string): Promise<number> {
  const { rows } = await pool.query<{ bytes: Uint8Array; cose_key: Uint8Array }>(
    `select s.bytes, k.cose_key from entries e join statements s on s.id = e.id join device_keys k using (device_id)
     where e.device_id = $1 order by e.seq limit 1000`,
    [device],
  )
  const works = rows.map(({ bytes, cose_key: coseKey }) => {
    const decoded = decodeStatement(Uint8Array.from(bytes))
    if (decoded.kind !== "statement") throw new Error("the bench stored a statement that is none")
    const { statement } = decoded
    const key = decodeCoseKey(Uint8Array.from(coseKey))
    return { key, message: signedBytesOf(statement), signature: statement.signature }
  })
  const turns = 10
  const start = process.cpuUsage()
  for (let turn = 0; turn < turns; turn++)
    for (const { key, message, signature } of works)
      if (!verifyNative(key, message, signature)) throw new Error("the bench stored a signature that is none")
  const { user, system } = process.cpuUsage(start)
  return (user + system) / (turns * works.length)
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
