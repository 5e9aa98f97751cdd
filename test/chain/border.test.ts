/** Values at the edge of what a decoder takes, each found by reading or by fuzzing. */
import { expect, test } from "vitest"
import { encodeUtf8, formatBase64, formatHex, joinBytes, parseHex } from "../../chain/bytes.ts"
import { type CborInput, type CborKey, encodeCbor } from "../../chain/cbor.ts"
import { algorithmEsp256, makePrivateKey } from "../../chain/key.ts"
import { KeyFault, parsePrivateKey } from "../../chain/keyfile.ts"
import { isNoteName } from "../../chain/note.ts"
import { type Payload, readPayload, readPayloadByRule01 } from "../../chain/payload.ts"
import { decodePack, encodePack } from "../../chain/senml.ts"
import { contentRegistry, contentSenml } from "../../chain/statement.ts"
import { encodeWaveform } from "../../chain/waveform.ts"

const secondsOf2026 = 1_795_000_000

function readWaveform(vd: Uint8Array): Payload {
  const record = new Map<CborKey, CborInput>([
    [0, "ecg"],
    [6, secondsOf2026],
    [8, vd],
    ["ct", "60"],
  ])
  return readPayload({ content: contentSenml, payload: encodeCbor([record]) })
}

test("a measured -0 stays -0", () => {
  const series = { kind: "number", name: "drift", unit: "V", times: [secondsOf2026], values: [-0] } as const
  expect(decodePack(encodePack([series]))).toEqual([series])
  const sum = { ...series, kind: "sum" } as const
  expect(decodePack(encodePack([sum]))).toEqual([sum])
})

test("a waveform whose last sample has no finite time is unread, though every number in it is finite", () => {
  const waveform = { factor: 1, origin: 0, periodMs: 1e308, samples: new Int16Array(2) }
  expect(readWaveform(encodeWaveform(waveform)).kind).toBe("readings")
  const endless = readWaveform(encodeWaveform({ ...waveform, samples: new Int16Array(3) }))
  expect(endless).toMatchObject({ kind: "unread", rule: "the time of the last sample is finite" })
})

test("a period that is nothing in seconds is not above 0", () => {
  const waveform = { factor: 1, origin: 0, periodMs: 5e-324, samples: new Int16Array(2) }
  expect(readWaveform(encodeWaveform(waveform))).toMatchObject({ kind: "unread", rule: "period is above 0" })
  expect(readWaveform(encodeWaveform({ ...waveform, periodMs: 5e-320 })).kind).toBe("readings")
})

test("a fault inside a waveform or a key names its byte in the payload", () => {
  const vd = encodeCbor(
    new Map<CborKey, CborInput>([
      ["speed", 1],
      ["factor", 1],
      ["origin", 0],
      ["period", 1],
    ]),
  )
  const record = new Map<CborKey, CborInput>([
    [0, "ecg"],
    [6, secondsOf2026],
    [8, vd],
    ["ct", "60"],
  ])
  const pack = encodeCbor([record])
  const read = readPayload({ content: contentSenml, payload: pack })
  const unread = read as Extract<Payload, { kind: "unread" }>
  expect(unread.rule).toBe("a waveform has data, factor, origin and period")
  expect(formatHex(pack.subarray(unread.offset))).toMatch(/^65(7370656564)/)

  const registry = encodeCbor(
    new Map<number, CborInput>([
      [1, 1],
      [2, "k7"],
      [
        4,
        new Map<number, CborInput>([
          [1, 1],
          [-1, 7],
          [-2, new Uint8Array(32)],
        ]),
      ],
    ]),
  )
  const refused = readPayload({ content: contentRegistry, payload: registry })
  const { rule, offset } = refused as Extract<Payload, { kind: "unread" }>
  expect(rule).toBe("COSE_Key label -1 must be 6")
  expect(registry.slice(offset, offset + 2)).toEqual(Uint8Array.of(0x20, 0x07))
})

/** [{0: "heart-rate", 2: 72, 6: 1760000000, label: value}], label "x" where none is given. */
function packWith(value: string, label = "6178"): Uint8Array {
  return parseHex(`81a4006a68656172742d72617465021848061a68e77800${label}${value}`)!
}

function readWith(value: string, label?: string): Payload {
  return readPayload({ content: contentSenml, payload: packWith(value, label) })
}

test("field D14: an integer of 2^53 or more under an unknown label does not make the pack unread; version 0.1 did", () => {
  const readings = readWith("01")
  expect(readings).toMatchObject({ kind: "readings", series: [{ name: "heart-rate", values: [72] }] })
  for (const value of [
    "1b0020000000000000",
    "1bffffffffffffffff",
    "3bffffffffffffffff",
    "c249010000000000000000",
    "f7",
  ]) {
    expect(readWith(value)).toEqual(readings)
    // Label 40 is as unknown as "x".
    expect(readWith(value, "1828")).toEqual(readings)
    const before = readPayloadByRule01({ content: contentSenml, payload: packWith(value) })
    expect(before).toMatchObject({ kind: "unread", offset: 25 })
  }
  expect(readPayloadByRule01({ content: contentSenml, payload: packWith("01") })).toEqual(readings)
  // Under a label that is known, the number counts; and one that ends in _ must be understood.
  expect(readWith("1b0020000000000000", "07")).toMatchObject({
    kind: "unread",
    rule: "integers go up to 2^53 - 1",
  })
  expect(readWith("01", "62785f")).toMatchObject({
    kind: "unread",
    rule: "a label that ends in _ must be understood",
  })
})

test("a length under an unknown label costs no more than the bytes that are there", () => {
  for (const value of [
    "9bffffffffffffffff",
    "bbffffffffffffffff",
    "5bffffffffffffffff",
    "9b001fffffffffffff80",
  ]) {
    const payload = parseHex(`81a4006a68656172742d72617465021848061a68e778006178${value}`)!
    const startedAt = performance.now()
    expect(readPayload({ content: contentSenml, payload }).kind).toBe("unread")
    expect(performance.now() - startedAt).toBeLessThan(1_000)
  }
})

test("a note's name has no space of any script", () => {
  const spaces = [" ", "\u0085", "\u00a0", "\u1680", "\u2003", "\u2028", "\u3000", "\t"]
  expect(spaces.filter((space) => isNoteName(`example${space}log`))).toEqual([])
  expect(isNoteName("example.org/log")).toBe(true)
})

test("a private number of P-256 outside 1 to n - 1 is a fault of the key file", () => {
  for (const secret of [new Uint8Array(32), new Uint8Array(32).fill(255)]) {
    expect(() => makePrivateKey(algorithmEsp256, secret)).toThrow(RangeError)
    const d = formatBase64(secret).replaceAll("/", "_").replace("=", "")
    const jwk = JSON.stringify({ kty: "EC", crv: "P-256", x: "A".repeat(43), y: "A".repeat(43), d })
    expect(() => parsePrivateKey(encodeUtf8(jwk))).toThrow(KeyFault)
  }
})

test("a key file that nests thousands deep is a fault of the key file", () => {
  const heads: Uint8Array[] = []
  let length = 0
  while (length < 65_000) {
    const head = length < 128 ? [0x30, length] : [0x30, 0x82, length >> 8, length & 255]
    heads.push(Uint8Array.from(head))
    length += head.length
  }
  const der = joinBytes(...heads.toReversed())
  const pem = `-----BEGIN PRIVATE KEY-----\n${formatBase64(der)}\n-----END PRIVATE KEY-----\n`
  expect(() => parsePrivateKey(encodeUtf8(pem))).toThrow(KeyFault)
})
