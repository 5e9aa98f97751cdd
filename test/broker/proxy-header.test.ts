import { expect, test } from "vitest"
import { parseProxyHeader } from "../../broker/proxy-header.ts"
import { headers, malformed } from "./proxy-bytes.ts"

test.each(Object.entries(headers))(
  "%s is read at its last byte, and not before",
  (_name, { bytes, address }) => {
    for (let size = 0; size < bytes.length; size++) {
      expect(parseProxyHeader(bytes.subarray(0, size))).toEqual({ kind: "short" })
    }
    const read = { kind: "header", size: bytes.length, address }
    expect(parseProxyHeader(bytes)).toEqual(read)
    expect(parseProxyHeader(Buffer.concat([bytes, Buffer.from("PROXY UNKNOWN\r\n")]))).toEqual(read)
  },
)

test.each(Object.entries(malformed))("%s is no PROXY header", (_name, bytes) => {
  expect(parseProxyHeader(bytes)).toMatchObject({ kind: "malformed" })
  // Once malformed, more bytes do not mend it; before, it is only not known yet.
  let wasMalformed = false
  for (let size = 0; size <= bytes.length; size++) {
    const { kind } = parseProxyHeader(bytes.subarray(0, size))
    expect(kind).toBe(wasMalformed ? "malformed" : kind === "malformed" ? "malformed" : "short")
    wasMalformed ||= kind === "malformed"
  }
  expect(wasMalformed).toBe(true)
})

test("an IPv4 address in IPv6 is the same peer", () => {
  const { bytes } = headers["v2 TCP6"]!
  const mapped = Buffer.from(bytes)
  mapped.set(Buffer.from("00000000000000000000ffffc0000207", "hex"), 16)
  expect(parseProxyHeader(mapped)).toMatchObject({ address: "192.0.2.7" })
})

test("no header is ever waited for beyond 4,112 bytes", () => {
  const largest = Buffer.concat([Buffer.from("0d0a0d0a000d0a515549540a20001000", "hex"), Buffer.alloc(4095)])
  expect(parseProxyHeader(largest)).toEqual({ kind: "short" })
  expect(parseProxyHeader(Buffer.concat([largest, Buffer.alloc(1)]))).toMatchObject({ size: 4112 })
  const over = Buffer.from("0d0a0d0a000d0a515549540a20001001", "hex")
  expect(parseProxyHeader(over)).toMatchObject({ kind: "malformed" })
})
