import { generateKeyPairSync } from "node:crypto"
import { writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, expect, test, vi } from "vitest"
import { encodeUtf8, formatHex } from "../../chain/bytes.ts"
import { sha256 } from "../../chain/hash.ts"
import { algorithmEd25519, encodeCoseKey, makePrivateKey } from "../../chain/key.ts"
import { formatJwk } from "../../chain/keyfile.ts"
import { proveKey } from "../../chain/registry.ts"
import { holdDatabase, makeFolder, parseLines, removeFolders, run, tidemark } from "./command.ts"

const origin = "example.org/bulk"
/** Each command is a process with a database to attach to: a test of many takes its time on a busy machine. */
vi.setConfig({ testTimeout: 300_000 })
let data: string

beforeAll(async () => {
  data = await makeFolder()
  await run(["log", "init", "--origin", origin, "--data", data])
  await holdDatabase(data)
})
afterAll(removeFolders)

async function write(name: string, content: string): Promise<string> {
  const path = join(dirname(data), name)
  await writeFile(path, content)
  return path
}

const keyOf = (id: string) => makePrivateKey(algorithmEd25519, sha256(encodeUtf8(id)))
const hexOf = (id: string): string => formatHex(encodeCoseKey(keyOf(id).publicKey))
const jwkOf = (id: string): string => formatJwk(keyOf(id).publicKey)
const pem = generateKeyPairSync("ed25519").publicKey.export({ format: "pem", type: "spki" }) as string
const proofOf = (id: string): string => formatHex(proveKey(keyOf(id), origin, id, 1, keyOf(id).publicKey))
const enrol = (file: string) => tidemark(["device", "enroll", "--from", file, "--data", data])
const quote = (text: string): string => `"${text.replaceAll('"', '""')}"`

async function show(id: string): Promise<Record<string, unknown>> {
  return parseLines(await run(["device", "show", id, "--json", "--data", data]))[0] as Record<string, unknown>
}

test("a CSV file enrols its devices, with keys in every form, proofs and attributes", async () => {
  await write("c4.pem", pem)
  const file = await write(
    "good.csv",
    [
      "id,key,keyFile,proof,make,model,firmware",
      `c1,${hexOf("c1")},,${proofOf("c1")},Example,W1,1.2`,
      `c2,${quote(jwkOf("c2"))},,,,,`,
      `c3,${quote(pem)},,,Example,,`,
      "c4,,c4.pem,,,,",
    ].join("\n"),
  )
  const { code, stdout } = await enrol(file)
  expect({ code, stdout }).toEqual({ code: 0, stdout: `enrolled  4 devices on ${origin}\n` })
  expect(await show("c1")).toMatchObject({
    attributes: { make: "Example", model: "W1", firmware: "1.2" },
    keys: [{ isPossessionProven: true, introducedBy: "operator" }],
  })
  expect(await show("c2")).toMatchObject({ attributes: {}, keys: [{ isPossessionProven: false }] })
})

test("an NDJSON file does the same", async () => {
  const file = await write(
    "good.ndjson",
    [
      JSON.stringify({ id: "n1", key: JSON.parse(jwkOf("n1")) as unknown, proof: proofOf("n1") }),
      "",
      JSON.stringify({ id: "n2", key: hexOf("n2"), make: "Example" }),
    ].join("\r\n"),
  )
  expect(await enrol(file)).toMatchObject({ code: 0, stdout: `enrolled  2 devices on ${origin}\n` })
  expect(await show("n1")).toMatchObject({ keys: [{ isPossessionProven: true }] })
})

test("each bad line is named with its number and its rule, the good ones go in, and the exit code is 1", async () => {
  const file = await write(
    "bad.ndjson",
    [
      JSON.stringify({ id: "b1", key: hexOf("b1") }),
      "{",
      JSON.stringify({ id: "b:3", key: hexOf("b3") }),
      JSON.stringify({ id: "b4" }),
      JSON.stringify({ id: "b5", key: "00" }),
      JSON.stringify({ id: "b6", key: hexOf("b6"), proof: "00" }),
      JSON.stringify({ id: "b7", key: hexOf("b7"), proof: proofOf("b1") }),
      JSON.stringify({ id: "b8", key: hexOf("b8"), colour: "red" }),
      JSON.stringify({ id: "b9", keyFile: "nowhere.pem" }),
      JSON.stringify({ id: "b1", key: hexOf("b10") }),
      JSON.stringify({ id: "b11", key: hexOf("b11"), make: "a\u0001b" }),
      JSON.stringify({ id: "b12", key: hexOf("b12") }),
    ].join("\n"),
  )
  const { code, stdout, stderr } = await enrol(file)
  expect({ code, stdout }).toEqual({ code: 1, stdout: `enrolled  2 devices on ${origin}\n` })
  const named = stderr.split("\n").filter((said) => /^line \d+: /.test(said))
  expect(named).toEqual([
    "line 2: it is not JSON",
    expect.stringMatching(/^line 3: id: a device id must match/),
    "line 4: b4: one of key and keyFile is needed",
    expect.stringMatching(/^line 5: b5: neither PEM nor JWK/),
    "line 6: b6: proof is not 64 bytes in hex",
    "line 7: b7: the proof of possession does not verify",
    'line 8: there is no member "colour"',
    "line 9: b9: keyFile nowhere.pem cannot be read: ENOENT",
    "line 10: b1 stands in line 1 already, with another key",
    expect.stringMatching(/^line 11: b11: /),
  ])
  expect(stderr).toContain("10 of 12 lines were not taken")
  expect((await show("b12"))["device"]).toBe("b12")
})

