/** Name and key of a witness, in `witness.key` of its data folder. */
import { randomBytes } from "node:crypto"
import { access, mkdir, readFile, readdir } from "node:fs/promises"
import { join } from "node:path"
import { formatHex, parseHex } from "../chain/bytes.ts"
import { type PrivateKey, algorithmEd25519, makePrivateKey } from "../chain/key.ts"
import { isNoteName } from "../chain/note.ts"
import { createFile } from "../disk/durable.ts"
import { CommandFault, UsageFault } from "./fault.ts"

export interface WitnessIdentity {
  readonly name: string
  readonly key: PrivateKey
}

const keyFile = "witness.key"

export async function hasIdentity(dataFolder: string): Promise<boolean> {
  return access(join(dataFolder, keyFile)).then(
    () => true,
    () => false,
  )
}

/** Name and key of the witness in this folder, which are made where the folder is new. */
export async function openIdentity(
  dataFolder: string,
  { name, key }: Partial<WitnessIdentity>,
): Promise<WitnessIdentity> {
  const path = join(dataFolder, keyFile)
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null
    throw new CommandFault(`the witness's key ${path} cannot be read: ${error.code}`)
  })
  if (text === null) return makeIdentity(dataFolder, name, key)
  const [nameKept, hex, ...rest] = text.split("\n")
  const secret = parseHex(hex ?? "")
  if (nameKept === undefined || !isNoteName(nameKept) || secret?.length !== 32 || rest.join("") !== "")
    throw new CommandFault(`the witness's key ${path} is damaged: restore it from a backup`)
  if (name !== undefined && name !== nameKept)
    throw new CommandFault(
      `the witness in ${dataFolder} is ${nameKept}, not ${name}`,
      "leave --name out, or name another --data",
    )
  const kept = makePrivateKey(algorithmEd25519, secret)
  if (key !== undefined && formatHex(key.publicKey.bytes) !== formatHex(kept.publicKey.bytes))
    throw new CommandFault(
      `the witness in ${dataFolder} has another key`,
      "leave --key out, or name another --data",
    )
  return { name: nameKept, key: kept }
}

async function makeIdentity(
  dataFolder: string,
  name: string | undefined,
  given: PrivateKey | undefined,
): Promise<WitnessIdentity> {
  if (name === undefined)
    throw new CommandFault(
      `there is no witness in ${dataFolder}`,
      "name a new one with --name, or the right --data",
    )
  if (!isNoteName(name)) throw new UsageFault(`--name ${name}: a name has neither spaces nor +`)
  if (given !== undefined && given.publicKey.algorithm !== algorithmEd25519)
    throw new UsageFault("--key: a witness's key is Ed25519")
  await mkdir(dataFolder, { recursive: true, mode: 0o700 })
  // With a new key it could cosign anew from nothing what it has refused before.
  if ((await readdir(dataFolder)).includes("logs"))
    throw new CommandFault(
      `${dataFolder} holds a witness's records and not its ${keyFile}`,
      "restore it from a backup, or name another --data",
    )
  const key = given ?? makePrivateKey(algorithmEd25519, randomBytes(32))
  const path = join(dataFolder, keyFile)
  if (!(await createFile(path, `${name}\n${formatHex(key.secret)}\n`)))
    throw new CommandFault(`another process has just made a witness in ${dataFolder}`, "start this one again")
  return { name, key }
}
