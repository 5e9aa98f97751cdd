/** Evidence files, each with what a reader trusts and what must be said of it. Of the invalid ones, one fault each. */
import { formatHex } from "../../chain/bytes.ts"
import { editedCases } from "./evidence-edited.ts"
import { lyingCases } from "./evidence-lying.ts"
import { type Case, type EvidenceVector, policyAlone } from "./evidence-scene.ts"
import { validCases } from "./evidence-valid.ts"

/** Every vector by its path. */
export async function evidenceVectors(): Promise<Map<string, EvidenceVector>> {
  const vectors = new Map<string, EvidenceVector>()
  for (const [name, one] of Object.entries(validCases()))
    vectors.set(`evidence/valid/${name}.json`, { ...trustOf(one), result: "verified", says: one.says, evidence: formatHex(await one.file) })
  for (const [name, one] of Object.entries({ ...editedCases(), ...lyingCases() })) {
    const { code, names } = one
    vectors.set(`evidence/invalid/${name}.json`, { ...trustOf(one), result: "refused", code, names, evidence: formatHex(await one.file) })
  }
  return vectors
}

export function trustOf({ description, policy = policyAlone, deviceKeys, since }: Case) {
  return {
    description,
    rule: "§8",
    policy,
    ...(deviceKeys === undefined ? {} : { deviceKeys }),
    ...(since === undefined ? {} : { since }),
  }
}
