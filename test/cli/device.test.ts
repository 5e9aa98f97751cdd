import { generateKeyPairSync, type KeyObject } from "node:crypto"
import { mkdir, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import { genesisOf } from "../../chain/genesis.ts"
import { logVkeyOf, readLogKeys } from "../../ingest/log-keys.ts"
import { algorithmEd25519, encodeCoseKey, thumbprintOf, type PublicKey } from "../../chain/key.ts"
import { holdDatabase, makeFolder, parseLines, removeFolders, run, RunningUp, tidemark } from "./command.ts"

let data: string
let folder: string

beforeAll(async () => {
  data = await makeFolder()
  folder = dirname(data)
  await run(["log", "init", "--origin", "example.org/devices", "--data", data])
})
afterAll(removeFolders)

async function write(name: string, content: string | Uint8Array): Promise<string> {
  await writeFile(join(folder, name), content)
  return join(folder, name)
}

const enroll = (id: string, key: string) => tidemark(["device", "enroll", id, "--key", key, "--data", data])
const pem = (key: KeyObject, type: "spki" | "pkcs8"): string => key.export({ format: "pem", type }) as string

function publicKeyOf(key: KeyObject): PublicKey {
  const { x } = key.export({ format: "jwk" })
  return { algorithm: algorithmEd25519, bytes: Uint8Array.from(Buffer.from(x!, "base64url")) }
}

test("a list without devices says how one is enrolled", async () => {
  const { code, stdout } = await tidemark(["device", "list", "--data", data])
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: "no device is enrolled: tidemark device enroll ID --key FILE\n",
  })
})

test("a device is enrolled where no service runs", async () => {
  const key = await write("alone", pem(generateKeyPairSync("ed25519").publicKey, "spki"))
  expect((await enroll("alone", key)).code).toBe(0)
  expect((await tidemark(["device", "show", "alone", "--data", data])).stdout).toContain("alone (active)")
  // From here on the database is held.
  await holdDatabase(data)
})

test("a key is taken as PEM, JWK and COSE_Key, of Ed25519 and P-256; of a private one its public half", async () => {
  const ed = generateKeyPairSync("ed25519")
  const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const files = {
    "ed-pem": pem(ed.publicKey, "spki"),
    "ed-jwk": JSON.stringify(ed.publicKey.export({ format: "jwk" })),
    "ed-cose": encodeCoseKey(publicKeyOf(ed.publicKey)),
    "ed-private": pem(ed.privateKey, "pkcs8"),
    "p256-pem": pem(p256.publicKey, "spki"),
    "p256-jwk": JSON.stringify(p256.publicKey.export({ format: "jwk" })),
  }
  const thumbprint = formatHex(thumbprintOf(publicKeyOf(ed.publicKey)))
  for (const [id, content] of Object.entries(files)) {
    const { code, stdout, stderr } = await enroll(id, await write(id, content))
    expect(code).toBe(0)
    // One key under several ids is taken, and named.
    expect(stderr).toMatch(
      id === "ed-pem" || id === "p256-pem"
        ? /^$/
        : /the key is also that of device .*(ed|p256)-pem: each can/,
    )
    const key = id.startsWith("ed") ? `Ed25519, thumbprint ${thumbprint}` : "P-256, thumbprint "
    expect(stdout).toContain(`enrolled  ${id}\nkey       ${key}`)
    expect(stdout).toContain(`v1/${id}/statements`)
  }

  const listed = await tidemark(["device", "list", "--data", data])
  expect(listed.code).toBe(0)
  const [title, ...rows] = listed.stdout.trimEnd().split("\n")
  expect(title).toMatch(
    /^device +status +key +by the word of +possession +revoked +statements +sealed +last arrival \(UTC\) +attributes$/,
  )
  expect(rows.map((row) => row.split(/ +/)[0])).toEqual(["alone", ...Object.keys(files).toSorted()])
  expect(rows[1]).toMatch(/^ed-cose +active +Ed25519 from 1 +operator +not proven +0 +0 +never$/)

  const json = parseLines((await tidemark(["device", "list", "--json", "--data", data])).stdout)
  expect(json).toHaveLength(7)
  const keys = await readLogKeys(join(data, "keys"), ["log"])
  expect(json[1]).toMatchObject({
    device: "ed-cose",
    status: "active",
    keys: [{ algorithm: "Ed25519", thumbprint, firstSeq: 1, lastSeq: null, endedBy: null }],
    head: { seq: 0, entry: formatHex(genesisOf(logVkeyOf(keys!), "ed-cose")) },
    sealedSeq: 0,
    firstArrival: null,
  })

  const shown = await tidemark(["device", "show", "ed-pem", "--data", data])
  expect(shown.code).toBe(0)
  expect(shown.stdout).toContain("device      ed-pem (active)\n")
  expect(shown.stdout).toContain(`thumbprint  ${thumbprint}\n`)
  expect(shown.stdout).toContain("refused     nothing\n")
  const [shownJson] = parseLines(
    (await tidemark(["device", "show", "p256-jwk", "--json", "--data", data])).stdout,
  )
  expect(shownJson).toMatchObject({
    device: "p256-jwk",
    keys: [{ algorithm: "P-256" }],
    refused: {},
    forksAtSeq: [],
  })
})

