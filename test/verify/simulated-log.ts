/** A log in memory: everything that evidence is made from, and nothing that keeps its operator from lying. */
import { type Manifest, encodeArrival, encodeManifest, hashSummary } from "../../chain/block.ts"
import { encodeUtf8, formatHex } from "../../chain/bytes.ts"
import { formatCheckpoint } from "../../chain/checkpoint.ts"
import { cosignNote } from "../../chain/cosignature.ts"
import { type ProtocolVersion, emptyHeadOf } from "../../chain/genesis.ts"
import { type Hash, sha256, zeroHash } from "../../chain/hash.ts"
import { type SealedHead, blindOf, headsRootOf } from "../../chain/heads.ts"
import { type PrivateKey, algorithmEd25519 } from "../../chain/key.ts"
import { Frontier, type NodePlace, coverRange, hashLeaf, proveInclusion, rootOf } from "../../chain/merkle.ts"
import { type Note, type NoteKey, formatNote, formatVkey, signNote } from "../../chain/note.ts"
import { type Policy, encodePolicy } from "../../chain/policy.ts"
import type { Head } from "../../chain/receipt.ts"
import { type Registry, encodeRegistry } from "../../chain/registry.ts"
import { encodePack } from "../../chain/senml.ts"
import {
  type Claims,
  type Statement,
  contentBlock,
  contentPolicy,
  contentRegistry,
  contentSenml,
  entryOf,
  signStatement,
} from "../../chain/statement.ts"
import {
  type EvidenceSource,
  type ManifestLeaf,
  type ShownLeaf,
  hashArrival,
  planEvidence,
  subtreeOf,
} from "../../research/evidence.ts"
import { testKey } from "../vectors/keys.ts"

export function simulatedKey(name: string): PrivateKey {
  return testKey(algorithmEd25519, `simulated ${name}`)
}

/** Of every simulated log. */
export const simulatedReceiptKey = simulatedKey("receipt")

const signatures = new Map<string, Statement>()

/** Histories share their beginnings, and a signature costs a millisecond: what was signed once is not signed again. */
function sign(claims: Omit<Claims, "algorithm" | "kid">, key: PrivateKey, origin: string | null): Statement {
  const { prev, payload, ...plain } = claims
  const name = JSON.stringify([plain, formatHex(prev), formatHex(payload), formatHex(key.secret), origin])
  const statement = signatures.get(name) ?? signStatement(claims, key, origin)
  signatures.set(name, statement)
  return statement
}

/** A device as it signs: where its chain stands. */
export interface SimulatedDevice {
  readonly id: string
  key: PrivateKey
  seq: number
  entry: Hash
}

export interface SimulatedLeaf {
  readonly signer: "operator" | "device"
  readonly bytes: Uint8Array
  readonly entry: Hash
  readonly receivedAtMs: number
  /** Of a device its id; of a registry statement the device that it is about. */
  readonly device: string | null
}

export interface SimulatedWitness {
  readonly name: string
  readonly key: PrivateKey
  /** Unix seconds. */
  readonly at: number
}

export interface SimulatedLogOptions {
  readonly origin?: string
  readonly operator?: PrivateKey
  readonly log?: PrivateKey
  readonly startMs?: number
  /** Of the protocol; 1 where nothing is said. */
  readonly version?: ProtocolVersion
  /** The policy that is logged, where it is not the true one. */
  readonly policy?: (policy: Policy) => Policy
}

/** What an operator that lies puts into a manifest. */
export interface SealLies {
  readonly toMs?: number
  readonly heads?: (heads: SealedHead[]) => SealedHead[]
  readonly manifest?: (manifest: Manifest) => Manifest
  readonly iat?: number
  readonly payload?: () => Uint8Array
}

export class SimulatedLog {
  readonly origin: string
  readonly operator: PrivateKey
  readonly logKey: PrivateKey
  readonly headsSecret = sha256(encodeUtf8("simulated heads secret"))
  readonly leaves: SimulatedLeaf[] = []
  readonly manifests: ManifestLeaf[] = []
  readonly heads = new Map<string, SealedHead>()
  nowMs: number
  private readonly tree = new Frontier()
  private readonly nodes = new Map<string, Hash>()
  private readonly sealedHeads: SealedHead[][] = []
  private operatorSeq = 0
  private operatorEntry: Hash = zeroHash
  private fromMs: number
  private readonly version: ProtocolVersion

  constructor(options: SimulatedLogOptions = {}) {
    this.origin = options.origin ?? "log.example/simulated"
    this.operator = options.operator ?? simulatedKey("operator")
    this.logKey = options.log ?? simulatedKey("log")
    this.nowMs = options.startMs ?? 1_748_764_800_000
    this.fromMs = this.nowMs
    this.version = options.version ?? 1
    const policy: Policy = {
      origin: this.origin,
      logVkey: formatVkey(this.vkey),
      operatorKey: this.operator.publicKey,
      receiptKey: simulatedReceiptKey.publicKey,
      version: this.version,
    }
    this.sayAsOperator("policy", contentPolicy, encodePolicy(options.policy?.(policy) ?? policy))
  }

