import { expect, test } from "vitest"
import { equalBytes, formatHex, joinBytes, parseBase64url, parseHex } from "../../chain/bytes.ts"
import { type CborValue, CborWriter, decodeCbor, majorArray } from "../../chain/cbor.ts"
import { type PublicKey, algorithmEd25519, algorithmEsp256, findKeyFault } from "../../chain/key.ts"
import { decodeStatement } from "../../chain/statement.ts"
import { judgeByAll } from "./agreement.ts"
import { hasVectors, listVectors, readVectorJson } from "./folder.ts"

interface Signer {
  readonly key: Readonly<Record<string, string>>
  readonly alg?: string
  readonly protected?: { readonly alg?: string }
  readonly external?: string
}

interface Example {
  readonly fail?: true
  readonly input: { readonly sign0?: Signer; readonly sign?: { readonly signers: readonly [Signer] } }
  readonly intermediates: {
    readonly ToBeSign_hex?: string
    readonly signers?: readonly [{ readonly ToBeSign_hex: string }]
  }
  readonly output: { readonly cbor: string }
}

const folder = "cose-wg-Examples"

/** The file of an example, from the examples' own folder. */
function listExamples(): string[] {
  return listVectors(folder, ".json").map((name) => name.slice(folder.length + 1))
}

function readExample(name: string): Example {
  return readVectorJson(`${folder}/${name}`) as Example
}

/** What an envelope of RFC 9052 holds for its one signer. */
interface Opened {
  /** Of the message, and for a COSE_Sign also of the signer. */
  readonly headers: readonly Uint8Array[]
  readonly payload: Uint8Array
  readonly signature: Uint8Array
}

function openEnvelope(bytes: Uint8Array): Opened {
  // The tag may be any, or missing: it says how to read what is signed, and is not signed itself.
  const tagSizes: Readonly<Record<number, number>> = { 0xd2: 1, 0xd8: 2, 0xd9: 3 }
  const body = decodeCbor(bytes.subarray(tagSizes[bytes[0]!] ?? 0), "senml")
  const [header, , payload, rest] = body as [Uint8Array, CborValue, Uint8Array, CborValue]
  if (rest instanceof Uint8Array) return { headers: [header], payload, signature: rest }
  const [[signerHeader, , signature]] = rest as unknown as [[Uint8Array, CborValue, Uint8Array]]
  return { headers: [header, signerHeader], payload, signature }
}

/** Sig_structure (RFC 9052 §4.4). An empty map counts as an empty string there. */
function encodeSigStructure({ headers, payload }: Opened, external: Uint8Array): Uint8Array {
  const writer = new CborWriter()
  writer.writeHead(majorArray, 3 + headers.length)
  writer.writeText(headers.length === 1 ? "Signature1" : "Signature")
  for (const header of headers) {
    writer.writeBytes(equalBytes(header, Uint8Array.of(0xa0)) ? new Uint8Array(0) : header)
  }
  writer.writeBytes(external)
  writer.writeBytes(payload)
  return writer.finish()
}

/** A key of the two kinds that the law knows; null for any other curve. */
function keyOf({ key }: Signer): PublicKey | null {
  const member = (name: string): Uint8Array => {
    const hex = key[`${name}_hex`]
    return hex === undefined ? parseBase64url(key[name]!)! : parseHex(hex)!
  }
  if (key["crv"] === "Ed25519") return { algorithm: algorithmEd25519, bytes: member("x") }
  return key["crv"] === "P-256"
    ? { algorithm: algorithmEsp256, bytes: joinBytes(member("x"), member("y")) }
    : null
}

/** Examples whose signature covers other bytes than the envelope shows: that is their fault. */
const forged = ["sign-fail-02", "sign-fail-03", "sign-fail-04", "sign-fail-06", "sign-fail-07"]
/** Wrong in the envelope's tag only, which no signature covers. */
const mislabelled = ["sign-fail-01"]
/** A P-256 key under ES512: ECDSA with another hash, which the law does not know. */
const otherHash = ["ecdsa-04", "ecdsa-sig-04"]

