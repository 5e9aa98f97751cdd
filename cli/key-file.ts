import { encodeUtf8, parseHex } from "../chain/bytes.ts"
import type { PrivateKey, PublicKey } from "../chain/key.ts"
import { KeyFault, parsePrivateKey, parsePublicKey } from "../chain/keyfile.ts"
import { signatureSize } from "../chain/signature.ts"
import { CommandFault } from "./fault.ts"
import { readNamedFile } from "./option.ts"

/** The public key in a file that the user named; a fault that says why it cannot be used. */
export async function readPublicKey(path: string): Promise<PublicKey> {
  const file = await readNamedFile(path, "the key")
  try {
    return parsePublicKey(file)
  } catch (error) {
    if (error instanceof KeyFault)
      throw new CommandFault(
        `the key ${path} cannot be used: ${error.message}`,
        "PEM, JWK and COSE_Key of Ed25519 and P-256 are read",
        { cause: error },
      )
    throw error
  }
}

/** The private key in a file that the user named. The fault carries nothing of it. */
export async function readPrivateKey(path: string): Promise<PrivateKey> {
  const file = await readNamedFile(path, "the key")
  try {
    return parsePrivateKey(file)
  } catch (error) {
    if (error instanceof KeyFault)
      throw new CommandFault(
        `the key ${path} cannot be used: ${error.message}`,
        "a private key is read from PEM (PKCS #8 or SEC 1) or JWK, Ed25519 or P-256",
        { cause: error },
      )
    throw error
  }
}

/** A proof of possession, as `tidemark device prove` prints it: hex, or a file with hex or with the 64 bytes. */
export async function readProof(given: string): Promise<Uint8Array> {
  const inline = parseProof(encodeUtf8(given))
  if (inline !== null) return inline
  const proof = parseProof(await readNamedFile(given, "the proof"))
  if (proof === null)
    throw new CommandFault(
      `the proof ${given} is no signature of 64 bytes`,
      "tidemark device prove makes one: hex, or a file that holds it",
    )
  return proof
}

function parseProof(given: Uint8Array): Uint8Array | null {
  if (given.length === signatureSize) return given
  const proof = parseHex(new TextDecoder().decode(given).trim().toLowerCase())
  return proof?.length === signatureSize ? proof : null
}