test("a device is enrolled once; the same again changes nothing, and another key is refused", async () => {
  const key = await write("once", pem(generateKeyPairSync("ed25519").publicKey, "spki"))
  expect((await enroll("once", key)).code).toBe(0)
  const again = await enroll("once", key)
  expect(again).toMatchObject({ code: 0, stderr: "" })
  expect(again.stdout).toContain("known     once was enrolled like that already")
  const other = await enroll(
    "once",
    await write("other", pem(generateKeyPairSync("ed25519").publicKey, "spki")),
  )
  expect(other).toMatchObject({ code: 1, stdout: "" })
  expect(other.stderr).toContain(
    "once was not enrolled: device once is enrolled already, with another key: tidemark device rotate once",
  )
})

test("a file that is no key is named, with the reason, and its content is not shown", async () => {
  await mkdir(join(folder, "a-folder"))
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey
  const files: [string, string][] = [
    [join(folder, "absent.pem"), "there is no such file"],
    [join(folder, "a-folder"), "it is a folder"],
    [await write("text", "my secret diary"), "cannot be used"],
    [await write("empty", ""), "cannot be used"],
    [await write("rsa", pem(rsa, "spki")), "cannot be used"],
    [await write("half.pem", pem(rsa, "spki").slice(0, 60)), "cannot be used"],
    [await write("private.jwk", '{"kty":"oct","k":"c2VjcmV0"}'), "cannot be used"],
  ]
  for (const [path, reason] of files) {
    const { code, stdout, stderr } = await enroll("nobody", path)
    expect({ path, code, stdout }).toEqual({ path, code: 1, stdout: "" })
    expect(stderr).toContain(path)
    expect(stderr).toContain(reason)
    expect(stderr).not.toMatch(/diary|c2VjcmV0/)
  }
  expect((await tidemark(["device", "show", "nobody", "--data", data])).code).toBe(1)
})

test("an id that is none, and options that are missing, are usage faults", async () => {
  const key = await write("key", pem(generateKeyPairSync("ed25519").publicKey, "spki"))
  for (const id of ["k.7", "-k7", "k 7", "", "k".repeat(51)]) {
    const { code, stderr } = await tidemark(["device", "enroll", "--key", key, "--data", data, "--", id])
    expect(code).toBe(2)
    expect(stderr).toContain(`"${id}" is no device id`)
  }
  const keyless = await tidemark(["device", "enroll", "k7", "--data", data])
  expect(keyless.code).toBe(2)
  expect(keyless.stderr).toContain("--key FILE")
  expect((await tidemark(["device", "show", "--data", data])).code).toBe(2)
})

test("a device that nobody knows is named, with where to look", async () => {
  const { code, stdout, stderr } = await tidemark(["device", "show", "k8", "--data", data])
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
  expect(stderr).toBe("tidemark: device k8 is not enrolled\n  tidemark device list shows those that are\n")
})

test("a device is enrolled beside a service that runs", async () => {
  const up = await RunningUp.start(data)
  const key = await write("beside", pem(generateKeyPairSync("ed25519").publicKey, "spki"))
  expect((await enroll("beside", key)).code).toBe(0)
  expect((await tidemark(["device", "show", "beside", "--data", data])).stdout).toContain("beside (active)")
  expect((await up.end("SIGTERM")).code).toBe(0)
})