test.runIf(hasVectors)(
  "COSE's examples are signed over the bytes that we build, and judged by the law",
  async () => {
    const verdicts: Record<string, string> = {}
    const unlike: string[] = []
    for (const name of listExamples()) {
      const { input, intermediates, output } = readExample(name)
      const signer = input.sign0 ?? input.sign?.signers[0]
      if (signer === undefined) continue
      const short = name.split("/").at(-1)!.slice(0, -".json".length)
      const opened = openEnvelope(parseHex(output.cbor)!)
      const signed = encodeSigStructure(opened, parseHex(signer.external ?? "")!)
      const expected = intermediates.ToBeSign_hex ?? intermediates.signers![0].ToBeSign_hex
      if (formatHex(signed) !== expected.toLowerCase()) unlike.push(short)
      const key = keyOf(signer)
      expect(key === null ? null : findKeyFault(key)).toBeNull()
      verdicts[short] =
        key === null ? "no such key here" : await judgeByAll(key, signed, opened.signature, short)
    }
    expect(unlike).toEqual(forged)
    expect(Object.keys(verdicts).length).toBe(23)
    const namesOf = (...kinds: string[]): string[] =>
      Object.keys(verdicts).filter((name) => kinds.includes(verdicts[name]!))
    expect(namesOf("bad").toSorted()).toEqual([...otherHash, ...forged])
    expect(namesOf("no such key here")).toEqual([
      "ecdsa-02",
      "ecdsa-03",
      "ecdsa-sig-02",
      "ecdsa-sig-03",
      "eddsa-02",
      "eddsa-sig-02",
    ])
    expect(namesOf("good", "high-s")).toEqual([
      "A_3",
      "Appendix_C_2_1",
      "ecdsa-01",
      "ecdsa-sig-01",
      "eddsa-01",
      "eddsa-sig-01",
      ...mislabelled,
      "sign-pass-01",
      "sign-pass-02",
      "sign-pass-03",
    ])
  },
)

const ruleOfHeader =
  "the protected header has alg, content type, kid and CWT claims; for a hash envelope 258 to 260 in place of the content type"
/** Where the fault is found before the header is seen to be another. */
const otherRules: Readonly<Record<string, string>> = {
  "CWT/A_4.json": "tag 17 is not in use here",
  "CWT/A_5.json": "tag 16 is not in use here",
  "CWT/A_6.json": "tag 16 is not in use here",
  "CWT/A_7.json": "tag 17 is not in use here",
  "ecdsa-examples/ecdsa-01.json": "tag 98 is not in use here",
  "ecdsa-examples/ecdsa-02.json": "tag 98 is not in use here",
  "ecdsa-examples/ecdsa-03.json": "tag 98 is not in use here",
  "ecdsa-examples/ecdsa-04.json": "tag 98 is not in use here",
  "eddsa-examples/eddsa-01.json": "tag 98 is not in use here",
  "eddsa-examples/eddsa-02.json": "tag 98 is not in use here",
  "sign1-tests/sign-fail-01.json": "tag 998 is not in use here",
  "sign1-tests/sign-pass-03.json": "tag 18 of a COSE_Sign1 expected",
}

test.runIf(hasVectors)("none of COSE's examples is a statement, and the refusal names the rule", () => {
  const rules = listExamples().map((name) => {
    const decoded = decodeStatement(parseHex(readExample(name).output.cbor)!)
    return [name, decoded.kind === "malformed" ? decoded.rule : decoded.kind]
  })
  expect(rules.length).toBe(27)
  const rulesExpected = rules.map(([name]) => [name, otherRules[name!] ?? ruleOfHeader])
  expect(rules).toEqual(rulesExpected)
})
