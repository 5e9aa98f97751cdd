/** The log's secrets: three Ed25519 keys and the heads secret, each in a file of its own that only its owner reads. */
import { randomBytes } from "node:crypto"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { equalBytes, formatHex, parseHex } from "../chain/bytes.ts"
import { type PrivateKey, type PublicKey, algorithmEd25519, makePrivateKey } from "../chain/key.ts"
import { formatVkey } from "../chain/note.ts"
import { type ChainBinding, type ProtocolVersion, protocolVersion } from "../chain/genesis.ts"
import type { Policy } from "../chain/policy.ts"
import { createFolder } from "../disk/durable.ts"
import { hmacNative } from "./native.ts"

export interface LogKeys {
  readonly origin: string
  /** Where the log's chains begin, by its policy. */
  readonly binding: ChainBinding
  /** Signs checkpoints. */
  readonly log: PrivateKey
  /** Signs the operator's chain. */
  readonly operator: PrivateKey
  /** Signs COSE Receipts. */
  readonly receipt: PrivateKey
  /** Blinds the heads map, 32 bytes. */
  readonly headsSecret: Uint8Array
}

/** A secret, and the file that holds it. */
export const secretFiles = {
  log: "log.key",
  operator: "operator.key",
  receipt: "receipt.key",
  headsSecret: "heads.key",
} as const

export type SecretName = keyof typeof secretFiles

/** Secrets, 32 bytes each, that a person gave another way: they are used in place of the folder's files, and never written. */
export type GivenSecrets = Readonly<Partial<Record<SecretName, Uint8Array>>>

/** The keys of a process that does not need all of them. */
export type SomeKeys<Name extends SecretName> = Pick<LogKeys, Name | "origin" | "binding">

/** Keys as their folder holds them: the binding is the policy's, which is in the database. */
export type FolderKeys<Name extends SecretName = SecretName> = Pick<LogKeys, Name | "origin">

/** Whoever takes statements answers devices that ask for their next key, and keys the digests of what was signed. */
export const ingestSecrets = ["operator", "headsSecret"] as const
export type IngestKeys = SomeKeys<(typeof ingestSecrets)[number]>

/** Whoever seals signs manifests, checkpoints and the trees of receipts, and blinds the heads. */
export const sealSecrets = ["log", "operator", "receipt", "headsSecret"] as const
export type SealKeys = SomeKeys<(typeof sealSecrets)[number]>

/** Whoever answers researchers shows the blinds of the heads that an evidence file is about. */
export const researchSecrets = ["headsSecret"] as const
export type ResearchKeys = SomeKeys<(typeof researchSecrets)[number]> & CheckpointSigner

export const allSecrets = Object.keys(secretFiles) as readonly SecretName[]

/** Who checkpoints are by. */
export interface CheckpointSigner {
  readonly origin: string
  readonly log: { readonly publicKey: PublicKey }
}

/** New secrets, but for those that are given. */
export function makeLogKeys(
  origin: string,
  random: (size: number) => Uint8Array = randomBytes,
  given: GivenSecrets = {},
  version: ProtocolVersion = protocolVersion,
): LogKeys {
  const key = (name: SecretName): PrivateKey => makePrivateKey(algorithmEd25519, given[name] ?? random(32))
  const log = key("log")
  return {
    origin,
    binding: { logVkey: formatVkey({ name: origin, publicKey: log.publicKey }), version },
    log,
    operator: key("operator"),
    receipt: key("receipt"),
    headsSecret: given.headsSecret ?? random(32),
  }
}

/** Two secrets that are the same, by the names of their files; null where all differ, as they must. */
export function findSharedSecret(keys: LogKeys): readonly [string, string] | null {
  const secrets = secretsOf(keys)
  for (const [place, name] of allSecrets.entries()) {
    const other = allSecrets.slice(place + 1).find((one) => equalBytes(secrets[one], secrets[name]))
    if (other !== undefined) return [secretFiles[name], secretFiles[other]]
  }
  return null
}

function secretsOf({
  log,
  operator,
  receipt,
  headsSecret,
}: FolderKeys): Readonly<Record<SecretName, Uint8Array>> {
  return { log: log.secret, operator: operator.secret, receipt: receipt.secret, headsSecret }
}

