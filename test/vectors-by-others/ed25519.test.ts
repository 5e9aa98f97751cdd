import { expect, test } from "vitest"
import { encodeUtf8, parseHex } from "../../chain/bytes.ts"
import { algorithmEd25519, findKeyFault } from "../../chain/key.ts"
import { ed25519PointFault } from "../../chain/point.ts"
import { judgeByAll } from "./agreement.ts"
import { hasVectors, readVectorJson } from "./folder.ts"

const fromHex = (text: string): Uint8Array => parseHex(text)!

interface CctvVector {
  readonly number: number
  readonly key: string
  readonly sig: string
  readonly msg: string
  readonly flags: readonly string[] | null
}

/**
 * What FORMAT §2 refuses, in the words of CCTV: rule 2 (canonical, not of small order) and rule 3 (cofactorless, so a
 * residue of small order is a failure). A component of small order that leaves no residue is accepted.
 */
const refused = ["non_canonical_A", "non_canonical_R", "low_order_A", "low_order_R", "low_order_residue"]

test.runIf(hasVectors)(
  "of CCTV's 914 Ed25519 edge cases all verifiers accept the 43 that the law allows",
  async () => {
    const vectors = readVectorJson("C2SP-CCTV/ed25519/ed25519vectors.json") as CctvVector[]
    let accepted = 0
    for (const { number, key, sig, msg, flags } of vectors) {
      const isAllowed = !refused.some((flag) => flags?.includes(flag))
      const publicKey = { algorithm: algorithmEd25519, bytes: fromHex(key) }
      const verdict = await judgeByAll(publicKey, encodeUtf8(msg), fromHex(sig), `CCTV ${number}`)
      expect(`${number} ${verdict}`).toBe(`${number} ${isAllowed ? "good" : "bad"}`)
      if (verdict === "good") accepted += 1
    }
    expect({ seen: vectors.length, accepted }).toEqual({ seen: 914, accepted: 43 })
  },
)

interface WycheproofGroup {
  readonly publicKey: { readonly pk: string }
  readonly tests: readonly {
    readonly tcId: number
    readonly msg: string
    readonly sig: string
    readonly result: "valid" | "invalid"
  }[]
}

test.runIf(hasVectors)(
  "Wycheproof's 151 Ed25519 signatures are judged as it says, by all verifiers",
  async () => {
    const { testGroups } = readVectorJson("C2SP-wycheproof/testvectors_v1/ed25519_test.json") as {
      testGroups: WycheproofGroup[]
    }
    const seen = { valid: 0, invalid: 0 }
    for (const { publicKey, tests } of testGroups) {
      const key = { algorithm: algorithmEd25519, bytes: fromHex(publicKey.pk) }
      expect(findKeyFault(key)).toBeNull()
      for (const { tcId, msg, sig, result } of tests) {
        const verdict = await judgeByAll(key, fromHex(msg), fromHex(sig), `Wycheproof ${tcId}`)
        expect(`${tcId} ${verdict}`).toBe(`${tcId} ${result === "valid" ? "good" : "bad"}`)
        seen[result] += 1
      }
    }
    expect(seen).toEqual({ valid: 88, invalid: 63 })
  },
)

test.runIf(hasVectors)(
  "none of the 14 encodings of small order may stand as a point or be enrolled as a key",
  () => {
    const { encodings } = readVectorJson("extracted/ed25519-small-order.json") as { encodings: string[] }
    for (const encoding of encodings) {
      const bytes = fromHex(encoding)
      const fault = ed25519PointFault(bytes)
      expect(["is not canonical", "is a point of small order"]).toContain(fault)
      expect(findKeyFault({ algorithm: algorithmEd25519, bytes })).toBe(`the Ed25519 key ${fault}`)
    }
    expect(new Set(encodings).size).toBe(14)
  },
)

test.runIf(hasVectors)(
  "a key with a part of small order is not enrolled, though its signatures may verify",
  () => {
    const vectors = readVectorJson("C2SP-CCTV/ed25519/ed25519vectors.json") as CctvVector[]
    const faults = new Map<string, string | null>()
    for (const { key } of vectors) {
      faults.set(key, findKeyFault({ algorithm: algorithmEd25519, bytes: fromHex(key) }))
    }
    const enrolled = vectors.filter(({ key, flags }) => {
      return flags?.includes("low_order_component_A") && faults.get(key) === null
    })
    expect(enrolled).toEqual([])
    const clean = [...faults.values()].filter((fault) => fault === null)
    const mixed = [...faults.values()].filter(
      (fault) => fault === "the Ed25519 key has a part of small order",
    )
    expect(clean.length).toBeGreaterThan(0)
    expect(mixed.length).toBeGreaterThan(0)
  },
)