  /** The head of a device before its first statement. */
  emptyHeadOf(device: string): Head {
    return emptyHeadOf({ logVkey: formatVkey(this.vkey), version: this.version }, device)
  }

  get vkey(): NoteKey {
    return { name: this.origin, publicKey: this.logKey.publicKey }
  }

  /** Leaf hashes go into the tree as they are made; arrivals are a second later each. */
  append(leaf: Omit<SimulatedLeaf, "entry">): Hash {
    const entry = entryOf(leaf.bytes)
    this.leaves.push({ ...leaf, entry })
    this.tree.append(hashLeaf(entry), ({ level, index }, hash) => this.nodes.set(`${level}/${index}`, hash))
    return entry
  }

  sayAsOperator(
    sub: string,
    content: string,
    payload: Uint8Array,
    claims: Partial<Claims> & { readonly receivedAtMs?: number; readonly device?: string } = {},
  ): Hash {
    const { receivedAtMs = (this.nowMs += 1_000), device = null, ...more } = claims
    this.operatorSeq += 1
    const said = { content, iss: this.origin, sub, iat: Math.floor(receivedAtMs / 1000) }
    const { bytes } = sign(
      { ...said, seq: this.operatorSeq, prev: this.operatorEntry, payload, ...more },
      this.operator,
      this.origin,
    )
    // `from` of block 0 is the arrival of the policy.
    if (this.leaves.length === 0) this.fromMs = receivedAtMs
    this.operatorEntry = this.append({ signer: "operator", bytes, receivedAtMs, device })
    return this.operatorEntry
  }

  /** A registry statement about a device, member 3 as it must be unless it is given. */
  register(said: Registry): Hash {
    const { device } = said
    const head = this.heads.get(device)
    const payload = encodeRegistry({ previous: head?.registry ?? zeroHash, ...said })
    const entry = this.sayAsOperator(device, contentRegistry, payload, { device })
    this.heads.set(device, { device, ...this.emptyHeadOf(device), ...head, registry: entry })
    return entry
  }

  enrol(id: string, key: PrivateKey = simulatedKey(id), said: Partial<Registry> = {}): SimulatedDevice {
    this.register({ action: "enrol", device: id, key: key.publicKey, firstSeq: 1, ...said })
    return { id, key, ...this.emptyHeadOf(id) }
  }

  /** A statement of a device, three readings unless something else is given. */
  say(
    device: SimulatedDevice,
    claims: Partial<Claims> & { readonly receivedAtMs?: number; readonly readings?: number } = {},
  ): Hash {
    const { receivedAtMs = (this.nowMs += 1_000), readings = 3, ...more } = claims
    const { bytes, seq } = sign(
      {
        content: contentSenml,
        iss: device.id,
        sub: device.id,
        iat: Math.floor(receivedAtMs / 1000),
        seq: device.seq + 1,
        prev: device.entry,
        payload: encodePack([
          {
            kind: "number",
            name: "heart-rate",
            unit: "beat/min",
            times: Array.from(
              { length: readings },
              (_, place) => Math.floor(receivedAtMs / 1000) - 60 + place,
            ),
            values: Array.from({ length: readings }, (_, place) => 60 + ((device.seq + place) % 40)),
          },
        ]),
        ...more,
      },
      device.key,
      null,
    )
    device.entry = this.append({ signer: "device", bytes, receivedAtMs, device: device.id })
    device.seq = seq
    this.heads.set(device.id, { ...this.heads.get(device.id)!, device: device.id, seq, entry: device.entry })
    return device.entry
  }

  seal(lies: SealLies = {}): Manifest {
    const height = this.manifests.length
    const firstLeaf = height === 0 ? 0 : this.manifests[height - 1]!.leafIndex + 1
    const block = this.leaves.slice(firstLeaf)
    const toMs = lies.toMs ?? (this.nowMs += 1_000)
    const heads = lies.heads?.([...this.heads.values()]) ?? [...this.heads.values()]
    const honest: Manifest = {
      height,
      fromMs: this.fromMs,
      toMs,
      firstLeaf,
      size: this.leaves.length,
      root: this.tree.root(),
      headsRoot: headsRootOf(heads, this.headsSecret, height),
      blocksRoot: rootOf(this.manifests.map(({ statement }) => entryOf(statement))),
      arrivalsRoot: rootOf(block.map(({ entry, receivedAtMs }) => encodeArrival(entry, receivedAtMs))),
      summary: hashSummary(
        { devices: 0, statements: 0, readings: 0, earliestMs: null, latestMs: null },
        new Uint8Array(16),
      ),
    }
    const manifest = lies.manifest?.(honest) ?? honest
    this.sayAsOperator("block", contentBlock, lies.payload?.() ?? encodeManifest(manifest), {
      receivedAtMs: toMs,
      iat: lies.iat ?? Math.floor(toMs / 1000),
    })
    const { bytes } = this.leaves.at(-1)!
    this.manifests.push({ height, firstLeaf, leafIndex: this.leaves.length - 1, statement: bytes })
    this.sealedHeads.push(heads)
    this.fromMs = toMs
    return manifest
  }

