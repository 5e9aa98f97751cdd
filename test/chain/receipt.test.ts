import * as fc from "fast-check"
import { generate } from "mqtt-packet"
import { expect, test } from "vitest"
import { formatHex, joinBytes } from "../../chain/bytes.ts"
import { parseHash, zeroHash } from "../../chain/hash.ts"
import { type Receipt, decodeReceipt, encodeReceipt } from "../../chain/receipt.ts"
import { verdictCodes } from "../../chain/verdict.ts"
import { array, bytes, int, nil, text } from "../vectors/items.ts"

const receipt: fc.Arbitrary<Receipt> = fc.record({
  code: fc.constantFrom(...Object.values(verdictCodes)),
  seq: fc.option(fc.maxSafeNat(), { nil: null }),
  head: fc.record({
    seq: fc.maxSafeNat(),
    entry: fc.uint8Array({ minLength: 32, maxLength: 32 }).map(parseHash),
  }),
  now: fc.maxSafeNat(),
})

test("a receipt decodes to what was said, and encodes to the same bytes", () => {
  fc.assert(
    fc.property(receipt, (said) => {
      const encoded = encodeReceipt(said)
      expect(decodeReceipt(encoded)).toEqual(said)
      expect(encodeReceipt(decodeReceipt(encoded))).toEqual(encoded)
    }),
    { seed: 1, numRuns: 300 },
  )
})

test("the largest receipt there can be, in its MQTT packet for a device id of 50 characters, fits 128 bytes until 2106", () => {
  const largest = encodeReceipt({
    code: 40,
    seq: Number.MAX_SAFE_INTEGER,
    head: { seq: Number.MAX_SAFE_INTEGER, entry: zeroHash },
    now: 2 ** 32 - 1,
  })
  const topic = `v1/${"k".repeat(50)}/receipts`
  const packet = generate({
    cmd: "publish",
    topic,
    payload: Buffer.from(largest),
    qos: 0,
    dup: false,
    retain: false,
  })
  expect(packet.length).toBe(126)
  expect(packet.length).toBeLessThanOrEqual(128)
})

test("an answer to a question of a new device is 43 bytes", () => {
  const encoded = encodeReceipt({ code: 0, seq: null, head: { seq: 0, entry: zeroHash }, now: 1_748_764_800 })
  expect(formatHex(encoded)).toBe(`8500f6005820${"00".repeat(32)}1a683c0880`)
  expect(encoded.length).toBe(43)
})

const entry = bytes(zeroHash)
test.each([
  ["four items", array(int(1), int(1), int(1), entry), /a receipt is/],
  ["six items", array(int(1), int(1), int(1), entry, int(1), nil), /a receipt is/],
  ["a code that there is not", array(int(5), int(1), int(1), entry, int(1)), /none of FORMAT/],
  ["a negative code", array(int(-1), int(1), int(1), entry, int(1)), /a code expected/],
  ["a seq in letters", array(int(1), text("1"), int(1), entry, int(1)), /a seq, or null, expected/],
  ["a head seq of null", array(int(1), int(1), nil, entry, int(1)), /the head's seq expected/],
  ["an entry of 31 bytes", array(int(1), int(1), int(1), bytes(new Uint8Array(31)), int(1)), /32 bytes/],
  ["no clock", array(int(1), int(1), int(1), entry, nil), /the service's clock expected/],
  ["a byte behind it", joinBytes(array(int(1), int(1), int(1), entry, int(1)), nil), /after the end/],
])("%s: no receipt", (_, encoded, rule) => {
  expect(() => decodeReceipt(encoded)).toThrow(rule)
})
