import { execFileSync } from "node:child_process"
import { writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, expect, test, vi } from "vitest"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { sha256 } from "../../chain/hash.ts"
import { algorithmEd25519, makePrivateKey } from "../../chain/key.ts"
import { holdDatabase, makeFolder, parseLines, removeFolders, run, tidemark } from "./command.ts"

const origin = "example.org/changes"
/** Each command is a process with a database to attach to: a test of ten takes its time on a busy machine. */
vi.setConfig({ testTimeout: 300_000 })
let data: string
let folder: string

beforeAll(async () => {
  data = await makeFolder()
  folder = dirname(data)
  await run(["log", "init", "--origin", origin, "--data", data])
  await holdDatabase(data)
})
afterAll(removeFolders)

/** A private key in a file, as openssl makes it. */
async function makeKey(name: string): Promise<string> {
  const path = join(folder, `${name}.pem`)
  const { secret } = makePrivateKey(algorithmEd25519, sha256(encodeUtf8(name)))
  const pkcs8 = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), secret])
  await writeFile(
    path,
    `-----BEGIN PRIVATE KEY-----\n${pkcs8.toString("base64")}\n-----END PRIVATE KEY-----\n`,
  )
  return path
}

const device = (...args: string[]) => tidemark(["device", ...args, "--data", data])
const done = (...args: string[]) => run(["device", ...args, "--data", data])
const show = async (id: string) => parseLines(await done("show", id, "--json"))[0] as Record<string, unknown>
/** Needs no data folder. */
const prove = async (...args: string[]): Promise<string> =>
  (await run(["device", "prove", "--origin", origin, ...args], { cwd: folder })).trim()

test("a device is enrolled with its proof of possession, which was made where its key is", async () => {
  const key = await makeKey("p1")
  const proof = await prove("--key", key, "--device", "p1")
  expect(proof).toMatch(/^[0-9a-f]{128}$/)
  await done(
    "enroll",
    "p1",
    "--key",
    key,
    "--proof",
    proof,
    "--attribute",
    "make=Example",
    "--attribute",
    "model=W1",
  )
  expect(await show("p1")).toMatchObject({
    attributes: { make: "Example", model: "W1" },
    keys: [{ isPossessionProven: true }],
  })
  const text = await done("show", "p1")
  expect(text).toContain("make=Example model=W1")
  expect(text).toContain("enrolled by the operator, possession proven")
})

test("a proof for another device, log or key enrols nobody", async () => {
  const key = await makeKey("p2")
  const other = await makeKey("p2-other")
  for (const proof of [
    await prove("--key", key, "--device", "p3"),
    await prove("--key", other, "--device", "p2"),
    (await run(["device", "prove", "--origin", "other.example/log", "--key", key, "--device", "p2"])).trim(),
  ]) {
    const { code, stderr } = await device("enroll", "p2", "--key", key, "--proof", proof)
    expect(code).toBe(1)
    expect(stderr).toContain("the proof of possession does not verify")
  }
  const path = join(folder, "short")
  await writeFile(path, "00")
  expect((await device("enroll", "p2", "--key", key, "--proof", path)).stderr).toContain(
    "no signature of 64 bytes",
  )
})

test("a rotation with both proofs is proven, and one without is a re-enrolment by the operator", async () => {
  const [first, second, third] = [await makeKey("r1"), await makeKey("r2"), await makeKey("r3")]
  await done("enroll", "r", "--key", first)
  const seq = ["--device", "r", "--first-seq", "5"]
  const proof = join(folder, "r2.proof")
  await writeFile(proof, `${await prove("--key", second, ...seq)}\n`)
  const oldProof = await prove("--key", first, "--new-key", second, ...seq)
  await done("rotate", "r", "--key", second, "--proof", proof, "--old-proof", oldProof, "--first-seq", "5")
  await done("rotate", "r", "--key", third, "--reason", "the second was lost")
  expect(await show("r")).toMatchObject({
    keys: [
      { firstSeq: 1, lastSeq: 4, endedBy: "rotation" },
      { firstSeq: 5, lastSeq: 5, endedBy: "rotation", introducedBy: "old-key", isPossessionProven: true },
      { firstSeq: 6, lastSeq: null, introducedBy: "operator", isPossessionProven: false },
    ],
  })
  const text = await done("show", "r")
  expect(text).toContain("rotation proven by the old and the new key")
  expect(text).toContain("re-enrolled by the operator, without proof of possession")
  const { code, stderr } = await device("rotate", "r", "--key", first)
  expect(code).toBe(1)
  expect(stderr).toContain("the device had a key of this kid")
})

