import { writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { formatBase64, formatHex, joinBytes } from "../../chain/bytes.ts"
import { encodeCoseKey } from "../../chain/key.ts"
import { formatJwk } from "../../chain/keyfile.ts"
import { encodeSealedAnswer } from "../../chain/sealed-answer.ts"
import { CommandFault, UsageFault } from "../../cli/fault.ts"
import { type ProofFileOptions, readProofFile, verifyProofFile } from "../../cli/verify-proof.ts"
import { encodeReceiptKeys } from "../../research/receipt-keys.ts"
import { formatProof } from "../../verify/proof.ts"
import { policyAlone } from "../vectors/evidence-scene.ts"
import { edKey, strangerKey } from "../vectors/keys.ts"
import {
  draftProof,
  draftReceipt,
  draftTransparent,
  entry,
  proofLog,
  statementBytes,
} from "../vectors/proof-scene.ts"
import { simulatedReceiptKey } from "../verify/simulated-log.ts"
import { makeFolder, removeFolders, tidemark } from "./command.ts"

let folder: string
const path = (name: string): string => join(folder, name)
const receiptKey = simulatedReceiptKey.publicKey

beforeAll(async () => {
  folder = dirname(await makeFolder())
  const first = proofLog.leaves[0]!
  const files: Record<string, string | Uint8Array> = {
    "k7.tlog-proof": draftProof(),
    "k7.receipt": draftReceipt(),
    "k7.scitt": draftTransparent([draftReceipt()]),
    "k7.answer": encodeSealedAnswer({ seq: 1, receipt: draftReceipt() }),
    "newest.answer": encodeSealedAnswer({
      seq: 25,
      receipt: draftReceipt({ index: 0, path: proofLog.path(0) }),
    }),
    "none.answer": encodeSealedAnswer({ seq: 1, receipt: null }),
    "k7.cose": statementBytes,
    "k7.jwk": formatJwk(edKey.publicKey),
    "trust.policy": policyAlone,
    "keys.cbor": encodeReceiptKeys([receiptKey]),
    "key.cose": encodeCoseKey(receiptKey),
    "key.jwk": formatJwk(receiptKey),
    "two.cbor": encodeReceiptKeys([receiptKey, strangerKey.publicKey]),
    "policy.tlog-proof": draftProof({
      extra: formatBase64(first.bytes),
      index: "index 0",
      path: proofLog.path(0).map((node) => formatBase64(node)),
    }),
    "changed.receipt": joinBytes(draftReceipt().subarray(0, -1), Uint8Array.of(draftReceipt().at(-1)! ^ 1)),
    "evidence.bin": Uint8Array.of(0x88, 0x71),
  }
  for (const [name, content] of Object.entries(files)) await writeFile(path(name), content)
})
afterAll(removeFolders)

async function verify(name: string, options: Partial<ProofFileOptions> = {}) {
  const file = await readProofFile(path(name))
  if (file === null) throw new Error(`${name} is no proof`)
  return verifyProofFile(file, { data: path("none"), ...options })
}

test("tidemark verify passes a proof by the reader's policy, and ends with 1 where a receipt was changed", async () => {
  const args = ["--data", path("none")]
  const proof = await tidemark(["verify", path("k7.tlog-proof"), "--policy", path("trust.policy"), ...args])
  expect(proof).toMatchObject({ code: 0, stderr: "" })
  expect(proof.stdout).toMatch(
    /\nverified: statement 1 of device k7 is in the log tidemark\.example\/vectors\n$/,
  )
  const { code, stdout } = await tidemark([
    "verify",
    path("changed.receipt"),
    "--statement",
    path("k7.cose"),
    "--receipt-key",
    path("keys.cbor"),
    "--json",
    ...args,
  ])
  expect([code, JSON.parse(stdout)]).toMatchObject([1, { kind: "refused", code: "root" }])
})

test("the receipt key is read as a set, a COSE_Key, hex, a JWK, or from a proof of the log's policy", async () => {
  const given = ["keys.cbor", "key.cose", "key.jwk"].map(path)
  for (const key of [...given, formatHex(encodeCoseKey(receiptKey))])
    expect([key, (await verify("k7.scitt", { receiptKey: key })).kind]).toEqual([key, "verified"])
  const proven = { receiptKey: path("policy.tlog-proof"), policy: path("trust.policy") }
  expect(await verify("k7.scitt", proven)).toMatchObject({ kind: "verified", form: "transparent" })
  const statement = formatHex(entry)
  expect(await verify("k7.receipt", { ...proven, statement })).toMatchObject({ kind: "verified" })
  expect(await verify("k7.scitt", { ...proven, receiptKey: path("k7.tlog-proof") })).toMatchObject({
    kind: "refused",
    code: "policy",
  })
  await expect(verify("k7.scitt", { receiptKey: path("two.cbor") })).rejects.toThrow(/a set of 2 keys/)
  await expect(verify("k7.scitt", { receiptKey: path("k7.cose") })).rejects.toThrow(CommandFault)
})

test("what a device was answered over MQTT is taken as it came", async () => {
  const options = { receiptKey: path("keys.cbor"), statement: path("k7.cose") }
  expect(await verify("k7.answer", options)).toMatchObject({ kind: "verified", form: "receipt" })
  await expect(readProofFile(path("none.answer"))).rejects.toThrow(/no receipt of statement 1/)
})

test("field D6: an answer about another statement than the file says so, and not that its path is wrong", async () => {
  const options = { receiptKey: path("keys.cbor"), statement: path("k7.cose") }
  const refused = await verify("newest.answer", options)
  expect(formatProof(refused)).toBe(
    "refused: the answer is about statement 25, and the file is statement 1: ask for 1, or name the file of 25 (root)",
  )
})

test("the signer's key is checked where it is named, and what is not known is said", async () => {
  const options = { receiptKey: path("keys.cbor"), deviceKey: [path("k7.jwk")] }
  const named = await verify("k7.scitt", options)
  expect(formatProof(named)).toMatch(/^signed by the key that you named/m)
  expect(formatProof(await verify("k7.scitt", { receiptKey: path("keys.cbor") }))).toMatch(
    /^note: its signature was not checked: name the signer's key with --device-key/m,
  )
  await expect(verify("k7.scitt", { ...options, deviceKey: ["00".repeat(32)] })).rejects.toThrow(
    /a thumbprint checks no signature/,
  )
})

test("what was not named, or does not belong together, is a mistake in usage", async () => {
  const receipt = { receiptKey: path("keys.cbor"), statement: path("k7.cose") }
  for (const [name, options, says] of [
    ["k7.receipt", { receiptKey: path("keys.cbor") }, /does not hold its statement/],
    ["k7.receipt", { statement: path("k7.cose") }, /nothing is trusted yet/],
    ["k7.receipt", { ...receipt, policy: path("trust.policy") }, /not signed by the log's key/],
    ["k7.receipt", { ...receipt, since: 1 }, /does not say when it was made/],
    ["k7.tlog-proof", { receiptKey: path("keys.cbor") }, /signed by the log's own key/],
    ["k7.tlog-proof", {}, /nothing is trusted yet/],
  ] as const) {
    await expect(verify(name, options)).rejects.toThrow(UsageFault)
    await expect(verify(name, options)).rejects.toThrow(says)
  }
  await expect(readProofFile(path("k7.cose"))).rejects.toThrow(/a statement alone proves nothing/)
  expect(await readProofFile(path("evidence.bin"))).toBeNull()
  await expect(verify("k7.receipt", { ...receipt, statement: path("missing") })).rejects.toThrow(
    /there is no such file/,
  )
})
