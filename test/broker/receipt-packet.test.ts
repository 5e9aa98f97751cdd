import { expect, test } from "vitest"
import { encodeReceiptPacket } from "../../broker/receipt-packet.ts"

/** FORMAT §5 at its largest: `[code, seq, head seq, head entry, now]` with 2, 9, 9, 34 and 5 bytes. */
const receiptSizeMax = 1 + 2 + 9 + 9 + 34 + 5

test("the largest receipt to the longest device id is a packet of at most 128 bytes", () => {
  const packet = encodeReceiptPacket("x".repeat(50), new Uint8Array(receiptSizeMax))
  expect(packet.length).toBe(126)
})

test("a receipt that would not fit into 128 bytes is our mistake", () => {
  expect(encodeReceiptPacket("x".repeat(50), new Uint8Array(receiptSizeMax + 2))).toHaveLength(128)
  expect(() => encodeReceiptPacket("x".repeat(50), new Uint8Array(receiptSizeMax + 3))).toThrow("at most 128")
})
