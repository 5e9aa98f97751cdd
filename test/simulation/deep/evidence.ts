/** 7: a file that a researcher takes along is checked without anything else, and one byte that is changed is found. */
import { encodeUtf8, equalBytes } from "../../../chain/bytes.ts"
import { blindOf, type SealedHead } from "../../../chain/heads.ts"
import { Frontier, hashLeaf } from "../../../chain/merkle.ts"
import type { Hash } from "../../../chain/hash.ts"
import {
  hashArrival,
  type EvidenceSource,
  type ManifestLeaf,
  planEvidence,
  subtreeOf,
} from "../../../research/evidence.ts"
import { contentRegistry, decodeStatement } from "../../../chain/statement.ts"
import { readPayload } from "../../../chain/payload.ts"
import { sha256Native, verifyNative } from "../../../ingest/native.ts"
import { parseTlogPolicy } from "../../../chain/tlog-policy.ts"
import { logVkeyOf } from "../../../ingest/log-keys.ts"
import { EvidenceVerifier, type EvidenceTrust } from "../../../verify/evidence.ts"
import { type World, origin } from "./world.ts"

export async function checkEvidence(world: World): Promise<void> {
  const { truth, keys, random } = world
  const source = evidenceSourceOf(world)
  const { checkpoint } = source
  if (checkpoint === null) return
  const device = random.pick(world.devices).id
  const to = random.int(0, checkpoint.height)
  const from = random.int(0, to)
  const plan = await planEvidence({
    source,
    device,
    from,
    to,
    blindOf: (height, id) => blindOf(keys!.headsSecret, height, id),
    sha256: sha256Native,
  })
  if (plan.kind === "refused") {
    truth.see("evidence refused")
    return
  }
  const pieces: Uint8Array[] = []
  for await (const piece of plan.write()) pieces.push(Uint8Array.from(piece))
  const file = Uint8Array.from(Buffer.concat(pieces))
  const policy = parseTlogPolicy(encodeUtf8(`log ${logVkeyOf(keys!)}\nquorum none\n`))
  if (policy.kind !== "policy") throw new Error(policy.rule)
  const trust = { policy: policy.policy }
  const verdict = verify(file, trust)
  truth.see("evidence checked")
  truth.demand(7, verdict === "verified", `evidence of ${device} in blocks ${from} to ${to} is ${verdict}`)
  const changed = Uint8Array.from(file)
  changed[random.int(0, changed.length - 1)]! ^= 1 << random.int(0, 7)
  const verdictOfChanged = verify(changed, trust)
  truth.demand(7, verdictOfChanged !== "verified", "evidence with a bit flipped is verified")
}

function verify(file: Uint8Array, trust: EvidenceTrust): string {
  const verifier = new EvidenceVerifier({ trust, sha256: sha256Native, verify: verifyNative })
  verifier.push(file)
  const result = verifier.end()
  return result.kind === "refused" ? `refused: ${result.what} ${result.rule}` : result.kind
}

/** From the tables, as `research/` reads it from Postgres. */
function evidenceSourceOf({ store: { tables } }: World): EvidenceSource {
  const leaves = [...tables.entries.rows.values()]
    .toSorted((a, b) => a.id - b.id)
    .map((row, leafIndex) => ({ ...row, leafIndex, bytes: tables.statements.rows.get(`${row.id}`)!.bytes }))
  const leafOfId = new Map(leaves.map((leaf) => [leaf.id, leaf]))
  const nodes = new Map<string, Hash>()
  const tree = new Frontier(sha256Native)
  for (const { entry } of leaves)
    tree.append(
      hashLeaf(entry, sha256Native),
      ({ level, index }, hash) => void nodes.set(`${level}/${index}`, hash),
    )
  const blocks = [...tables.blocks.rows.values()].toSorted((a, b) => a.height - b.height)
  const manifests = blocks.map(({ height, firstLeaf, manifestId }): ManifestLeaf => {
    const { leafIndex, bytes } = leafOfId.get(manifestId)!
    return { height, firstLeaf, leafIndex, statement: bytes }
  })
  const last = tables.checkpoints.rows.get(`${blocks.length - 1}`)
  const arrivalsOf = ({ firstLeaf, leafIndex }: ManifestLeaf): Hash[] =>
    leaves
      .slice(firstLeaf, leafIndex)
      .map(({ entry, receivedAtMs }) => hashArrival(entry as Hash, receivedAtMs))
  return {
    origin,
    checkpoint: last === undefined ? null : { height: last.height, size: last.size, note: last.note },
    readManifest: async (height) => manifests[height]!,
    readManifestEntries: async (count) =>
      blocks.slice(0, count).map(({ manifestId }) => leafOfId.get(manifestId)!.entry as Hash),
    readHeads: async (height) => {
      const heads = new Map<string, SealedHead & { readonly height: number }>()
      for (const row of tables.sealedHeads.rows.values()) {
        if (row.height > height || (heads.get(row.device)?.height ?? -1) > row.height) continue
        heads.set(row.device, { ...row, entry: row.entry as Hash, registry: row.registry as Hash })
      }
      return [...heads.values()]
    },
    readLeaves: async function* (device, first, end) {
      const about = leaves.map(({ device: chain, bytes }) =>
        chain === origin ? isAbout(bytes, device) : null,
      )
      const requests = about.flatMap((one) => (one?.request == null ? [] : [one.request]))
      for (const [index, { device: chain, bytes, receivedAtMs, entry, leafIndex }] of leaves.entries()) {
        const isInside = leafIndex >= first.firstLeaf && leafIndex < end.leafIndex
        const isRequest = requests.some((request) => equalBytes(request, entry))
        const isShown =
          leafIndex === 0 || about[index] !== null || (chain === device && (isInside || isRequest))
        if (isShown)
          yield {
            leafIndex,
            signer: chain === origin ? "operator" : "device",
            statement: bytes,
            receivedAtMs,
          }
      }
    },
    readNodes: async (places) => places.map(({ level, index }) => nodes.get(`${level}/${index}`)!),
    readArrivalNodes: async (block, places) => {
      const arrivals = arrivalsOf(block)
      return places.map(({ level, index }) =>
        subtreeOf(arrivals.slice(index * 2 ** level, (index + 1) * 2 ** level)),
      )
    },
  }
}

/** Where a statement of the operator is about this device: the request that it answers, if it does. */
function isAbout(bytes: Uint8Array, device: string): { readonly request: Uint8Array | null } | null {
  const decoded = decodeStatement(bytes, origin)
  if (decoded.kind !== "statement" || decoded.statement.content !== contentRegistry) return null
  const payload = readPayload(decoded.statement)
  if (payload.kind !== "registry" || payload.registry.device !== device) return null
  return { request: payload.registry.request ?? null }
}
