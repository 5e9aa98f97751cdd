/** What the vectors of evidence are played on: a small log, who reads, and who witnesses. */
import { formatHex } from "../../chain/bytes.ts"
import { formatCosignerVkey } from "../../chain/cosignature.ts"
import type { ProtocolVersion } from "../../chain/genesis.ts"
import { thumbprintOf } from "../../chain/key.ts"
import { formatVkey } from "../../chain/note.ts"
import type { EvidenceCode } from "../../verify/evidence.ts"
import { type SimulatedDevice, simulatedKey, SimulatedLog, type SimulatedWitness } from "../verify/simulated-log.ts"
import { edKey, vectorOrigin } from "./keys.ts"

export interface EvidenceVector {
  readonly description: string
  readonly rule: string
  /** The reader's: C2SP tlog-policy. */
  readonly policy: string
  /** Thumbprints that the reader pins; absent: none. */
  readonly deviceKeys?: readonly string[]
  /** Unix ms from which on the reader wants the checkpoint; absent: any. */
  readonly since?: number
  readonly result: "verified" | "refused"
  /** Of a refusal: what kind it is, and which statement, block or part of the file it names. */
  readonly code?: EvidenceCode
  readonly names?: string
  /** Of what is verified. */
  readonly says?: EvidenceSays
  readonly evidence: string
}

export interface EvidenceSays {
  readonly device: string
  readonly blocks: readonly [number, number]
  /** First and last seq; null where the device said nothing. */
  readonly seqs: readonly [number, number] | null
  readonly statements: number
  readonly readings: number
  readonly unread?: number
  readonly ahead?: number
  readonly opaque?: number
  readonly lost?: number
  readonly status?: string
  /** Seqs beyond a last good one. */
  readonly revoked?: readonly (readonly [number, number])[]
}

/** Unix seconds: behind every block of the vectors. */
export const cosignedAt = 1_748_766_000

export const witness = (name: string, at = cosignedAt): SimulatedWitness => ({
  name: `witness.example/${name}`,
  key: simulatedKey(`witness ${name}`),
  at,
})

const vkeyOf = ({ name, key }: SimulatedWitness): string =>
  formatCosignerVkey({ name, publicKey: key.publicKey })

export const newLog = (version: ProtocolVersion = 1): SimulatedLog => new SimulatedLog({ origin: vectorOrigin, version })

const logLine = `log ${formatVkey(newLog().vkey)}\n`

export const policyAlone = `${logLine}quorum none\n`

export const policyWitnessed = [
  logLine.trimEnd(),
  ...["w1", "w2", "w3"].map((name) => `witness ${name} ${vkeyOf(witness(name))}`),
  "group most 2 w1 w2 w3",
  "quorum most",
  "",
].join("\n")

/** k7 and a neighbour; five blocks. k7 says 1 in block 0, 2 in 1, 3 to 5 in 2, 6 and 7 in 3, 8 in 4. */
export interface Scene {
  readonly log: SimulatedLog
  readonly k7: SimulatedDevice
  readonly n1: SimulatedDevice
}

export function openScene(version: ProtocolVersion = 1): Scene {
  const log = newLog(version)
  const k7 = log.enrol("k7", edKey)
  const n1 = log.enrol("n1")
  return { log, k7, n1 }
}

export function sayBlock({ log, k7, n1 }: Scene, height: number): void {
  const says = [[k7, n1], [n1, k7], [n1, k7, k7, n1, n1, k7], [k7, n1, n1, n1, k7], [n1, k7]][height]!
  for (const device of says) log.say(device)
}

/** The scene up to the end of a block; then `more` happens. */
export function playScene(
  more: Partial<Record<number, (scene: Scene) => void>> = {},
  version: ProtocolVersion = 1,
): Scene {
  const scene = openScene(version)
  for (let height = 0; height < 5; height++) {
    const act = more[height]
    if (act === undefined) sayBlock(scene, height)
    else act(scene)
    if (scene.log.manifests.length === height) scene.log.seal()
  }
  return scene
}

export interface Case {
  readonly description: string
  readonly policy?: string
  readonly deviceKeys?: readonly string[]
  readonly since?: number
  readonly file: Promise<Uint8Array>
}

export type ValidCase = Case & { readonly says: EvidenceSays }

export type InvalidCase = Case & { readonly code: EvidenceCode; readonly names: string }

export const whole = { device: "k7", status: "active" } as const

export const thumbprint = (key: typeof edKey): string => formatHex(thumbprintOf(key.publicKey))
