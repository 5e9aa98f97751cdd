import * as fc from "fast-check"
import { expect, test } from "vitest"
import {
  compareBytes,
  equalBytes,
  formatBase64,
  formatBase64url,
  formatHex,
  joinBytes,
  parseBase64,
  parseBase64url,
  parseHex,
} from "../../chain/bytes.ts"

test("hex and base64 are those of Node, and read back", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      expect(formatHex(bytes)).toBe(Buffer.from(bytes).toString("hex"))
      expect(formatBase64(bytes)).toBe(Buffer.from(bytes).toString("base64"))
      expect(formatBase64url(bytes)).toBe(Buffer.from(bytes).toString("base64url"))
      expect(parseHex(formatHex(bytes))).toEqual(bytes)
      expect(parseBase64(formatBase64(bytes))).toEqual(bytes)
      expect(parseBase64url(formatBase64url(bytes))).toEqual(bytes)
    }),
    { seed: 1 },
  )
})

test("a text that is almost base64 or hex is none: what is read prints as the same text", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...Array.from("ABab01+/-_= \n$é")) }), (text) => {
      const standard = parseBase64(text)
      expect(standard === null || formatBase64(standard) === text).toBe(true)
      const url = parseBase64url(text)
      expect(url === null || formatBase64url(url) === text).toBe(true)
      const digits = parseHex(text)
      expect(digits === null || formatHex(digits) === text.toLowerCase()).toBe(true)
    }),
    { seed: 2, numRuns: 3000 },
  )
})

test.each(["QUJ$", "QUJDRA", "QUJDRB==", "QQ=", "====", "Q===", "QUJD\n", "=AAA", "A=AA"])(
  "%j is no base64",
  (text) => {
    expect(parseBase64(text)).toBeNull()
  },
)

test("bytes compare as unsigned, a prefix first", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5 }), fc.uint8Array({ maxLength: 5 }), (a, b) => {
      expect(Math.sign(compareBytes(a, b))).toBe(Buffer.compare(a, b))
      expect(equalBytes(a, b)).toBe(Buffer.compare(a, b) === 0)
      expect(joinBytes(a, b)).toEqual(Uint8Array.from([...a, ...b]))
    }),
    { seed: 3, numRuns: 2000 },
  )
})
