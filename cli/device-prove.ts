import type { Command } from "commander"
import { formatHex } from "../chain/bytes.ts"
import { findOriginFault } from "../chain/policy.ts"
import { proveKey } from "../chain/registry.ts"
import { devicePattern } from "../chain/statement.ts"
import { UsageFault } from "./fault.ts"
import { readPrivateKey, readPublicKey } from "./key-file.ts"
import { addCommand, parseCount } from "./option.ts"
import { print } from "./output.ts"

interface ProveOptions {
  readonly key: string
  readonly device: string
  readonly origin: string
  readonly firstSeq: number
  readonly newKey?: string
}

/** Needs no log: it runs where the key is. */
export function addProve(device: Command): void {
  addCommand(device, "prove", "prove possession of a key, off line: prints the proof in hex")
    .requiredOption("--key <file>", "the private key that signs the proof")
    .requiredOption("--device <id>", "the device's id")
    .requiredOption("--origin <origin>", "the log's origin")
    .option(
      "--first-seq <seq>",
      "of a rotation: the new key's first seq",
      parseCount(1, Number.MAX_SAFE_INTEGER),
      1,
    )
    .option("--new-key <file>", "of a rotation, where --key is the old key: the key that is enrolled")
    .action(prove)
}

async function prove({ key, device, origin, firstSeq, newKey }: ProveOptions): Promise<void> {
  if (!devicePattern.test(device))
    throw new UsageFault(`"${device}" is no device id: it must match ${devicePattern.source}`)
  const fault = findOriginFault(origin)
  if (fault !== null) throw new UsageFault(`--origin ${origin}: ${fault}`)
  const signer = await readPrivateKey(key)
  const enrolled = newKey === undefined ? signer.publicKey : await readPublicKey(newKey)
  print(formatHex(proveKey(signer, origin, device, firstSeq, enrolled)))
}
