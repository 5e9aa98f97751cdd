import { writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { afterAll, expect, test } from "vitest"
import { encodeUtf8, formatHex } from "../../chain/bytes.ts"
import { genesisOf } from "../../chain/genesis.ts"
import { formatJwk } from "../../chain/keyfile.ts"
import { encodeReceipt } from "../../chain/receipt.ts"
import { makeSigner, makeSpeaker, signDraft } from "../../devices-sim/device-sign.ts"
import { exampleStatement } from "../chain/example.ts"
import { edKey, ecKey } from "../vectors/keys.ts"
import { makeFolder, removeFolders, tidemark } from "./command.ts"

afterAll(removeFolders)

test("tidemark inspect explains the example, from bytes and from hex, and checks its signature", async () => {
  const folder = dirname(await makeFolder())
  const [binary, hex, key, other] = ["k7.cose", "k7.hex", "k7.jwk", "other.jwk"].map((name) =>
    join(folder, name),
  )
  await writeFile(binary!, exampleStatement.bytes)
  await writeFile(hex!, formatHex(exampleStatement.bytes).replaceAll(/(.{36})/g, "$1\n"))
  await writeFile(key!, formatJwk(edKey.publicKey))
  await writeFile(other!, formatJwk(ecKey.publicKey))
  const [fromBytes, fromHex] = [await tidemark(["inspect", binary!]), await tidemark(["inspect", hex!])]
  expect(fromBytes).toMatchObject({ code: 0, stderr: "" })
  expect(fromBytes.stdout).toContain("2 v, number: 72")
  expect(fromBytes.stdout).toMatch(
    /^seq +1, the first, on zeros: by an operator, or in a log of protocol version 1$/m,
  )
  expect(fromHex.stdout).toBe(fromBytes.stdout)
  expect((await tidemark(["inspect", hex!, "--key", key!])).stdout).toMatch(/^signature +good$/m)
  expect(await tidemark(["inspect", hex!, "--key", other!])).toMatchObject({ code: 1 })
  const json = await tidemark(["inspect", binary!, "--json", "--key", key!])
  expect(JSON.parse(json.stdout)).toMatchObject({
    kind: "statement",
    sizeBytes: 183,
    signature: "good",
    statement: { iss: "k7", seq: 1 },
    wrong: null,
  })
})

test("tidemark inspect names the first wrong byte where it stands, and exits with 1", async () => {
  const folder = dirname(await makeFolder())
  const path = join(folder, "wrong.cose")
  const bytes = Uint8Array.from(exampleStatement.bytes)
  bytes[5] = 0x02 // label 1 becomes 2
  await writeFile(path, bytes)
  const { code, stdout } = await tidemark(["inspect", path])
  expect(code).toBe(1)
  expect(stdout).toMatch(/^ +5 {2}\^\^\^ label 1 \(alg\) expected$/m)
  expect(stdout).toMatch(/^first wrong +byte 5: label 1 \(alg\) expected$/m)
})

const shown = async (path: string): Promise<string> => (await tidemark(["inspect", path])).stdout

test("tidemark inspect shows on which genesis a chain begins, of a first statement and of an empty head", async () => {
  const folder = dirname(await makeFolder())
  const [said, told] = [join(folder, "first.cose"), join(folder, "told")]
  const genesis = genesisOf("tidemark.example/log+1+a", "k7")
  const draft = { content: "text/plain", payload: encodeUtf8("a"), iat: 1_795_000_000, sub: "k7" }
  await writeFile(said, signDraft(makeSpeaker("k7", makeSigner(edKey)), draft, 1, genesis).bytes)
  await writeFile(
    told,
    encodeReceipt({ code: 0, seq: null, head: { seq: 0, entry: genesis }, now: 1_795_000_000 }),
  )
  expect(await shown(said)).toMatch(
    new RegExp(`^seq +1, the first, on the genesis ${formatHex(genesis)}$`, "m"),
  )
  expect(await shown(told)).toMatch(
    new RegExp(`^head +seq 0, where the chain begins ${formatHex(genesis)}$`, "m"),
  )
})