  root(): Hash {
    return this.tree.root()
  }

  /** The path of a leaf to the root of the log as it stands. */
  path(index: number): Hash[] {
    const read = ({ level, index: place }: NodePlace): Hash => this.nodes.get(`${level}/${place}`)!
    return proveInclusion(index, this.leaves.length, read)
  }

  /** The checkpoint of the log as it stands, cosigned. */
  note(witnesses: readonly SimulatedWitness[] = []): string {
    const text = formatCheckpoint({
      origin: this.origin,
      size: this.leaves.length,
      root: this.tree.root(),
    })
    const signed: Note = signNote(text, this.origin, this.logKey)
    const cosignatures = witnesses.map(({ name, key, at }) => cosignNote(text, name, key, at))
    return formatNote({ text, signatures: [...signed.signatures, ...cosignatures] })
  }

  readonly blindOf = (height: number, device: string): Uint8Array => blindOf(this.headsSecret, height, device)

  /** As of the last block; nothing may have been said behind it. */
  source(witnesses: readonly SimulatedWitness[] = []): EvidenceSource {
    const { leaves, manifests, nodes, sealedHeads } = this
    const arrivalsOf = ({ firstLeaf, leafIndex }: ManifestLeaf): Hash[] =>
      leaves.slice(firstLeaf, leafIndex).map(({ entry, receivedAtMs }) => hashArrival(entry, receivedAtMs))
    return {
      origin: this.origin,
      checkpoint: { height: manifests.length - 1, size: leaves.length, note: this.note(witnesses) },
      readManifest: async (height) => manifests[height]!,
      readManifestEntries: async (count) =>
        manifests.slice(0, count).map(({ statement }) => entryOf(statement)),
      readHeads: async (height) => sealedHeads[height]!,
      readLeaves: (device, first, last) => this.shown(device, first.firstLeaf, last.leafIndex),
      readNodes: async (places) => places.map(({ level, index }) => nodes.get(`${level}/${index}`)!),
      readArrivalNodes: async (block, places) => {
        const arrivals = arrivalsOf(block)
        return places.map(({ level, index }: NodePlace) =>
          subtreeOf(arrivals.slice(index * 2 ** level, (index + 1) * 2 ** level)),
        )
      },
    }
  }

  /** Requests are found by the registry statements that name them: here every statement outside that asks is one. */
  private async *shown(device: string, firstLeaf: number, size: number): AsyncGenerator<ShownLeaf> {
    for (const [leafIndex, leaf] of this.leaves.entries()) {
      const { signer, bytes: statement, receivedAtMs } = leaf
      const isInside = leafIndex >= firstLeaf && leafIndex < size
      const isOwn = leaf.device === device
      const isShown =
        leafIndex === 0 || (isOwn && (signer === "operator" || isInside || this.requests.has(leafIndex)))
      if (isShown) yield { leafIndex, signer, statement, receivedAtMs }
    }
  }

  /** The heads map of a block. */
  headsAt(height: number): readonly SealedHead[] {
    return this.sealedHeads[height]!
  }

  /** Nodes that cover leaves. */
  cover(from: number, to: number): Hash[] {
    return coverRange(from, to).map(({ level, index }) => this.nodes.get(`${level}/${index}`)!)
  }

  /** Leaves by which a device asked for its next key. */
  readonly requests = new Set<number>()

  /** The evidence file of a device and some blocks. */
  async evidence(
    device: string,
    from: number,
    to: number,
    witnesses: readonly SimulatedWitness[] = [],
  ): Promise<Uint8Array> {
    return writeEvidence(this, this.source(witnesses), device, from, to)
  }
}

/** A source that leaves some leaves out or changes something else is a builder that lies. */
export async function writeEvidence(
  { blindOf: blind }: Pick<SimulatedLog, "blindOf">,
  source: EvidenceSource,
  device: string,
  from: number,
  to: number,
): Promise<Uint8Array> {
  const plan = await planEvidence({ source, device, from, to, blindOf: blind })
  if (plan.kind === "refused") throw new Error(plan.rule)
  const pieces: Uint8Array[] = []
  for await (const piece of plan.write()) pieces.push(Uint8Array.from(piece))
  return Uint8Array.from(Buffer.concat(pieces))
}
