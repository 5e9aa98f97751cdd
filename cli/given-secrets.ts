/** The log's secrets from the environment, or from files that it names: for machines that keep secrets elsewhere. */
import { readFile } from "node:fs/promises"
import { encodeUtf8, parseHex } from "../chain/bytes.ts"
import { algorithmEd25519 } from "../chain/key.ts"
import { KeyFault, parsePrivateKey } from "../chain/keyfile.ts"
import { type GivenSecrets, type SecretName, allSecrets } from "../ingest/log-keys.ts"
import { CommandFault, UsageFault } from "./fault.ts"

/** `…_FILE` names a file in place of the secret itself. */
const variables: Readonly<Record<SecretName, string>> = {
  log: "TIDEMARK_LOG_KEY",
  operator: "TIDEMARK_OPERATOR_KEY",
  receipt: "TIDEMARK_RECEIPT_KEY",
  headsSecret: "TIDEMARK_HEADS_KEY",
}

export const givenHelp = `The log's keys are made, unless they are given to this and all other commands: ${Object.values(variables).join(", ")},
each 64 hex digits, and a key also as PEM or JWK; or a file of it, named by the same variable with _FILE behind. What is
given is used in place of a file in the data folder, and is never written.`

/** Throws a UsageFault or CommandFault that names the variable, and never what stands in it. */
export async function readGivenSecrets(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<GivenSecrets> {
  const given: Partial<Record<SecretName, Uint8Array>> = {}
  for (const name of allSecrets) {
    const secret = await readSecret(name, environment)
    if (secret !== null) given[name] = secret
  }
  return given
}

/** The variables that gave something, for people. */
export function formatGiven(given: GivenSecrets): string {
  return allSecrets
    .filter((name) => given[name] !== undefined)
    .map((name) => variables[name])
    .join(", ")
}

async function readSecret(
  name: SecretName,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<Uint8Array | null> {
  const variable = variables[name]
  const [text, path] = [environment[variable], environment[`${variable}_FILE`]]
  if (text !== undefined && path !== undefined)
    throw new UsageFault(`${variable} and ${variable}_FILE are both set: one of them is the secret`)
  if (text !== undefined) return parseSecret(name, encodeUtf8(text), variable)
  if (path === undefined) return null
  const file = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new CommandFault(
      `the file that ${variable}_FILE names cannot be read: ${error.code ?? error.message}`,
    )
  })
  return parseSecret(name, file, `${variable}_FILE`)
}

/** 64 hex digits as in the data folder's own files; a key also as PEM (PKCS #8) or JWK. */
function parseSecret(name: SecretName, bytes: Uint8Array, variable: string): Uint8Array {
  const text = new TextDecoder().decode(bytes).trim()
  // A variable that nobody filled must not make a log with a key of its own.
  if (text === "") throw new UsageFault(`${variable} is empty: set it, or leave it out`)
  const secret = parseHex(text)
  if (secret?.length === 32) return secret
  if (name === "headsSecret") throw new UsageFault(`${variable} is not 64 hex digits`)
  try {
    const key = parsePrivateKey(encodeUtf8(text))
    if (key.publicKey.algorithm === algorithmEd25519) return key.secret
  } catch (error) {
    if (!(error instanceof KeyFault)) throw error
    const isText = text.startsWith("{") || text.includes("-----BEGIN")
    throw new UsageFault(
      `${variable} is no key of the log${isText ? `: ${error.message}` : ": it is neither 64 hex digits nor PEM nor JWK"}`,
    )
  }
  throw new UsageFault(`${variable} is a key of P-256: the log's keys are Ed25519`)
}