test("field D12: suspend, resume and revoke are said once each, and what does not fit, such as a revoked id, is refused by its rule", async () => {
  await done("enroll", "s", "--key", await makeKey("s"))
  await done("suspend", "s", "--reason", "in repair")
  expect(await show("s")).toMatchObject({ status: "suspended" })
  expect((await device("suspend", "s")).stderr).toContain("the device is suspended")
  await done("resume", "s")
  expect((await device("revoke", "s", "--last-good", "1")).stderr).toContain("at most the head, 0")
  await done("revoke", "s", "--last-good", "0")
  expect(await show("s")).toMatchObject({ status: "active", key: null, revokedBeyond: 0 })
  expect(await done("list")).toMatch(/^s +active +none stands +beyond 0 /m)
  // Field D12: enrolled, and without a key.
  const enrolled = await device("enroll", "s", "--key", await makeKey("s-other"))
  expect(enrolled.stderr).toContain(
    "a revocation ended its keys: give it the next one with tidemark device rotate s",
  )
  // What was revoked at 0 never stood; a new key may begin there.
  await done("rotate", "s", "--key", await makeKey("s-next"))
  expect(await show("s")).toMatchObject({ key: { firstSeq: 1 } })
  await done("revoke", "s")
  expect(await show("s")).toMatchObject({ status: "revoked" })
  expect((await device("rotate", "s", "--key", await makeKey("s-third"))).stderr).toContain("was revoked")
  const again = await device("enroll", "s", "--key", await makeKey("s-fourth"))
  expect(again).toMatchObject({ code: 1 })
  expect(again.stderr).toContain("device s was revoked for good: enrol what replaces it under another id")
  expect(await device("token", "create", "s")).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringContaining("was revoked for good") as unknown,
  })
  expect((await device("suspend", "nobody")).stderr).toContain("is not enrolled")
})

/** A self-signed certificate, by the openssl that the README asks for. */
function makeCertificate(path: string, constraints: string): void {
  const args = ["req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", `${path}.key`, "-out", path]
  execFileSync("openssl", [...args, "-subj", "/O=Example/CN=maker", "-days", "2", "-addext", constraints], {
    stdio: "ignore",
  })
}

test("a CA is trusted with its certificate, listed and distrusted, and no other certificate is taken", async () => {
  const [ca, leaf] = [join(folder, "ca.pem"), join(folder, "leaf.pem")]
  makeCertificate(ca, "basicConstraints=critical,CA:TRUE")
  makeCertificate(leaf, "basicConstraints=critical,CA:FALSE")
  expect((await device("ca", "trust", "maker", "--cert", leaf)).stderr).toContain("is no CA's certificate")
  expect((await device("ca", "trust", "maker", "--cert", await makeKey("x"))).stderr).toContain(
    "no X.509 certificate",
  )
  await done("ca", "trust", "maker", "--cert", ca)
  expect((await device("ca", "trust", "maker", "--cert", ca)).stderr).toContain("is trusted already")
  expect((await device("ca", "trust", "again", "--cert", ca)).stderr).toContain("already, as CA maker")
  expect(await done("ca", "list")).toMatch(/^maker +yes +0 +O=Example, CN=maker +[0-9a-f]{64}$/m)
  await done("ca", "distrust", "maker", "--reason", "sold")
  expect((await device("ca", "distrust", "maker")).stderr).toContain("is not trusted")
  expect(parseLines(await done("ca", "list", "--json"))).toMatchObject([{ name: "maker", trusted: false }])
  await done("ca", "trust", "maker", "--cert", ca)
  await run(["seal", "--data", data])
  await run(["verify", "--data", data])
})
