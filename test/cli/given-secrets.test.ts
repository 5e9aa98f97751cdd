import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { generateKeyPairSync } from "node:crypto"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { formatBase64url, formatHex } from "../../chain/bytes.ts"
import { formatGiven, readGivenSecrets } from "../../cli/given-secrets.ts"

const secret = new Uint8Array(32).fill(7)
const hex = formatHex(secret)
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tidemark-secrets-"))
  await writeFile(join(folder, "hex"), `${hex}\n`)
  await writeFile(join(folder, "blank"), "\n")
})
afterAll(() => rm(folder, { recursive: true }))

test("without variables nothing is given", async () => {
  expect(await readGivenSecrets({ HOME: "/", TIDEMARK_LOG: hex })).toEqual({})
})

test("a secret is 64 hex digits in a variable, or in a file that it names", async () => {
  const given = await readGivenSecrets({
    TIDEMARK_LOG_KEY: hex,
    TIDEMARK_OPERATOR_KEY_FILE: join(folder, "hex"),
    TIDEMARK_RECEIPT_KEY: ` ${hex.toUpperCase()}\n`,
    TIDEMARK_HEADS_KEY: hex,
  })
  expect(given).toEqual({ log: secret, operator: secret, receipt: secret, headsSecret: secret })
  expect(formatGiven(given)).toBe(
    "TIDEMARK_LOG_KEY, TIDEMARK_OPERATOR_KEY, TIDEMARK_RECEIPT_KEY, TIDEMARK_HEADS_KEY",
  )
})

test("a key is also PEM as openssl writes it, or a JWK", async () => {
  const { privateKey } = generateKeyPairSync("ed25519")
  const { d } = privateKey.export({ format: "jwk" })
  const given = await readGivenSecrets({
    TIDEMARK_LOG_KEY: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
    TIDEMARK_RECEIPT_KEY: JSON.stringify(privateKey.export({ format: "jwk" })),
  })
  expect(formatBase64url(given.log!)).toBe(d)
  expect(given.receipt).toEqual(given.log)
})

const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" })
const publicPem = generateKeyPairSync("ed25519").publicKey.export({ format: "pem", type: "spki" })

test.each([
  ["an empty variable", { TIDEMARK_LOG_KEY: "" }, "TIDEMARK_LOG_KEY is empty"],
  ["an empty file", { TIDEMARK_LOG_KEY_FILE: "blank" }, "TIDEMARK_LOG_KEY_FILE is empty"],
  ["a variable and a file", { TIDEMARK_LOG_KEY: hex, TIDEMARK_LOG_KEY_FILE: "hex" }, "are both set"],
  [
    "a file that is not there",
    { TIDEMARK_RECEIPT_KEY_FILE: "nowhere" },
    "the file that TIDEMARK_RECEIPT_KEY_FILE names cannot be read",
  ],
  ["a digit too few", { TIDEMARK_LOG_KEY: hex.slice(2) }, "it is neither 64 hex digits nor PEM nor JWK"],
  ["a public key", { TIDEMARK_LOG_KEY: publicPem.toString() }, "this is a public key"],
  [
    "a key of P-256",
    { TIDEMARK_LOG_KEY: p256.privateKey.export({ format: "pem", type: "pkcs8" }).toString() },
    "is a key of P-256",
  ],
  [
    "a heads secret of 31 bytes",
    { TIDEMARK_HEADS_KEY: hex.slice(2) },
    "TIDEMARK_HEADS_KEY is not 64 hex digits",
  ],
] as const)(
  "%s is refused by the variable's name, and what stands in it is not shown",
  async (_what, variables, rule) => {
    const environment = Object.fromEntries(
      Object.entries(variables).map(([name, text]) => [
        name,
        name.endsWith("_FILE") ? join(folder, text) : text,
      ]),
    )
    const fault: Error = await readGivenSecrets(environment).then(
      () => new Error("was taken"),
      (error: Error) => error,
    )
    expect(fault.message).toContain(rule)
    for (const text of Object.values(variables))
      expect(fault.message).not.toContain(text.slice(0, 60) || "nothing stands there")
  },
)
