/**
 * Writes the folders beside it: `npx tsx test/vectors/generate.ts`. The files are committed, and a test makes them again in
 * memory and compares. The keys are test keys: see keys.ts.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { acceptedVectors } from "./accepted.ts"
import { chainVectors } from "./chains.ts"
import { cosignatureVectors } from "./cosignatures.ts"
import { checkpointVectors } from "./checkpoints.ts"
import { malformedVectors } from "./malformed.ts"
import { evidenceVectors } from "./evidence.ts"
import { proofVectors } from "./proofs.ts"
import { receiptVectors } from "./receipts.ts"
import { registryVectors } from "./registry.ts"
import { refusedVectors } from "./refused.ts"
import { splitVectors } from "./splits.ts"
import { tilesVectors } from "./tiles.ts"
import { boundChainVectors, boundEvidenceVectors } from "./version-2.ts"
import { aheadVectors, unreadVectors } from "./unread.ts"
import { witnessVectors } from "./witnesses.ts"

/** A member a line, so that a change shows in a diff and a pack of 10,000 records is still one line. */
function formatVector(vector: object): string {
  const lines = Object.entries(vector).map(([name, value]) =>
    name === "before" || name === "steps" || name === "keys"
      ? `${JSON.stringify(name)}: ${formatList(value as readonly unknown[])}`
      : `${JSON.stringify(name)}: ${JSON.stringify(value)}`,
  )
  return `{\n  ${lines.join(",\n  ")}\n}\n`
}

function formatList(items: readonly unknown[]): string {
  return items.length === 0
    ? "[]"
    : `[\n    ${items.map((item) => JSON.stringify(item)).join(",\n    ")}\n  ]`
}

/** Every file by its path under this folder. Throws where a name stands twice: one of the two would be lost. */
export function makeVectorFiles(): Map<string, string> {
  const files = new Map<string, string>()
  const devices = new Set<string>()
  const add = (folder: string, vectors: readonly { readonly device: string }[]): void => {
    for (const vector of vectors) {
      if (devices.has(vector.device)) throw new Error(`two vectors are named ${vector.device}`)
      devices.add(vector.device)
      // A chain's device is `chain-` and its name, so that no two files share a device.
      files.set(`${folder}/${vector.device.replace(/^chain-/, "")}.json`, formatVector(vector))
    }
  }
  add("statements/invalid", [...malformedVectors(), ...refusedVectors()])
  add("statements/valid", [...acceptedVectors(), ...unreadVectors(), ...aheadVectors()])
  add("chains", chainVectors())
  for (const [path, vector] of registryVectors()) files.set(path, formatVector(vector))
  for (const [path, vector] of boundChainVectors()) files.set(path, formatVector(vector))
  return files
}

/** The files of `evidence/`, likewise. */
export async function makeEvidenceFiles(): Promise<Map<string, string>> {
  const vectors = [...(await evidenceVectors()), ...(await boundEvidenceVectors())]
  return new Map(vectors.map(([path, vector]) => [path, formatVector(vector)]))
}

/** The files of `splits/`, likewise. */
export function makeSplitFiles(): Map<string, string> {
  return new Map([...splitVectors()].map(([path, vector]) => [path, formatVector(vector)]))
}

/** The files of `proofs/` and `receipts/`, likewise. */
export function makeProofFiles(): Map<string, string> {
  const vectors = [...proofVectors(), ...receiptVectors()]
  return new Map(vectors.map(([path, vector]) => [path, formatVector(vector)]))
}

/** The files of `tiles/` and `checkpoints/`, likewise. */
export function makePublishedFiles(): Map<string, string> {
  const vectors = [...tilesVectors(), ...checkpointVectors()]
  return new Map(vectors.map(([path, vector]) => [path, formatVector(vector)]))
}

/** The files of `cosignatures/` and `witnesses/`, likewise. */
export function makeWitnessFiles(): Map<string, string> {
  const vectors = [...cosignatureVectors(), ...witnessVectors()]
  return new Map(vectors.map(([path, vector]) => [path, formatVector(vector)]))
}

async function writeVectorFiles(folder: string): Promise<void> {
  for (const old of ["statements", "chains", "registry", "evidence", "splits", "proofs", "receipts", "tiles", "checkpoints", "cosignatures", "witnesses", "version-2"])
    rmSync(join(folder, old), { recursive: true, force: true })
  for (const [path, text] of [...makeVectorFiles(), ...(await makeEvidenceFiles()), ...makeSplitFiles(), ...makeProofFiles(), ...makePublishedFiles(), ...makeWitnessFiles()]) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await writeVectorFiles(dirname(fileURLToPath(import.meta.url)))
}
