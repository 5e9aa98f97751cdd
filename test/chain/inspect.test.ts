import { readFileSync, readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"
import { formatHex, joinBytes, parseHex } from "../../chain/bytes.ts"
import { findLine, inspect } from "../../chain/inspect.ts"
import { encodeReceipt } from "../../chain/receipt.ts"
import { statementSizeMax } from "../../chain/statement.ts"
import { exampleStatement } from "./example.ts"

const folder = fileURLToPath(new URL("../vectors/", import.meta.url))

interface Vector {
  readonly name: string
  readonly bytes: Uint8Array
  readonly verdict: number
}

function vectorsIn(part: "valid" | "invalid"): readonly Vector[] {
  return readdirSync(`${folder}statements/${part}`).map((file) => {
    const { statement, verdict } = JSON.parse(
      readFileSync(`${folder}statements/${part}/${file}`, "utf8"),
    ) as { statement: string; verdict: number }
    return { name: file.replace(".json", ""), bytes: parseHex(statement)!, verdict }
  })
}

const valid = vectorsIn("valid")
const invalid = vectorsIn("invalid")

/** What stands on the line of the first wrong byte, by the vector's name: the part of the statement that is at fault. */
const faultyLines: Readonly<Record<string, string>> = {
  "alg-as-text": '1 alg: "Ed25519"',
  "alg-eddsa": "1 alg: -8",
  "alg-es256": "1 alg: -7",
  "alg-hmac": "1 alg: 5",
  "alg-missing": "map of 3",
  "alg-twice": "1 alg: -19, Ed25519",
  "array-of-3": "tag 18 (COSE_Sign1), array of 3",
  "array-of-5": "tag 18 (COSE_Sign1), array of 5",
  "array-of-indefinite-length": "a length without end; what follows",
  "bytes-after-the-end": "1 byte after the end",
  "claim-missing": "15 CWT claims: map of 4",
  "claim-twice": "15 CWT claims: map of 6",
  "claim-unknown": "15 CWT claims: map of 6",
  "claims-as-array": "15 CWT claims: array of 5",
  "claims-missing": "map of 3",
  "claims-out-of-order": '2 sub: "claims-out-of-order"',
  "content-type-60": "3 content type: 60",
  "content-type-missing": "map of 3",
  "content-type-not-utf8": "3 content type: a text that is not",
  "content-type-of-the-operator": '3 content type: "application/vnd.t',
  "content-type-with-control-character": '3 content type: "text/plain\\n"',
  "crit-present": "2: array of 1",
  "cut-short": "a byte string of 64 bytes, of whic",
  "hash-envelope-of-sha-1": "258 payload-hash-alg: -14",
  "hash-envelope-out-of-order": "259 content type of what was hashe",
  "hash-envelope-with-content-type": "3 content type: 112, SenML in CBOR",
  "hash-envelope-without-algorithm": "259 content type of what was hashe",
  "header-label-unknown": "3 content type: 112, SenML in CBOR",
  "header-out-of-order": "3 content type: 112, SenML in CBOR",
  "iat-as-float": "6 iat: 2025-06-01T08:00:00Z",
  "iat-as-text": '6 iat: "2025-06-01T08:00:00Z"',
  "iat-negative": "6 iat: 1969-12-31T23:59:59Z",
  "iat-not-shortest": "6 iat: 2025-06-01T08:06:24Z",
  "iat-of-2-to-the-53": "6 iat: 9007199254740992",
  "iss-as-bytes": "1 iss: a byte string of 2",
  "iss-empty": '1 iss: ""',
  "iss-is-the-origin": '1 iss: "tidemark.example/vectors"',
  "iss-missing": "15 CWT claims: map of 4",
  "iss-of-51-characters": '1 iss: "iiiiiiiiiiiiiiiiiiiiiiiiii',
  "iss-with-colons": '1 iss: "00:11:22:33:44:55"',
  "iss-with-dot": '1 iss: "iss.with-dot"',
  "iss-with-hyphen-first": '1 iss: "-iss-with-hyphen-first"',
  json: "a text of 2479343064073907570 byte",
  "kid-as-text": '4 kid: "device-1"',
  "kid-missing": "map of 3",
  "kid-of-7-bytes": "4 kid: 00000000000000",
  "kid-of-9-bytes": "4 kid: 000000000000000000",
  "length-not-shortest": "3. payload: a byte string of 33",
  "one-byte": "0",
  "payload-as-array": "3. payload: array of 1",
  "payload-in-chunks": "a length without end; what follows",
  "payload-nil": "3. payload: null",
  "prev-in-hex": '-65538 prev: "00000000000000000000',
  "prev-null": "-65538 prev: null",
  "prev-of-31-bytes": "-65538 prev: a byte string of 31",
  "protected-header-as-map": "1. protected header: map of 4",
  "protected-header-empty": "2. unprotected header: an empty ma",
  "protected-header-of-indefinite-length": "a length without end; what follows",
  "protected-header-with-bytes-after": "1 byte after the end",
  "senml-text-content-type": '3 content type: "application/senml',
  "seq-as-bignum": "-65537 seq: tag 2, a byte string o",
  "seq-negative": "-65537 seq: -1",
  "seq-null": "-65537 seq: null",
  "seq-zero": "-65537 seq: 0",
  "signature-in-der": "4. signature: a byte string of 70",
  "signature-nil": "4. signature: null",
  "signature-of-63-bytes": "4. signature: a byte string of 63",
  "signature-of-65-bytes": "4. signature: a byte string of 65",
  "sub-empty": '2 sub: ""',
  "sub-of-129-characters": '2 sub: "ssssssssssssssssssssssssss',
  "sub-with-delete-character": '2 sub: "wrist\\u007f"',
  "sub-with-space": '2 sub: "left wrist"',
  "tag-55799-around": "tag 55799, tag 18 (COSE_Sign1), ar",
  "tag-61-around": "tag 61, tag 18 (COSE_Sign1), array",
  "tag-98": "tag 98, array of 4",
  "tag-missing": "array of 4",
  "tag-not-shortest": "tag 18 (COSE_Sign1), array of 4",
  "two-statements-in-one": "221 bytes after the end",
  "unprotected-header-as-bytes": "2. unprotected header: a byte stri",
  "unprotected-header-not-empty": "2. unprotected header: map of 1",
  "unprotected-header-of-indefinite-length": "a length without end; what follows",
}

test.each(invalid.filter(({ verdict }) => verdict === 10))(
  "$name: the first wrong byte is named in the line of what is wrong",
  ({ name, bytes }) => {
    const inspection = inspect(bytes)
    if (inspection.kind !== "no-statement") throw new Error("a malformed statement was taken")
    const line = findLine(inspection.lines, inspection.wrong.offset)
    expect(line?.text).toBeDefined()
    expect(line!.text.slice(0, 34)).toBe(faultyLines[name] ?? line!.text.slice(0, 34))
    expect(inspection.wrong.rule).not.toBe("")
  },
)

test("the faults of all parts of a statement were looked at", () => {
  const malformed = invalid.filter(({ verdict }) => verdict === 10).map(({ name }) => name)
  expect(Object.keys(faultyLines).filter((name) => !malformed.includes(name))).toEqual([])
  expect(Object.keys(faultyLines).length).toBeGreaterThan(60)
})

test.each([...valid, ...invalid])("$name: the lines are all the bytes, once, in order", ({ bytes }) => {
  const { lines } = inspect(bytes)
  expect(joinBytes(...lines.map((line) => line.bytes))).toEqual(bytes)
  let offset = 0
  for (const line of lines) {
    expect(line.offset).toBe(offset)
    offset += line.bytes.length
  }
})

test.each(valid)(
  "$name is a statement, and only an unread payload has a wrong byte",
  ({ bytes, verdict }) => {
    const inspection = inspect(bytes)
    if (inspection.kind !== "statement") throw new Error(`it is ${inspection.kind}`)
    expect(inspection.wrong !== null).toBe(verdict === 3)
  },
)

test("what only its signature, key or place refuses is explained as a statement", () => {
  const refused = invalid.filter(({ verdict }) => verdict > 11)
  expect(refused.length).toBeGreaterThan(10)
  for (const { name, bytes } of refused) expect([name, inspect(bytes).kind]).toEqual([name, "statement"])
})

test("the example of FORMAT.md reads as it is written there", () => {
  const { lines } = inspect(exampleStatement.bytes)
  expect(lines.map(({ text }) => text)).toEqual([
    "tag 18 (COSE_Sign1), array of 4",
    "1. protected header: a byte string of 77",
    "map of 4",
    "1 alg: -19, Ed25519",
    "3 content type: 112, SenML in CBOR",
    "4 kid: 747ac4d145d04242",
    "15 CWT claims: map of 5",
    '1 iss: "k7"',
    '2 sub: "k7"',
    "6 iat: 2025-06-01T08:00:00Z",
    "-65537 seq: 1",
    "-65538 prev: zeros, for the first",
    "2. unprotected header: an empty map",
    "3. payload: a byte string of 33",
    "a SenML pack: array of 1",
    "a record: map of 4",
    '0 n, name: "heart-rate"',
    '1 u, unit: "beat/min"',
    "2 v, number: 72",
    "6 t, time: 2025-06-01T08:00:00Z",
    "4. signature: a byte string of 64",
  ])
})

test("a statement cut at any byte is named where it is cut, or at the item that the cut goes through", () => {
  const { bytes } = exampleStatement
  for (let size = 0; size < bytes.length; size++) {
    const inspection = inspect(bytes.subarray(0, size))
    if (inspection.kind !== "no-statement") throw new Error(`${size} bytes were taken`)
    expect(inspection.wrong.offset).toBeLessThanOrEqual(size)
    expect(joinBytes(...inspection.lines.map((line) => line.bytes))).toEqual(bytes.subarray(0, size))
  }
})

test("one byte too many is wrong behind the last allowed one", () => {
  const inspection = inspect(new Uint8Array(statementSizeMax + 1))
  expect(inspection).toMatchObject({ kind: "no-statement", wrong: { offset: statementSizeMax } })
})

test("a receipt is explained with the advice of its code, and a wrong one named", () => {
  const head = { seq: 1, entry: inspectEntry() }
  const receipt = encodeReceipt({ code: 20, seq: 3, head, now: 1_748_764_802 })
  const inspection = inspect(receipt)
  expect(inspection).toMatchObject({ kind: "receipt", receipt: { code: 20, seq: 3 } })
  expect(inspection.lines.map(({ text }) => text)).toEqual([
    "a receipt: array of 5",
    "code: 20, gap: send from head + 1",
    "seq: 3",
    "head seq: 1",
    `head entry: ${formatHex(head.entry)}`,
    "now, the service's clock: 2025-06-01T08:00:02Z",
  ])
  const unknownCode = Uint8Array.from(receipt)
  unknownCode[1] = 5
  expect(inspect(unknownCode)).toMatchObject({ kind: "no-receipt", wrong: { offset: 1 } })
})

function inspectEntry() {
  const inspection = inspect(exampleStatement.bytes)
  if (inspection.kind !== "statement") throw new Error("the example is a statement")
  return inspection.entry
}

test("bytes of any kind are explained without a throw", () => {
  let state = 7
  for (let round = 0; round < 3_000; round++) {
    const bytes = Uint8Array.from(round % 2 === 0 ? exampleStatement.bytes : new Uint8Array(60))
    for (let change = 0; change < 1 + (round % 5); change++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
      bytes[(state >>> 8) % bytes.length] = (state >>> 16) & 255
    }
    const { lines } = inspect(bytes)
    expect(lines.reduce((sum, line) => sum + line.bytes.length, 0)).toBe(bytes.length)
  }
})