test("field D7: the mended file is given again: what is so already is counted, and only what differs is an error", async () => {
  const lines = ["id,key,proof,make", `f1,${hexOf("f1")},${proofOf("f1")},Example`, `f2,${hexOf("f2")},,`]
  const first = await enrol(await write("fleet.csv", [...lines, "f3,00,,"].join("\n")))
  expect(first).toMatchObject({ code: 1, stdout: `enrolled  2 devices on ${origin}\n` })
  expect(first.stderr).toContain("give the whole file again")
  const mended = [...lines, `f3,${hexOf("f3")},,`]
  expect(await enrol(await write("fleet.csv", mended.join("\n")))).toMatchObject({
    code: 0,
    stdout: `enrolled  1 device on ${origin}\nknown     2 were enrolled like that already\n`,
  })
  expect(await enrol(join(dirname(data), "fleet.csv"))).toMatchObject({
    code: 0,
    stdout: `enrolled  0 devices on ${origin}\nknown     3 were enrolled like that already\n`,
  })
  // Each line differs from what is enrolled, and is named with what differs.
  await run(["device", "revoke", "f3", "--data", data])
  const differing = [
    "id,key,proof,make",
    `f1,${hexOf("other")},,`,
    `f1,${hexOf("f1")},,Other`,
    `f2,${hexOf("f2")},${proofOf("f2")},`,
    `f2,${hexOf("f2")},,Example`,
    `f3,${hexOf("f3")},,`,
    `f4,${hexOf("f1")},,`,
    `f5,${hexOf("f5")},,`,
    `f6,${hexOf("f5")},,`,
  ]
  const { code, stdout, stderr } = await enrol(await write("differing.csv", differing.join("\n")))
  expect({ code, stdout }).toEqual({ code: 1, stdout: `enrolled  3 devices on ${origin}\n` })
  expect(stderr.split("\n").filter((said) => /^line \d+: /.test(said))).toEqual([
    // Taken, and named: it is most likely a slip.
    "line 7: f4: its key is also that of device f1: each can sign for the other",
    "line 9: f6: its key is also that of device f5: each can sign for the other",
    "line 2: device f1 is enrolled already, with another key: tidemark device rotate f1 --key FILE gives it its next one",
    'line 3: device f1 is enrolled already, with make "Example" and not with "Other": what an enrolment says stays',
    "line 4: device f2 is enrolled already, without a proof of possession, and none can be added: a rotation can have one",
    'line 5: device f2 is enrolled already, without make and not with "Example": what an enrolment says stays',
    "line 6: device f3 was revoked for good: enrol what replaces it under another id",
  ])
})

test.each([
  ["an unknown column", "id,key,colour\n", /has a column "colour"/, 1],
  ["no column id", "key\n", /has no column id/, 1],
  ["a column twice", "id,key,key\n", /has a column twice/, 1],
  [
    "a line with too few columns",
    "id,key,make\nx1,00\n",
    /line 2: it has 2 columns, and the first line 3/,
    1,
  ],
  ["a quote in the middle", `id,key\nx2,a"b\nx3,${hexOf("x3")}\n`, /line 2: it is not CSV/, 1],
  ["nothing", "", /has no devices/, 1],
])("a CSV file with %s is named with its rule", async (what, content, rule, exitCode) => {
  const { code, stderr } = await enrol(await write(`${what.replaceAll(" ", "-")}.csv`, content))
  expect(code).toBe(exitCode)
  expect(stderr).toMatch(rule)
})

test("a file of another kind, a file that is not there, and a file beside an id are named before anything is read", async () => {
  expect(await enrol(await write("devices.txt", ""))).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("must end in .csv or .ndjson") as unknown,
  })
  expect(await enrol(join(dirname(data), "nowhere.csv"))).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("there is no such file") as unknown,
  })
  const both = await tidemark(["device", "enroll", "k1", "--from", "x.csv", "--data", data])
  expect(both.code).toBe(2)
})

test("600 devices go in over several transactions, and verify passes", async () => {
  const ids = Array.from({ length: 600 }, (_, index) => `many-${index}`)
  const file = await write("many.csv", ["id,key", ...ids.map((id) => `${id},${hexOf(id)}`)].join("\n"))
  expect(await enrol(file)).toMatchObject({ code: 0, stdout: `enrolled  600 devices on ${origin}\n` })
  expect(parseLines(await run(["device", "list", "--json", "--data", data])).length).toBeGreaterThan(600)
  await run(["seal", "--data", data])
  await run(["verify", "--data", data])
})
