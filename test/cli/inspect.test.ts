import { writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { afterAll, expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import { formatJwk } from "../../chain/keyfile.ts"
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
