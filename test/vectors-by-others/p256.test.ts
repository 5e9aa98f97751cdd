import { expect, test } from "vitest"
import { formatHex, parseHex } from "../../chain/bytes.ts"
import { algorithmEsp256, findKeyFault } from "../../chain/key.ts"
import { negateS } from "../../chain/signature.ts"
import { judgeByAll } from "./agreement.ts"
import { hasVectors, readVectorJson } from "./folder.ts"

const fromHex = (text: string): Uint8Array => parseHex(text)!

interface WycheproofGroup {
  readonly publicKey: { readonly uncompressed: string }
  readonly tests: readonly {
    readonly tcId: number
    readonly msg: string
    readonly sig: string
    readonly result: "valid" | "invalid"
  }[]
}

const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

test.runIf(hasVectors)(
  "Wycheproof's 262 P-256 signatures are judged as it says, by all verifiers, high s told apart",
  async () => {
    const { testGroups } = readVectorJson(
      "C2SP-wycheproof/testvectors_v1/ecdsa_secp256r1_sha256_p1363_test.json",
    ) as { testGroups: WycheproofGroup[] }
    const seen = { good: 0, "high-s": 0, bad: 0 }
    let mended = 0
    for (const { publicKey, tests } of testGroups) {
      const key = { algorithm: algorithmEsp256, bytes: fromHex(publicKey.uncompressed).slice(1) }
      expect(findKeyFault(key)).toBeNull()
      for (const { tcId, msg, sig, result } of tests) {
        const message = fromHex(msg)
        const signature = fromHex(sig)
        const s = BigInt(`0x0${formatHex(signature.subarray(32))}`)
        const expected = result === "invalid" ? "bad" : 2n * s > order ? "high-s" : "good"
        const verdict = await judgeByAll(key, message, signature, `Wycheproof ${tcId}`)
        expect(`${tcId} ${verdict}`).toBe(`${tcId} ${expected}`)
        seen[verdict] += 1
        if (verdict !== "high-s") continue
        // What verdict 17 asks of a device makes it good.
        const negated = await judgeByAll(key, message, negateS(signature), `Wycheproof ${tcId}, n - s`)
        mended += negated === "good" ? 1 : 0
      }
    }
    expect(seen.good + seen["high-s"]).toBe(173)
    expect(seen.bad).toBe(89)
    expect(mended).toBe(seen["high-s"])
    expect(Math.min(seen.good, seen["high-s"])).toBeGreaterThan(10)
  },
)