export function policyOf(keys: LogKeys): Policy {
  return {
    origin: keys.origin,
    logVkey: keys.binding.logVkey,
    operatorKey: keys.operator.publicKey,
    receiptKey: keys.receipt.publicKey,
    version: keys.binding.version,
  }
}

/** The C2SP verifier key of the log's checkpoints. */
export function logVkeyOf({ origin, log }: CheckpointSigner): string {
  return formatVkey({ name: origin, publicKey: log.publicKey })
}

/** The key of `signed_digest`: made from the heads secret, so that one secret fewer must be kept. */
export function digestKeyOf(keys: Pick<LogKeys, "headsSecret">): Uint8Array {
  return hmacNative(keys.headsSecret, new TextEncoder().encode("tidemark/signed-bytes"))
}

/** The key of the MACs over API keys and login tokens, which the database does not have. */
export function accessKeyOf(keys: Pick<LogKeys, "headsSecret">): Uint8Array {
  return hmacNative(keys.headsSecret, new TextEncoder().encode("tidemark/access"))
}

/**
 * Writes the keys into a folder that is there whole or not at all: its origin, and those that were not given. False where
 * the folder is there already: it stays as it is.
 */
export async function writeLogKeys(
  folder: string,
  keys: LogKeys,
  given: GivenSecrets = {},
): Promise<boolean> {
  const secrets = secretsOf(keys)
  const written = allSecrets.filter((one) => given[one] === undefined)
  return createFolder(folder, {
    ...Object.fromEntries(written.map((name) => [secretFiles[name], `${formatHex(secrets[name])}\n`])),
    origin: `${keys.origin}\n`,
  })
}

/**
 * The keys of a folder, of all secrets those that are needed; null where there is none. Throws an Error that names the
 * file and never its content.
 *
 * @param given in place of files
 */
export async function readLogKeys(folder: string): Promise<FolderKeys | null>
export async function readLogKeys<Name extends SecretName>(
  folder: string,
  needed: readonly Name[],
  given?: GivenSecrets,
): Promise<FolderKeys<Name> | null>
export async function readLogKeys(
  folder: string,
  needed: readonly SecretName[] = allSecrets,
  given: GivenSecrets = {},
): Promise<(Partial<FolderKeys> & Pick<LogKeys, "origin">) | null> {
  const origin = await readText(join(folder, "origin"))
  if (origin === null) return null
  const secrets: Partial<Record<SecretName, Uint8Array>> = { ...given }
  for (const name of needed) {
    if (given[name] !== undefined) continue
    const file = secretFiles[name]
    const text = await readText(join(folder, file))
    const secret = text === null ? null : parseHex(text.trim())
    if (secret?.length !== 32)
      throw new Error(`the log's key ${file} is missing or damaged in ${folder}: restore it from a backup`)
    secrets[name] = secret
  }
  return pickLogKeys(origin.trim(), needed, secrets)
}

/** The keys that are needed, of secrets that are given; null where one is not among them. */
export function pickLogKeys(
  origin: string,
  needed: readonly SecretName[],
  given: GivenSecrets,
): (Partial<FolderKeys> & Pick<LogKeys, "origin">) | null {
  const keys: Record<string, PrivateKey | Uint8Array> = {}
  for (const name of needed) {
    const secret = given[name]
    if (secret === undefined) return null
    keys[name] = name === "headsSecret" ? secret : makePrivateKey(algorithmEd25519, secret)
  }
  return { origin, ...keys }
}

/** Names of files that this folder of a log's keys lacks; none where it is no such folder. */
export async function findMissingSecrets(
  folder: string,
  needed: readonly SecretName[],
  given: GivenSecrets = {},
): Promise<readonly string[]> {
  if ((await readText(join(folder, "origin"))) === null) return []
  const missing: string[] = []
  for (const name of needed) {
    if (given[name] === undefined && (await readText(join(folder, secretFiles[name]))) === null)
      missing.push(secretFiles[name])
  }
  return missing
}

async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null
    throw error
  }
}
