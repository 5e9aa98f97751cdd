import { createHash, createHmac } from "node:crypto"
import { expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import { hmacNative, sha256Native } from "../../ingest/native.ts"

const bytesOf = (length: number, from: number): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => (from + 31 * index) & 255)

test("the native hash and HMAC are those of node:crypto, whatever came before", () => {
  for (const length of [0, 1, 31, 32, 33, 55, 56, 64, 65, 500, 959, 960, 961, 65_535, 3]) {
    const message = bytesOf(length, length)
    expect(formatHex(sha256Native(message))).toBe(createHash("sha256").update(message).digest("hex"))
    for (const key of [bytesOf(32, 1), bytesOf(32, 2), bytesOf(64, 3), bytesOf(65, 4), bytesOf(0, 5)])
      expect(formatHex(hmacNative(key, message))).toBe(
        createHmac("sha256", key).update(message).digest("hex"),
      )
  }
})

test("a key that its owner writes over is another key", () => {
  const key = bytesOf(32, 1)
  const message = bytesOf(10, 7)
  const before = formatHex(hmacNative(key, message))
  key[0]! ^= 1
  expect(formatHex(hmacNative(key, message))).not.toBe(before)
})
