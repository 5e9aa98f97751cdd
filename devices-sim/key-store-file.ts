/** A device's keys in a file of mode 0600: JSON with the keys as JWK, replaced whole. */
import { readFile } from "node:fs/promises"
import { encodeUtf8, formatBase64url } from "../chain/bytes.ts"
import { formatJwk, parsePrivateKey } from "../chain/keyfile.ts"
import { replaceFile } from "../disk/durable.ts"
import { type Signer, makeSigner, privateKeyOf, signNatively } from "./device-sign.ts"
import type { DeviceKeys, KeyStore } from "./key-store.ts"

/** Only for signers of `makeSigner`, whose keys are in memory anyway: `save` rejects with any other. */
export function makeFileKeyStore({ path }: { readonly path: string }): KeyStore {
  return {
    async load() {
      const text = await readFile(path, "utf8").catch((error: unknown) => {
        if (error instanceof Error && "code" in error && error.code === "ENOENT") return null
        throw error
      })
      return text === null ? null : parseKeys(text, path)
    },
    async save(keys) {
      await replaceFile(path, formatKeys(keys))
    },
  }
}

interface KeysInFile {
  readonly current: unknown
  readonly rotation: {
    readonly stage: "asked" | "undecided"
    readonly isNextCurrent: boolean
    readonly origin: string
    readonly other: unknown
  } | null
}

function formatKeys({ current, rotation }: DeviceKeys): string {
  const other = rotation === null ? null : { ...rotation, other: jwkOf(rotation.other) }
  return `${JSON.stringify({ current: jwkOf(current), rotation: other } satisfies KeysInFile)}\n`
}

function jwkOf(signer: Signer): unknown {
  const key = privateKeyOf(signer)
  if (key === null)
    throw new Error("a key file keeps keys of makeSigner; another signer needs a key store of its own")
  return { ...(JSON.parse(formatJwk(key.publicKey)) as object), d: formatBase64url(key.secret) }
}

function signerOf(jwk: unknown): Signer {
  return makeSigner(parsePrivateKey(encodeUtf8(JSON.stringify(jwk))), signNatively)
}

/** The fault names the file and nothing of what is in it. */
function parseKeys(text: string, path: string): DeviceKeys {
  try {
    const { current, rotation } = JSON.parse(text) as KeysInFile
    return {
      current: signerOf(current),
      rotation: rotation === null ? null : { ...rotation, other: signerOf(rotation.other) },
    }
  } catch (error) {
    throw new Error(`${path}: these are no keys of a device`, { cause: error })
  }
}
