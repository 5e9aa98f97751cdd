import type { PublicKey } from "../chain/key.ts"
import { KeyFault, parsePublicKey } from "../chain/keyfile.ts"
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
