/** Signatures by native code, on this thread and on others: one law, whoever checks (FORMAT §2). */
import { copyFile, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { expect, test } from "vitest"
import { decodeCoseKey, kidOf } from "../../chain/key.ts"
import { equalBytes } from "../../chain/bytes.ts"
import { sha256 } from "../../chain/hash.ts"
import { hmacSha256 } from "../../chain/heads.ts"
import { checkSignature, negateS, signMessage } from "../../chain/signature.ts"
import { decodeStatement, signedBytesOf } from "../../chain/statement.ts"
import type * as equation from "../../ingest/equation.js"
import { sodiumMissing, verifyEd25519BySodium } from "../../ingest/equation.js"
import { hmacNative, sha256Native } from "../../ingest/native.ts"
import { type SignatureRequest, openVerifier } from "../../ingest/verifier.ts"
import { judgeByAll } from "../vectors-by-others/agreement.ts"
import { ecKey, edKey, edKeyNext } from "../vectors/keys.ts"
import { bytesOf, readStatementVectors } from "./vector-files.ts"

const isBuilt =
  ["darwin-arm64", "darwin-x64", "linux-arm64", "linux-x64", "win32-arm64", "win32-x64"].includes(
    `${process.platform}-${process.arch}`,
  ) &&
  (process.platform !== "linux" ||
    "glibcVersionRuntime" in (process.report.getReport() as { header: object }).header)

test("libsodium verifies where it has a build", () => {
  expect(sodiumMissing === null || !isBuilt).toBe(true)
  expect(verifyEd25519BySodium === null).toBe(sodiumMissing !== null)
})

test("where the addon cannot be loaded, node:crypto verifies, and the reason is one line", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tidemark-test-"))
  try {
    // From there no package can be found.
    const copy = join(folder, "equation.mjs")
    await copyFile(new URL("../../ingest/equation.js", import.meta.url), copy)
    const bare = (await import(pathToFileURL(copy).href)) as typeof equation
    expect(bare.sodiumMissing).toContain("sodium-native")
    expect(bare.sodiumMissing).not.toContain("\n")
    expect(bare.verifyEd25519).toBe(bare.verifyEd25519ByNode)
    const message = Uint8Array.of(1, 2, 3)
    const signature = signMessage(edKey, message)
    expect(bare.verifyEd25519(edKey.publicKey.bytes, message, signature)).toBe(true)
    expect(bare.verifyEd25519(edKeyNext.publicKey.bytes, message, signature)).toBe(false)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

/** Good and bad ones of both kinds, in an order that no two threads would make by chance. */
function requestsOf(count: number): { readonly request: SignatureRequest; readonly isGood: boolean }[] {
  return Array.from({ length: count }, (_, index) => {
    const key = [edKey, ecKey, edKeyNext][index % 3]!
    const message = Uint8Array.from({ length: (37 * index) % 300 }, (__, place) => (place * index) & 255)
    const signature = signMessage(key, message)
    const isGood = index % 7 < 5
    if (!isGood) signature[index % 2 === 0 ? 3 : 40]! ^= 1
    // The equation takes an s of either height: which one is the form's to say.
    const isHigh = key === ecKey && index % 2 === 0 && isGood
    return {
      request: { key: key.publicKey, message, signature: isHigh ? negateS(signature) : signature },
      isGood,
    }
  })
}

test.each([1, 2, 3])("%i threads answer each signature in its place", async (threads) => {
  const verifier = openVerifier({ threads })
  const batches = [0, 1, 2, 3, 64, 7].map(requestsOf)
  const answers = await Promise.all(
    batches.map((batch) => verifier.verify(batch.map(({ request }) => request))),
  )
  expect(answers).toEqual(batches.map((batch) => batch.map(({ isGood }) => isGood)))
  await verifier.close()
  // Whoever asks too late is answered all the same.
  const late = batches[4]!
  expect(await verifier.verify(late.map(({ request }) => request))).toEqual(late.map(({ isGood }) => isGood))
})

test("what a thread had not answered when it ended is checked here", async () => {
  const failures: string[] = []
  const verifier = openVerifier({ threads: 1, failed: (error) => failures.push(error.message) })
  const batch = requestsOf(40)
  const answered = verifier.verify(batch.map(({ request }) => request))
  const closed = verifier.close()
  expect(await answered).toEqual(batch.map(({ isGood }) => isGood))
  await closed
  expect(failures).toEqual([])
})

test("each of our vectors that can be read has one verdict from all verifiers", async () => {
  let seen = 0
  for (const { name, vector } of readStatementVectors()) {
    const decoded = decodeStatement(bytesOf(vector.statement))
    if (decoded.kind !== "statement") continue
    const { statement } = decoded
    const keys = vector.keys.map(({ coseKey }) => decodeCoseKey(bytesOf(coseKey)))
    const key = keys.find((one) => equalBytes(kidOf(one), statement.kid))
    if (key === undefined) continue
    const message = signedBytesOf(statement)
    const verdict = await judgeByAll(key, message, statement.signature, name)
    // Where the statement names another algorithm than its key's, the law says bad before any equation.
    const law = checkSignature(key, statement.algorithm, message, statement.signature)
    expect(law).toBe(statement.algorithm === key.algorithm ? verdict : "bad")
    seen += 1
  }
  expect(seen).toBeGreaterThan(100)
})

test("node's digests and MACs are noble's, whichever key comes next", () => {
  for (let index = 0; index < 60; index++) {
    const message = Uint8Array.from({ length: (index * 97) % 3_000 }, (_, place) => (place + index) & 255)
    // Two keys in turn, some longer than a block, which are hashed first (RFC 2104 §2).
    const key = Uint8Array.from({ length: [32, 0, 64, 65, 200][(index >> 1) % 5]! }, () => index % 2)
    expect(sha256Native(message)).toEqual(sha256(message))
    expect(hmacNative(key, message)).toEqual(hmacSha256(key, message))
  }
})
